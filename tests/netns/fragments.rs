//! Datagrams in pieces: they arrive whole or not at all.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};
use egret_tests::raw::{Piece, Raw};
use egret_tests::{Agent, Pod, Setup, World, enforced, policy};

const UDP: u8 = 17;
const TCP: u8 = 6;
const TO: [&str; 2] = ["192.0.2.99", "2001:db8::99"];
const RULES: &str = "allow:\n- to: [{cidr: 192.0.2.0/24}, {cidr: '2001:db8::/32'}]\n  ports: [{protocol: UDP, port: 123}, {protocol: TCP, port: 123}]";
/// More than two links carry at once.
const LONG: usize = 4000;

fn counter(agent: &Agent, name: &str) -> Result<u64> {
    agent.status()?["counters"][name].as_u64().with_context(|| format!("no counter {name}"))
}

/// What comes back to `pod` for a long datagram to `to`: how many bytes, or the error.
fn exchange(pod: &Pod, to: SocketAddr) -> Result<std::io::Result<usize>> {
    pod.netns().run(|| {
        let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        socket.send(&[7; LONG])?;
        Ok(socket.recv(&mut [0; 65_536]))
    })?
}

#[test]
fn a_long_datagram_passes_whole_where_it_is_allowed_and_is_refused_at_once_where_it_is_not() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let _agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    for to in TO {
        let to: IpAddr = to.parse()?;
        for port in [123, 124] {
            world.serve_udp(world.internet(), (to, port).into())?;
        }
        for _ in 0..3 {
            let length = exchange(web, (to, 123).into())?.with_context(|| format!("{to}"))?;
            assert!(length > LONG, "{to}: {length}");
        }
        let error = exchange(web, (to, 124).into())?.expect_err("denied");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{to}: {error}");
    }
    Ok(())
}

#[test]
fn a_server_answers_with_long_datagrams_whatever_its_policy() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let nothing = policy("shop/web", "Enforce", "all", "default: Deny");
    let _agent = Setup::new(&world)?.policy("web.yaml", &nothing)?.start()?;
    for address in web.addresses() {
        world.serve_udp(web.netns(), (address, 5000).into())?;
        let length = world.internet().run(|| -> Result<usize> {
            let any: IpAddr = if address.is_ipv4() { TO[0].parse()? } else { TO[1].parse()? };
            let socket = UdpSocket::bind((any, 0))?;
            socket.set_read_timeout(Some(Duration::from_secs(2)))?;
            socket.send_to(&[7; LONG], (address, 5000))?;
            Ok(socket.recv(&mut [0; 65_536])?)
        })??;
        assert!(length > LONG, "{address}: {length}");
    }
    Ok(())
}

/// A UDP header to `port` with room for `length` bytes, without a checksum.
fn udp_header(port: u16, length: u16) -> Vec<u8> {
    [5000u16, port, 8 + length, 0].map(u16::to_be_bytes).concat()
}

#[test]
fn pieces_that_are_made_to_deceive_go_nowhere() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", RULES))?.start()?;
    let raw = Raw::open(web.netns())?;
    let mut id = 100;
    for (to, from) in TO.iter().zip(web.addresses()) {
        let to: IpAddr = to.parse()?;
        let receiver = world.internet().run(|| UdpSocket::bind((to, 124)))??;
        receiver.set_read_timeout(Some(Duration::from_millis(100)))?;
        let unread =
            |what: &str, id: u16, protocol: u8, pieces: &[(u16, bool, Vec<u8>)], denied: u64| -> Result<()> {
                let before = counter(&agent, "unparsed")?;
                for (at, more, bytes) in pieces {
                    raw.send_piece(from, to, protocol, Piece { id, at: *at, more: *more }, bytes)?;
                }
                assert_eq!(counter(&agent, "unparsed")? - before, denied, "{to}: {what}");
                assert!(receiver.recv(&mut [0; 64]).is_err(), "{to}: {what}");
                Ok(())
            };
        let allowed = [udp_header(123, 40), vec![1; 8]].concat();
        let segment = [5000u16, 123].map(u16::to_be_bytes).concat();
        let segment = [segment, vec![0; 8], vec![5 << 4, 2], vec![0; 18]].concat();
        id += 10;
        unread("a later piece of nothing", id, UDP, &[(16, false, vec![1; 32])], 1)?;
        unread(
            "a tiny first piece of TCP",
            id + 1,
            TCP,
            &[(0, true, segment[..8].to_vec()), (8, true, segment[8..24].to_vec())],
            2,
        )?;
        unread(
            "a piece over the flags of TCP",
            id + 2,
            TCP,
            &[(0, true, segment.clone()), (8, true, vec![2; 16])],
            1,
        )?;
        unread(
            "a piece beyond the longest packet",
            id + 3,
            UDP,
            &[(0, true, allowed.clone()), (65_528, false, vec![1; 32])],
            1,
        )?;
        // Both begin a packet of one number: the denied one must not ride on what follows the allowed one.
        let before = counter(&agent, "packets_denied")?;
        let denied = [udp_header(124, 40), vec![2; 8]].concat();
        let pieces = [
            (0, true, denied.clone()),
            (0, true, allowed.clone()),
            (0, true, denied),
            (16, false, vec![3; 32]),
        ];
        unread("two that begin", id + 4, UDP, &pieces, 0)?;
        assert_eq!(counter(&agent, "packets_denied")? - before, 2, "{to}");
        unread("one number of many", id + 5, UDP, &[(0, true, allowed), (16, false, vec![3; 32])], 0)?;
    }
    Ok(())
}

#[test]
fn a_flood_of_pieces_costs_no_other_workload_its_own() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/busy"])?;
    let (web, busy) = (world.pod("shop/web"), world.pod("shop/busy"));
    let agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", RULES))?
        .policy("busy.yaml", &enforced("shop/busy", RULES))?
        .start()?;
    let many: u32 =
        std::env::var("EGRET_FRAGMENTS").ok().and_then(|many| many.parse().ok()).unwrap_or(20_000);
    let (mine, theirs) = (Raw::open(web.netns())?, Raw::open(busy.netns())?);
    for (at, to) in TO.iter().enumerate() {
        let (to, from, other): (IpAddr, _, _) = (to.parse()?, web.addresses()[at], busy.addresses()[at]);
        let first = [udp_header(123, 16), vec![1; 8]].concat();
        mine.send_piece(from, to, UDP, Piece { id: 7, at: 0, more: true }, &first)?;
        let before = counter(&agent, "unparsed")?;
        for number in 0..many {
            let piece = Piece { id: number as u16, at: if number % 2 == 0 { 0 } else { 800 }, more: true };
            theirs.send_piece(other, to, UDP, piece, &first)?;
        }
        let denied = counter(&agent, "unparsed")? - before;
        assert!(denied >= u64::from(many / 2), "{denied} of {many} followed nothing");
        // Its receiver may be short of memory by now; what counts is that the node let it go on.
        let before = counter(&agent, "unparsed")?;
        mine.send_piece(from, to, UDP, Piece { id: 7, at: 16, more: false }, &[2; 8])?;
        assert_eq!(counter(&agent, "unparsed")?, before, "{to}");
    }
    Ok(())
}
