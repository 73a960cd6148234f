//! What a workload says on its link: it speaks for itself alone.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use egret_tests::agent::PATIENCE;
use egret_tests::netns::ip_batch;
use egret_tests::{Agent, Seen, Setup, Topology, World, enforced, eventually};

fn counter(agent: &Agent, name: &str) -> Result<u64> {
    agent.status()?["counters"][name].as_u64().with_context(|| format!("no counter {name}"))
}

const PODS: [&str; 3] = ["shop/web", "shop/thief", "shop/db"];

/// The thief gives itself both addresses of `web`, which is silent from now on, announces them, and serves there.
fn steal(world: &World) -> Result<[IpAddr; 2]> {
    let (web, thief, db) = (world.pod("shop/web"), world.pod("shop/thief"), world.pod("shop/db"));
    let addresses = web.addresses();
    // The kernel would take its IPv6 addresses away, and then they would be anybody's.
    web.netns()
        .set(&[("ipv6/conf/all/keep_addr_on_down", "1"), ("ipv6/conf/eth0/keep_addr_on_down", "1")])?;
    ip_batch(Some(web.netns()), &["link set eth0 down".to_owned()])?;
    thief.netns().set(&[("ipv4/conf/eth0/arp_notify", "1"), ("ipv6/conf/eth0/ndisc_notify", "1")])?;
    ip_batch(
        Some(thief.netns()),
        &[
            format!("addr add {}/16 dev eth0", addresses[0]),
            format!("addr add {}/64 dev eth0 nodad", addresses[1]),
        ],
    )?;
    for address in addresses {
        world.serve_tcp(thief.netns(), SocketAddr::new(address, 8080))?;
    }
    ip_batch(Some(db.netns()), &["neigh flush dev eth0".to_owned()])?;
    Ok(addresses)
}

#[test]
fn without_an_agent_a_neighbour_on_a_bridge_takes_another_s_place() -> Result<()> {
    let world = World::with_topology(Topology::Bridge, &PODS)?;
    for address in steal(&world)? {
        assert_eq!(
            world.pod("shop/db").connect(&address.to_string(), 8080)?.seen,
            Seen::Connected,
            "{address}"
        );
    }
    Ok(())
}

#[test]
fn a_neighbour_on_a_bridge_cannot_take_another_s_place_whatever_its_policy() -> Result<()> {
    for rules in [None, Some("allow:\n- to: [{cidr: 0.0.0.0/0}, {cidr: '::/0'}]")] {
        let world = World::with_topology(Topology::Bridge, &PODS)?;
        let mut setup = Setup::new(&world)?;
        if let Some(rules) = rules {
            setup = setup.policy("thief.yaml", &enforced("shop/thief", rules))?;
        }
        let agent = setup.start()?;
        for (pod, to) in [("shop/db", "shop/web"), ("shop/web", "shop/thief")] {
            for address in world.pod(to).addresses() {
                world.serve_tcp(world.pod(to).netns(), SocketAddr::new(address, 9090))?;
                let seen = world.pod(pod).connect(&address.to_string(), 9090)?.seen;
                assert_eq!(seen, Seen::Connected, "{address} has its own place");
            }
        }
        let before = counter(&agent, "spoofed_source")?;
        for address in steal(&world)? {
            let seen = world.pod("shop/db").connect(&address.to_string(), 8080)?.seen;
            assert_ne!(seen, Seen::Connected, "{address}");
        }
        assert!(counter(&agent, "spoofed_source")? > before);
    }
    Ok(())
}

#[test]
fn a_new_address_is_found_by_its_neighbours_on_a_bridge() -> Result<()> {
    let world = World::with_topology(Topology::Bridge, &PODS)?;
    let (web, db) = (world.pod("shop/web"), world.pod("shop/db"));
    let _agent = Setup::new(&world)?.start()?;
    for (address, suffix) in [("10.244.9.9", "/16 dev eth0"), ("fd00:244::99", "/64 dev eth0 nodad")] {
        ip_batch(Some(web.netns()), &[format!("addr add {address}{suffix}")])?;
        world.serve_tcp(web.netns(), SocketAddr::new(address.parse()?, 8080))?;
        eventually(address, PATIENCE, || {
            Ok((db.connect(address, 8080)?.seen == Seen::Connected).then_some(()))
        })?;
    }
    Ok(())
}
