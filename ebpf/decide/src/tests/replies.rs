//! What others begin: whatever the policy of a server, its answers pass.

use egret_abi::{Counter::*, Direction, RuleId, Said, Tick, action_reason as why};

use super::frame::{ACK, Ends, SYN};
use super::world::{ALLOWED, Arrival, IDLE, NAME, World, both};
use crate::Egress;
use crate::parse::{TCP, UDP};

const PASSES: (Egress, Vec<egret_abi::Counter>) = (Egress::Pass, Vec::new());
const COMES: (Arrival, Vec<egret_abi::Counter>) = (Arrival::Pass, Vec::new());

#[test]
fn answers_to_what_came_from_outside_pass_and_outlive_every_epoch() {
    for ends in both(50_000) {
        let mut world = World::new();
        for (asked, answer) in [
            (ends.back().tcp(SYN), ends.tcp(SYN | ACK)),
            (ends.back().udp(b"hello"), ends.udp(b"hello")),
            (ends.back().echo(9, true), ends.echo(9, false)),
        ] {
            assert_eq!(world.send(&answer).1[0], Denied, "nobody has asked yet");
            assert_eq!(world.receive(&asked), COMES);
            for epoch in 2..4 {
                world.enter(epoch);
                assert_eq!(world.send(&answer), PASSES);
                assert_eq!(world.asked()[..2], ["generation", "flow"]);
            }
        }
        world.events();
        assert_eq!(world.flows(), 3);
        let flow = world.flow(ends, TCP).unwrap();
        assert_eq!(
            (flow.direction, flow.applied_why, flow.observed_why),
            (Direction::In as u8, why::REPLY, why::REPLY)
        );
        assert_eq!((flow.until, flow.packets), (Tick::NEVER, 2));
        assert_eq!(world.flow(ends, UDP).unwrap().until, world.now.plus(IDLE));
    }
}

#[test]
fn what_a_peer_goes_on_to_send_is_no_new_flow() {
    for ends in both(50_000) {
        let world = World::new();
        for frame in [ends.back().tcp(ACK), ends.back().tcp(SYN | ACK), ends.back().echo(1, false)] {
            assert_eq!(world.receive(&frame), COMES);
        }
        assert_eq!(world.flows(), 0);
        assert_eq!(world.send(&ends.tcp(ACK)).1, [Denied]);
    }
}

#[test]
fn a_connection_of_its_own_on_the_ports_of_one_from_outside_is_judged() {
    for ends in both(50_000) {
        let world = World::new();
        assert_eq!(world.receive(&ends.back().tcp(SYN)), COMES);
        assert_eq!(world.send(&ends.tcp(SYN)).1, [Denied]);
        assert_eq!(world.send(&ends.tcp(SYN | ACK)), PASSES);
    }
}

#[test]
fn what_comes_in_never_takes_a_flow_that_the_workload_began() {
    for ends in both(443) {
        let mut world = World::new();
        world.bind(ends.to, NAME, Tick::NEVER);
        world.any(NAME, ALLOWED);
        assert_eq!(world.send(&ends.tcp(SYN)).1, [Allowed]);
        assert_eq!(world.send(&ends.udp(b"")).1, [Allowed]);
        let before = [TCP, UDP].map(|protocol| world.flow(ends, protocol).unwrap());
        world.now = world.now.plus(Tick(1));
        assert_eq!(world.receive(&ends.back().tcp(SYN)), COMES);
        assert_eq!(world.receive(&ends.back().udp(b"")), COMES);
        assert_eq!([TCP, UDP].map(|protocol| world.flow(ends, protocol).unwrap()), before);
        // Or a peer could keep alive what a policy no longer allows.
        world.forget_rules();
        world.enter(2);
        assert_eq!(world.send(&ends.tcp(ACK)).1, [Denied]);
        assert_eq!(world.send(&ends.udp(b"")).1, [Denied, Icmp]);
    }
}

#[test]
fn answers_to_datagrams_pass_while_one_side_or_the_other_goes_on() {
    for ends in both(50_000) {
        let mut world = World::new();
        assert_eq!(world.receive(&ends.back().udp(b"")), COMES);
        let step = Tick(IDLE.0 - 1);
        world.now = world.now.plus(step);
        assert_eq!(world.receive(&ends.back().udp(b"")), COMES);
        world.now = world.now.plus(step);
        assert_eq!(world.send(&ends.udp(b"")), PASSES);
        world.now = world.now.plus(step);
        assert_eq!(world.send(&ends.udp(b"")), PASSES);
        world.now = world.now.plus(IDLE);
        assert_eq!(world.send(&ends.udp(b"")).1, [Denied, Icmp]);
        assert_eq!(world.receive(&ends.back().udp(b"")), COMES);
        assert_eq!(world.send(&ends.udp(b"")), PASSES);
        assert_eq!(world.flows(), 1);
    }
}

#[test]
fn a_full_flow_table_is_counted_and_lets_the_request_in() {
    for ends in both(50_000) {
        let mut world = World::new();
        world.full = true;
        assert_eq!(world.receive(&ends.back().tcp(SYN)), (Arrival::Pass, vec![FlowsFull]));
    }
}

#[test]
fn what_is_sent_to_an_address_that_is_not_its_own_opens_nothing() {
    for (ends, group) in both(53).into_iter().zip(["224.0.0.251:53", "[ff02::fb]:53"]) {
        let world = World::new();
        let resolver = super::world::to_resolver().map(|ends| ends.to).into_iter();
        let resolver = resolver.filter(|to| to.is_ipv4() == ends.to.is_ipv4());
        for other in resolver.chain([group.parse().unwrap()]) {
            let asked = Ends { from: ends.to, to: other };
            assert_eq!(world.receive(&asked.udp(b"")), COMES);
            assert_eq!(world.receive(&asked.tcp(SYN)), COMES);
            assert_eq!(world.flows(), 0);
            assert_eq!(world.send(&asked.back().udp(b"forged")), (Egress::Drop, vec![Spoofed]));
        }
    }
}

#[test]
fn what_cannot_be_read_comes_in_and_opens_nothing() {
    for ends in both(50_000) {
        let world = World::new();
        for frame in [
            ends.back().tcp(SYN).cut(40),
            ends.back().ip(51, b""),
            ends.back().tcp(SYN).with(12, &[0x88, 0xcc]),
        ] {
            assert_eq!(world.receive(&frame), COMES);
        }
        assert_eq!(world.flows(), 0);
    }
}

#[test]
fn a_reply_is_told_by_no_rule() {
    for ends in both(50_000) {
        let world = World::new();
        assert_eq!(world.receive(&ends.back().tcp(SYN)), COMES);
        let flow = world.flow(ends, TCP).unwrap();
        assert_eq!(
            (flow.applied, flow.observed, flow.applied.rule()),
            (Said::NOTHING, Said::NOTHING, RuleId::NONE)
        );
    }
}
