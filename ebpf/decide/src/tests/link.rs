//! What keeps the link alive is never judged, nor asked for its source.

use egret_abi::Counter::{Denied, Icmp, Spoofed, Unparsed};

use super::frame::{Ends, Frame, with_extensions};
use super::world::{World, own};
use crate::Egress::{Drop, Pass};
use crate::parse::{ICMP6, LINK};

const HOPS: usize = LINK + 7;

fn icmp6(to: &str, kind: u8, hops: u8) -> Frame {
    let ends = Ends::new("[fe80::7]:0", &format!("[{to}]:0"));
    ends.ip(ICMP6, &[kind, 0, 0, 0, 0, 0, 0, 0]).with(HOPS, &[hops])
}

/// Where the source of [`icmp6`] is the workload's own.
fn with_link_local() -> World {
    let mut world = World::new();
    world.own.insert(own("[fe80::7]:0".parse().unwrap()));
    world
}

#[test]
fn neighbour_discovery_passes_with_the_hop_limit_that_no_router_forwards() {
    let world = with_link_local();
    for kind in 133..=137 {
        assert_eq!(world.send(&icmp6("ff02::1:ff00:1", kind, 255)), (Pass, vec![]), "type {kind}");
        assert_eq!(world.send(&icmp6("2001:db8::1", kind, 255)), (Pass, vec![]), "type {kind}");
        assert_eq!(world.send(&icmp6("2001:db8::1", kind, 254)), (Drop, vec![Unparsed]), "type {kind}");
    }
    assert_eq!(world.send(&icmp6("ff02::1", 138, 255)), (Drop, vec![Unparsed]));
}

#[test]
fn multicast_listening_passes_to_groups_of_the_link_and_one_hop() {
    let world = with_link_local();
    for kind in [130, 131, 132, 143] {
        let report = icmp6("ff02::16", kind, 1);
        assert_eq!(world.send(&report), (Pass, vec![]), "type {kind}");
        // With the router alert in a hop-by-hop header, as every host sends it.
        assert_eq!(world.send(&with_extensions(&report, 0, 1, 1)), (Pass, vec![]), "type {kind}");
        assert_eq!(world.send(&icmp6("ff01::1", kind, 1)), (Pass, vec![]), "type {kind}");
        for (to, hops) in
            [("ff02::16", 2), ("ff02::16", 255), ("ff05::16", 1), ("ff0e::16", 1), ("2001:db8::1", 1)]
        {
            assert_eq!(
                world.send(&icmp6(to, kind, hops)),
                (Drop, vec![Unparsed]),
                "type {kind} to {to}, {hops}"
            );
        }
    }
}

#[test]
fn address_resolution_passes() {
    let world = World::new();
    let frame = Frame::new(vec![0; 42]).with(12, &[0x08, 0x06]);
    assert_eq!(world.send(&frame), (Pass, vec![]));
    assert_eq!(world.asked(), ["generation"]);
}

#[test]
fn asking_all_for_an_address_passes_and_asking_one_is_judged() {
    let world = World::new();
    for (from, to, expected) in [
        ("0.0.0.0:68", "255.255.255.255:67", (Pass, vec![])),
        ("10.0.0.7:68", "255.255.255.255:67", (Pass, vec![])),
        ("[fe80::7]:546", "[ff02::1:2]:547", (Pass, vec![])),
        ("0.0.0.0:68", "192.0.2.1:67", (Drop, vec![Spoofed])),
        ("0.0.0.0:68", "255.255.255.255:69", (Drop, vec![Spoofed])),
        ("0.0.0.0:67", "255.255.255.255:67", (Drop, vec![Spoofed])),
        ("[fe80::7]:546", "[2001:db8::1]:547", (Drop, vec![Spoofed])),
        ("[fe80::7]:546", "[ff05::1:3]:547", (Drop, vec![Spoofed])),
    ] {
        assert_eq!(world.send(&Ends::new(from, to).udp(b"")), expected, "{from} to {to}");
    }
    for (from, to) in [("10.0.0.7:68", "192.0.2.1:67"), ("[fd00::7]:546", "[2001:db8::1]:547")] {
        assert_eq!(world.send(&Ends::new(from, to).udp(b"")).1, [Denied, Icmp], "{from} to {to}");
    }
    assert_eq!(world.flows(), 0);
}

#[test]
fn what_the_link_says_to_the_workload_opens_nothing() {
    let world = World::new();
    for frame in [icmp6("fd00::7", 135, 255), Ends::new("192.0.2.1:68", "255.255.255.255:67").udp(b"")] {
        assert_eq!(world.receive(&frame).1, []);
        assert!(world.asked().is_empty());
    }
    assert_eq!(world.flows(), 0);
}
