//! What one workload does to the tables costs itself, and not its neighbours.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use anyhow::Result;
use egret_tests::dial::Conversation;
use egret_tests::{Pod, Seen, Setup, World, enforced, policy};

/// Many times what a workload's own table holds.
const MANY: u32 = 20_000;

/// One datagram each to so many destinations, of both families by turns.
fn open_random_flows(pod: &Pod) -> Result<()> {
    pod.netns().run(|| -> Result<()> {
        let ipv4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let ipv6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
        for number in 0..MANY {
            let scattered = number.wrapping_mul(0x9e37_79b1);
            let port = 1024 + (scattered >> 18) as u16;
            if number % 2 == 0 {
                let to = Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(198, 18, 0, 0)) | scattered >> 16);
                ipv4.send_to(b"1", SocketAddr::new(to.into(), port))?;
            } else {
                let to = Ipv6Addr::new(0x2001, 0xdb8, 0x18, 0, 0, 0, (scattered >> 16) as u16, number as u16);
                ipv6.send_to(b"1", SocketAddr::new(to.into(), port))?;
            }
        }
        Ok(())
    })?
}

#[test]
fn a_workload_with_ever_new_flows_costs_no_other_its_own() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/busy"])?;
    let (web, busy) = (world.pod("shop/web"), world.pod("shop/busy"));
    let everywhere = "allow:\n- to: [{cidr: 0.0.0.0/0}, {cidr: '::/0'}]";
    let agent = Setup::new(&world)?
        .policy("web.yaml", &policy("shop/web", "Enforce", "all", "default: Deny"))?
        .policy("busy.yaml", &enforced("shop/busy", everywhere))?
        .start()?;
    // Replies to who connects from outside pass for nothing but their flow: without it they would be refused.
    let mut open = Vec::new();
    for address in web.addresses() {
        world.serve_tcp(web.netns(), (address, 8080).into())?;
        open.push(Conversation::open(world.internet(), (address, 8080).into())?);
    }
    let allowed = || -> Result<u64> {
        Ok(agent.status()?["counters"]["first_packets_allowed"].as_u64().unwrap_or_default())
    };
    let before = allowed()?;
    open_random_flows(busy)?;
    assert!(allowed()? - before > u64::from(MANY) * 9 / 10, "each was a flow of its own");
    open.iter_mut().try_for_each(Conversation::go_on)?;
    assert_eq!(web.connect("203.0.113.77", 443)?.seen, Seen::Refused);
    let told = agent.flow(web, |flow| flow.destination.port == 443)?;
    assert_eq!(told.applied.action, "deny", "its records are not lost in the other's");
    Ok(())
}
