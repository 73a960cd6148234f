//! What others begin: whatever the policy of a server, its answers pass.

use egret_abi::{Counter::*, Tick};

use super::frame::{ACK, Ends, RST, SYN};
use super::world::{ALLOWED, Arrival, IDLE, NAME, World, both};
use crate::Egress;
use crate::parse::{TCP, UDP};

const PASSES: (Egress, Vec<egret_abi::Counter>) = (Egress::Pass, Vec::new());
const COMES: (Arrival, Vec<egret_abi::Counter>) = (Arrival::Pass, Vec::new());

/// The workload as a server, and a caller of it.
fn shake_hands(world: &World, ends: Ends) {
    assert_eq!(world.receive(&ends.back().segment(SYN, 700, 0, b"")), COMES);
    assert_eq!(world.send(&ends.segment(SYN | ACK, 900, 701, b"")), PASSES);
    assert_eq!(world.receive(&ends.back().segment(ACK, 701, 901, b"")), COMES);
}

#[test]
fn answers_to_what_came_from_outside_pass_and_outlive_every_epoch() {
    for ends in both(50_000) {
        let mut world = World::new();
        for (asked, answer) in [
            (ends.back().udp(b"hello"), ends.udp(b"hello")),
            (ends.back().echo(9, true), ends.echo(9, false)),
        ] {
            assert_eq!(world.send(&answer).1[0], Denied, "nobody has asked yet");
            assert_eq!(world.receive(&asked), COMES);
            for epoch in 2..4 {
                world.enter(epoch);
                assert_eq!(world.send(&answer), PASSES);
                assert_eq!(world.asked()[..3], ["generation", "flow", "call"]);
            }
        }
        assert_eq!(world.send(&ends.segment(SYN | ACK, 900, 701, b"")).1, [Denied], "nobody has called");
        shake_hands(&world, ends);
        for epoch in 4..6 {
            world.enter(epoch);
            assert_eq!(world.send(&ends.segment(ACK, 901, 701, b"hello")), PASSES);
        }
        assert_eq!((world.flows(), world.callers()), (0, [1, 3]));
    }
}

#[test]
fn an_answer_on_an_established_connection_costs_one_look_up_more_than_a_packet_of_its_own() {
    for ends in both(50_000) {
        let world = World::new();
        shake_hands(&world, ends);
        for _ in 0..2 {
            assert_eq!(world.send(&ends.segment(ACK, 901, 701, b"hello")), PASSES);
        }
        assert_eq!(world.asked(), ["generation", "flow", "inbound"]);
    }
}

#[test]
fn what_a_kernel_sends_before_a_handshake_is_complete_establishes_nothing() {
    for ends in both(50_000) {
        let world = World::new();
        assert_eq!(world.receive(&ends.back().segment(SYN, 700, 0, b"")), COMES);
        // An acknowledgement of what is out of its window, before and after its own SYN; that SYN again; a reset.
        for (flags, sequence, acknowledgment) in [
            (ACK, 901, 701),
            (SYN | ACK, 900, 701),
            (ACK, 901, 701),
            (SYN | ACK, 900, 701),
            (RST, 901, 0),
            (RST | ACK, 0, 701),
        ] {
            assert_eq!(world.send(&ends.segment(flags, sequence, acknowledgment, b"")), PASSES);
            assert_eq!(world.callers(), [0, 1], "{flags:#x} {sequence} {acknowledgment}");
        }
        assert_eq!(world.send(&ends.segment(SYN | ACK, 900, 5, b"")).1, [Denied], "no answer to that SYN");
    }
}

#[test]
fn what_a_kernel_sends_beyond_a_handshake_establishes_the_connection() {
    for ends in both(50_000) {
        for (sequence, acknowledgment, payload) in
            [(901, 701, b"first to speak".as_slice()), (901, 705, b""), (905, 701, b"")]
        {
            let world = World::new();
            shake_hands(&world, ends);
            assert_eq!(world.callers(), [0, 1]);
            assert_eq!(world.send(&ends.segment(ACK, sequence, acknowledgment, payload)), PASSES);
            assert_eq!(world.callers(), [1, 1]);
        }
    }
}

#[test]
fn a_flood_of_calls_takes_nothing_from_what_is_established() {
    for ends in both(50_000) {
        let mut world = World::new();
        shake_hands(&world, ends);
        assert_eq!(world.send(&ends.segment(ACK, 901, 701, b"established")), PASSES);
        world.forget_calls();
        world.now = world.now.plus(IDLE).plus(IDLE);
        assert_eq!(world.send(&ends.segment(ACK, 912, 701, b"after a long time")), PASSES);
    }
}

#[test]
fn a_call_is_over_when_nobody_answers_for_long() {
    for ends in both(50_000) {
        let mut world = World::new();
        assert_eq!(world.receive(&ends.back().segment(SYN, 700, 0, b"")), COMES);
        world.now = world.now.plus(IDLE);
        assert_eq!(world.send(&ends.segment(SYN | ACK, 900, 701, b"")).1, [Denied]);
        assert_eq!(world.receive(&ends.back().segment(SYN, 700, 0, b"")), COMES, "it calls again");
        assert_eq!(world.send(&ends.segment(SYN | ACK, 900, 701, b"")), PASSES);
    }
}

#[test]
fn a_caller_that_calls_anew_is_answered_anew() {
    for ends in both(50_000) {
        let world = World::new();
        shake_hands(&world, ends);
        assert_eq!(world.receive(&ends.back().segment(SYN, 5000, 0, b"")), COMES);
        assert_eq!(world.send(&ends.segment(ACK, 901, 701, b"")), PASSES);
        assert_eq!(world.callers(), [0, 1], "that was of before");
        assert_eq!(world.send(&ends.segment(SYN | ACK, 7000, 5001, b"")), PASSES);
        assert_eq!(world.send(&ends.segment(ACK, 7001, 5003, b"")), PASSES);
        assert_eq!(world.callers(), [1, 1]);
    }
}

#[test]
fn what_a_peer_goes_on_to_send_is_no_new_flow() {
    for ends in both(50_000) {
        let world = World::new();
        for frame in [ends.back().tcp(ACK), ends.back().tcp(SYN | ACK), ends.back().echo(1, false)] {
            assert_eq!(world.receive(&frame), COMES);
        }
        assert_eq!((world.flows(), world.callers()), (0, [0, 0]));
        assert_eq!(world.send(&ends.tcp(ACK)).1, [Denied]);
    }
}

#[test]
fn a_connection_of_its_own_on_the_ports_of_one_from_outside_is_judged() {
    for ends in both(50_000) {
        let world = World::new();
        assert_eq!(world.receive(&ends.back().tcp(SYN)), COMES);
        assert_eq!(world.send(&ends.tcp(SYN)).1, [Denied]);
        assert_eq!(world.send(&ends.segment(SYN | ACK, 900, 1001, b"")), PASSES);
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
        assert_eq!(world.send(&ends.tcp(ACK)).1, [Denied, Cut]);
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
        assert_eq!((world.flows(), world.callers()), (0, [0, 1]));
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
            assert_eq!((world.flows(), world.callers()), (0, [0, 0]));
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
            ends.back().ip(135, b""),
            ends.back().tcp(SYN).with(12, &[0x88, 0xcc]),
        ] {
            assert_eq!(world.receive(&frame), COMES);
        }
        assert_eq!(world.flows(), 0);
    }
}

#[test]
fn one_door_looks_and_the_other_lets_all_go_by_or_looks_at_what_was_seen_coming_in() {
    use egret_abi::{AT_HOST, INSIDE, SEEN};
    let mut world = World::new();
    for (says, other) in [(AT_HOST, INSIDE), (INSIDE, AT_HOST)] {
        world.config.door = says;
        for is_seen in [true, false] {
            assert!(crate::ingress::is_watched(&world, says, || is_seen));
            assert!(!crate::ingress::is_watched(&world, other, || is_seen));
        }
    }
    world.config.door = SEEN;
    assert!(crate::ingress::is_watched(&world, AT_HOST, || false));
    assert!(crate::ingress::is_watched(&world, INSIDE, || true));
    assert!(!crate::ingress::is_watched(&world, INSIDE, || false));
}
