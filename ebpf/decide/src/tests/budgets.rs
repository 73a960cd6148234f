//! Bounds: how many refusals and events one workload may cause.

use egret_abi::{Counter::*, Tick};

use super::frame::{SYN, with_extensions, with_options};
use super::world::{World, both};
use crate::Egress::{Drop, Reset, Unreachable};
use crate::budget::take;
use crate::parse::LINK;

#[test]
fn a_bucket_gives_its_rate_and_fills_again_after_a_second() {
    let (mut at, mut left) = (Tick(0), 0);
    let mut taken = |now, rate| (0..10).filter(|_| take(&mut at, &mut left, Tick(now), rate)).count();
    assert_eq!(taken(100, 3), 3);
    assert_eq!(taken(114, 3), 0);
    assert_eq!(taken(115, 3), 3);
    assert_eq!(taken(500, 4), 4, "what was not used is not saved up");
    assert_eq!(taken(600, 0), 0);
    assert_eq!(taken(u32::MAX, 2), 2);
}

#[test]
fn datagrams_are_refused_within_the_budget_and_then_dropped() {
    for ends in both(443) {
        let mut world = World::new();
        let transport = LINK + if ends.to.is_ipv4() { 20 } else { 40 };
        for _ in 0..2 {
            for _ in 0..world.config.refusals {
                assert_eq!(world.send(&ends.udp(b"")), (Unreachable { transport }, vec![Denied, Icmp]));
            }
            assert_eq!(world.send(&ends.udp(b"")), (Drop, vec![Denied, RefusalsOver]));
            // Resets take none of it: a process that gets one stops.
            assert_eq!(world.send(&ends.tcp(SYN)), (Reset { transport }, vec![Denied]));
            world.now = world.now.plus(Tick(15));
        }
    }
}

#[test]
fn a_datagram_that_no_icmp_error_can_quote_is_dropped_and_takes_no_refusal() {
    let [v4, v6] = both(443).map(|ends| ends.udp(b""));
    let mut world = World::new();
    world.config.refusals = 1;
    assert_eq!(world.send(&with_options(&v4, 1)), (Drop, vec![Denied]));
    let refused = (Unreachable { transport: LINK + 48 }, vec![Denied, Icmp]);
    assert_eq!(world.send(&with_extensions(&v6, 60, 1, 1)), refused);
}

#[test]
fn what_is_neither_tcp_nor_udp_is_dropped_without_an_answer() {
    for ends in both(0) {
        let world = World::new();
        assert_eq!(world.send(&ends.echo(1, true)), (Drop, vec![Denied]));
        assert_eq!(world.send(&ends.ip(47, &[0; 8])), (Drop, vec![Denied]));
        assert_eq!(world.send(&ends.ip(132, &[0; 12])), (Drop, vec![Denied]));
    }
}

#[test]
fn events_beyond_the_budget_are_counted_and_change_no_verdict() {
    for ends in both(443) {
        let mut world = World::new();
        world.config.events = 2;
        for _ in 0..2 {
            for _ in 0..2 {
                assert_eq!(world.send(&ends.tcp(SYN)).1, [Denied]);
            }
            let (egress, counted) = world.send(&ends.tcp(SYN));
            assert!(matches!(egress, Reset { .. }));
            assert_eq!(counted, [Denied, EventsOver]);
            assert_eq!(world.send(&ends.back().tcp(SYN)), (Drop, vec![Spoofed, EventsOver]));
            assert_eq!(world.send(&ends.ip(135, b"")), (Drop, vec![Unparsed, EventsOver]));
            assert_eq!(world.events().len(), 2);
            world.now = world.now.plus(Tick(15));
        }
        world.config.events = 0;
        world.ruleset().applied_default = [0; 3];
        assert_eq!(world.send(&ends.tcp(SYN)), (crate::Egress::Pass, vec![Allowed, EventsOver]));
    }
}

#[test]
fn each_workload_has_a_budget_of_its_own() {
    for ends in both(443) {
        let mut world = World::new();
        world.config.refusals = 1;
        let neighbour = egret_abi::WorkloadIndex(8);
        world.workloads.insert(neighbour, world.workloads[&super::world::POD]);
        world.own.insert(egret_abi::OwnKey { workload: neighbour, ..super::world::own(ends.from) });
        assert_eq!(world.send(&ends.udp(b"")).1, [Denied, Icmp]);
        assert_eq!(world.send(&ends.udp(b"")).1, [Denied, RefusalsOver]);
        assert_eq!(world.send_as(neighbour, &ends.udp(b"")).1, [Denied, Icmp]);
    }
}
