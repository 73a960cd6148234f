//! Protocols other than TCP and UDP: SCTP by port, echo in both families, and the rest by rules for every protocol.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Result;
use egret_tests::netns::Netns;
use egret_tests::raw::Raw;
use egret_tests::{Setup, World, enforced};
use rustix::net::{
    AddressFamily, Protocol, RawProtocol, RecvFlags, SocketFlags, SocketType, recv, socket_with, sockopt,
};

const SCTP: u8 = 132;

/// Gets every packet of `protocol` that the namespace is sent.
fn listen(netns: &Netns, to: IpAddr, protocol: u8) -> Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let protocol = RawProtocol::new(protocol.into()).map(Protocol::from_raw);
    netns.run(|| -> Result<OwnedFd> {
        let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(Duration::from_millis(200)))?;
        rustix::net::bind(&socket, &SocketAddr::new(to, 0))?;
        Ok(socket)
    })?
}

/// Whether a packet of `protocol` that starts with `head` arrives.
fn arrives(world: &World, to: IpAddr, protocol: u8, head: &[u8]) -> Result<bool> {
    let web = world.pod("shop/web");
    let receiver = listen(world.internet(), to, protocol)?;
    let from = web.addresses()[usize::from(to.is_ipv6())];
    let payload = [head, &[0x5a; 16]].concat();
    Raw::open(web.netns())?.send_ip(from, to, protocol, &payload)?;
    let mut buffer = [0; 512];
    while let Ok((length, _)) = recv(&receiver, &mut buffer, RecvFlags::empty()) {
        if buffer[..length].ends_with(&[0x5a; 16]) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn start(world: &World, rules: &str) -> Result<egret_tests::Agent> {
    Setup::new(world)?.policy("web.yaml", &enforced("shop/web", rules))?.start()
}

#[test]
fn sctp_is_allowed_by_its_port() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let rules = "allow:\n- to: [{cidr: 192.0.2.0/24}, {cidr: '2001:db8::/32'}]\n  ports: [{protocol: SCTP, port: 3868}]";
    let _agent = start(&world, rules)?;
    for to in ["192.0.2.10", "2001:db8::10"] {
        for (port, expected) in [(3868u16, true), (3869, false)] {
            let head = [5000u16.to_be_bytes(), port.to_be_bytes()].concat();
            assert_eq!(arrives(&world, to.parse()?, SCTP, &head)?, expected, "{to} {port}");
        }
    }
    Ok(())
}

#[test]
fn a_rule_without_ports_is_for_every_protocol_and_one_with_ports_for_its_own() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let rules = "allow:\n- to: [{cidr: 192.0.2.10/32}, {cidr: '2001:db8::10/128'}]\n- to: [{cidr: 192.0.2.20/32}, {cidr: '2001:db8::20/128'}]\n  ports: [{protocol: TCP}, {protocol: UDP}, {protocol: SCTP}, {protocol: ICMP}]";
    let _agent = start(&world, rules)?;
    // GRE, IPv6 in IPv4, IPv4 in IPv4, ESP, AH, OSPF.
    for protocol in [47, 41, 4, 50, 51, 89] {
        for (to, expected) in [("192.0.2.10", true), ("192.0.2.20", false)] {
            assert_eq!(arrives(&world, to.parse()?, protocol, &[0; 8])?, expected, "{to} {protocol}");
        }
    }
    for protocol in [47, 4, 50, 89] {
        for (to, expected) in [("2001:db8::10", true), ("2001:db8::20", false)] {
            assert_eq!(arrives(&world, to.parse()?, protocol, &[0; 8])?, expected, "{to} {protocol}");
        }
    }
    Ok(())
}

#[test]
fn echo_is_the_protocol_icmp_of_both_families_and_nothing_else_of_it_is() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let rules =
        "allow:\n- to: [{cidr: 192.0.2.10/32}, {cidr: '2001:db8::10/128'}]\n  ports: [{protocol: ICMP}]";
    let agent = start(&world, rules)?;
    for (family, to, expected) in [
        ("-4", "192.0.2.10", true),
        ("-4", "192.0.2.11", false),
        ("-6", "2001:db8::10", true),
        ("-6", "2001:db8::11", false),
    ] {
        let to: IpAddr = to.parse()?;
        let kind = if family == "-4" { 8 } else { 128 };
        assert_eq!(
            arrives(&world, to, if family == "-4" { 1 } else { 58 }, &[kind, 0, 0, 0, 0, 1, 0, 1])?,
            expected,
            "{to}"
        );
    }
    // A timestamp request, and a router's advertisement.
    assert!(!arrives(&world, "192.0.2.10".parse()?, 1, &[13, 0, 0, 0, 0, 1, 0, 1])?);
    assert!(!arrives(&world, "2001:db8::10".parse()?, 58, &[134, 0, 0, 0, 0, 0, 0, 0])?);
    assert!(agent.status()?["counters"]["unparsed"].as_u64() >= Some(2));
    Ok(())
}
