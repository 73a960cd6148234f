//! The world by itself, without an agent: everything can be reached, so that a refusal is the agent's work.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use egret_tests::world::{RESOLVER, STRANGER};
use egret_tests::{Attempt, Seen, Topology, World};

#[test]
fn every_pod_reaches_every_address_of_the_internet_over_both_families() -> Result<()> {
    for topology in [Topology::Routed, Topology::Bridge] {
        let world = World::with_topology(topology, &["shop/web", "shop/db"])?;
        for pod in world.pods() {
            for address in
                ["192.0.2.10", "198.51.100.77", "10.1.2.3", "169.254.169.254", "2001:db8::10", "2600::1"]
            {
                let outcome = pod.connect(address, 443)?;
                assert_eq!(outcome.seen, Seen::Connected, "{topology:?} {} {address}: {outcome:?}", pod.id());
                assert!(
                    outcome.said.contains(&format!("-internet {}", SocketAddr::new(address.parse()?, 443)))
                );
            }
        }
    }
    Ok(())
}

#[test]
fn a_port_that_nobody_listens_on_is_refused() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    for address in ["192.0.2.10", "2001:db8::10"] {
        assert_eq!(web.connect(address, 4444)?.seen, Seen::Refused);
        assert_eq!(web.dial_once(&Attempt::udp(address, 4444))?.seen, Seen::Refused);
    }
    Ok(())
}

#[test]
fn pods_and_node_reach_each_other_in_both_topologies() -> Result<()> {
    for topology in [Topology::Routed, Topology::Bridge] {
        let world = World::with_topology(topology, &["shop/web", "shop/db"])?;
        let (web, db) = (world.pod("shop/web"), world.pod("shop/db"));
        for address in db.addresses() {
            world.serve_tcp(db.netns(), SocketAddr::new(address, 5432))?;
            world.serve_udp(db.netns(), SocketAddr::new(address, 5432))?;
            for from in [web.netns(), world.node(), world.internet()] {
                for attempt in [Attempt::tcp(address, 5432), Attempt::udp(address, 5432)] {
                    let seen = egret_tests::dial::dial_from(from, &attempt)?.remove(0);
                    assert_eq!(
                        seen.seen,
                        Seen::Connected,
                        "{topology:?} {} {attempt:?} {seen:?}",
                        from.name()
                    );
                }
            }
        }
    }
    Ok(())
}

#[test]
fn names_resolve_through_glibc_and_by_plain_queries() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    world.dns().set("edge.example.net", &["192.0.2.10", "2001:db8::10"]);
    world.dns().alias("www.example.com", "edge.example.net");
    world.strange_dns().set("www.example.com", &["192.0.2.66", "2001:db8::66"]);
    let web = world.pod("shop/web");
    let by_glibc = Attempt::tcp("www.example.com", 443);
    let cases: [(Attempt, &str); 6] = [
        (by_glibc.clone().ipv4(), "192.0.2.10"),
        (by_glibc.clone().ipv6(), "2001:db8::10"),
        (by_glibc.clone().ipv4().via(RESOLVER.0), "192.0.2.10"),
        (by_glibc.clone().ipv6().via(RESOLVER.1), "2001:db8::10"),
        (by_glibc.clone().ipv4().via(STRANGER.0), "192.0.2.66"),
        (by_glibc.clone().ipv6().via(STRANGER.1), "2001:db8::66"),
    ];
    for (attempt, expected) in cases {
        let outcome = web.dial_once(&attempt)?;
        assert_eq!(outcome.seen, Seen::Connected, "{attempt:?} {outcome:?}");
        assert_eq!(outcome.address, Some(expected.parse::<IpAddr>()?), "{attempt:?}");
    }
    assert_eq!(web.connect("nowhere.example", 443)?.seen, Seen::Unresolved);
    Ok(())
}

#[test]
fn a_name_can_change_and_rotate_while_the_server_runs() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    world.dns().set("example.com", &["192.0.2.1"]);
    assert_eq!(web.connect("example.com", 80)?.address, Some("192.0.2.1".parse()?));
    world.dns().set("example.com", &["192.0.2.2"]);
    assert_eq!(web.connect("example.com", 80)?.address, Some("192.0.2.2".parse()?));

    world.dns().rotate("cdn.example", 1);
    let mut outcomes = web.dial(&Attempt::tcp("cdn.example", 443).ipv4().via(RESOLVER.0).times(500))?;
    assert!(outcomes.iter().all(|outcome| outcome.seen == Seen::Connected));
    outcomes.dedup_by_key(|outcome| outcome.address);
    assert_eq!(outcomes.len(), 500, "each time another address");
    Ok(())
}

#[test]
fn a_world_that_ends_leaves_nothing_behind() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let node = world.node().clone();
    let (directory, resolv) =
        (world.directory(), format!("/etc/netns/{}", world.pod("shop/web").netns().name()));
    let mut sleeper =
        node.command("sh").args(["-c", "echo inside; exec sleep 600"]).stdout(Stdio::piped()).spawn()?;
    // What is not inside yet when the world ends is nobody's to end.
    sleeper.stdout.take().context("stdout")?.read_exact(&mut [0; 6])?;
    assert!(node.path().exists() && directory.exists() && std::path::Path::new(&resolv).exists());
    drop(world);
    assert!(!node.path().exists() && !directory.exists() && !std::path::Path::new(&resolv).exists());
    assert!(!sleeper.wait()?.success(), "what ran inside was ended");
    Ok(())
}

#[test]
fn what_a_killed_process_left_is_swept_by_the_next_world() -> Result<()> {
    // No process has this id: ids end at 4194304.
    let left = "eg4194305-0-node";
    assert!(Command::new("ip").args(["netns", "add", left]).status()?.success());
    drop(World::with_pods(&[])?);
    assert!(!std::path::Path::new("/run/netns").join(left).exists());
    Ok(())
}

#[test]
fn a_resolver_in_wide_use_can_serve_a_world() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    for resolver in ["192.0.2.54", "2001:db8::54"] {
        let resolver: IpAddr = resolver.parse()?;
        let _unbound = world.run_unbound(resolver, &["example.com. 60 IN A 192.0.2.7"])?;
        let outcome =
            world.pod("shop/web").dial_once(&Attempt::tcp("example.com", 443).ipv4().via(resolver))?;
        assert_eq!(
            (outcome.seen, outcome.address),
            (Seen::Connected, Some("192.0.2.7".parse()?)),
            "{outcome:?}"
        );
    }
    Ok(())
}
