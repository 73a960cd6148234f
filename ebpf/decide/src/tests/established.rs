//! Flows that are known: the hot path.

use egret_abi::{Counter::*, Epoch, RuleId, Tick, WorkloadIndex, action_reason as why};

use super::frame::{ACK, Ends, FIN, RST, SYN};
use super::world::{ALLOWED, IDLE, NAME, POD, RULE, START, World, both, says};
use crate::Egress::{Drop, Pass, Reset, Unreachable};
use crate::Packet;
use crate::parse::{TCP, UDP};

fn allowing(ends: Ends) -> World {
    let mut world = World::new();
    world.bind(ends.to, NAME, START.plus(Tick(1)));
    world.any(NAME, ALLOWED);
    world
}

#[test]
fn a_first_packet_makes_a_flow_an_event_and_a_count() {
    for ends in both(443) {
        let world = allowing(ends);
        let frame = ends.tcp(SYN);
        assert_eq!(world.send(&frame), (Pass, vec![Allowed]));
        let flow = world.flow(ends, TCP).unwrap();
        assert_eq!((flow.epoch, flow.until, flow.class), (Epoch(1), Tick::NEVER, NAME));
        assert_eq!((flow.applied, flow.observed), (ALLOWED.applied, ALLOWED.observed));
        assert_eq!((flow.applied_why, flow.observed_why), (why::RULE, why::RULE));
        assert_eq!((flow.packets, flow.bytes), (1, frame.length().into()));
        let [event] = world.events()[..] else { panic!("one event") };
        assert_eq!(
            (event.time, event.generation.epoch(), event.workload),
            (START.nanoseconds(), Epoch(1), POD)
        );
        assert_eq!((event.length, event.protocol, event.class), (frame.length(), TCP, NAME));
        assert_eq!((event.applied, event.observed), (ALLOWED.applied, ALLOWED.observed));
        assert_eq!((event.applied_why, event.observed_why), (why::RULE, why::RULE));
        assert_eq!(
            (event.local, event.remote),
            (super::world::address(ends.from.ip()), super::world::address(ends.to.ip()))
        );
        assert_eq!((event.local_port, event.remote_port), (40000u16.to_be_bytes(), 443u16.to_be_bytes()));
    }
}

#[test]
fn a_packet_of_a_known_flow_is_added_up_by_one_look_up() {
    for ends in both(443) {
        let mut world = allowing(ends);
        assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![Allowed]));
        assert_eq!(world.send(&ends.udp(b"")), (Pass, vec![Allowed]));
        // Nothing but the flow is asked: neither the name nor the rule need be there any more.
        world.bindings.clear();
        world.forget_rules();
        world.events();
        let (before, segment) = (world.flow(ends, TCP).unwrap(), ends.segment(ACK, 1, 1, b"data"));
        for flags in [ACK, ACK | FIN, RST, SYN | ACK, 0] {
            assert_eq!(world.send(&segment.clone().with(segment.len() - 11, &[flags])), (Pass, vec![]));
            assert_eq!(world.asked(), ["generation", "flow"], "{flags:#x}");
        }
        let after = world.flow(ends, TCP).unwrap();
        let bytes = before.bytes + 5 * u64::from(segment.length());
        assert_eq!(after, egret_abi::Flow { packets: 6, bytes, ..before });

        assert_eq!(world.send(&ends.udp(b"data")), (Pass, vec![]));
        assert_eq!(world.asked(), ["generation", "flow", "config"]);
        assert_eq!(world.flow(ends, UDP).unwrap().packets, 2);
        assert!(world.events().is_empty());
    }
}

#[test]
fn a_syn_on_a_known_flow_is_a_first_packet_again() {
    for ends in both(443) {
        let mut world = allowing(ends);
        for _ in 0..2 {
            assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![Allowed]));
            assert_eq!(world.send(&ends.tcp(ACK)), (Pass, vec![]));
            assert_eq!(world.flow(ends, TCP).unwrap().packets, 2);
            assert_eq!(world.reasons(), [(why::RULE, why::RULE)]);
        }
        world.now = world.now.plus(Tick(1));
        let (egress, counted) = world.send(&ends.tcp(SYN));
        assert!(matches!(egress, Reset { .. }), "its name has expired");
        assert_eq!(counted, [Denied]);
    }
}

#[test]
fn a_datagram_flow_lives_as_long_as_it_is_used() {
    for ends in both(443) {
        let mut world = allowing(ends);
        assert_eq!(world.send(&ends.udp(b"")), (Pass, vec![Allowed]));
        for _ in 0..3 {
            world.now = world.now.plus(Tick(IDLE.0 - 1));
            assert_eq!(world.send(&ends.udp(b"")), (Pass, vec![]));
            assert_eq!(world.flow(ends, UDP).unwrap().until, world.now.plus(IDLE));
        }
        assert_eq!(world.flow(ends, UDP).unwrap().packets, 4);
        assert_eq!(world.reasons(), [(why::RULE, why::RULE)]);

        world.now = world.now.plus(IDLE);
        let (egress, counted) = world.send(&ends.udp(b""));
        assert!(
            matches!(egress, Unreachable { .. }),
            "a flow that ran out is a new one, and its name has expired"
        );
        assert_eq!(counted, [Denied, Icmp]);
        assert_eq!(world.reasons(), [(why::DENY | why::EXPIRED_NAME, why::DENY | why::EXPIRED_NAME)]);
    }
}

#[test]
fn datagrams_to_port_53_of_anybody_else_are_a_flow_like_others() {
    for ends in both(53) {
        let mut world = allowing(ends);
        assert_eq!(world.send(&ends.udp(b"query")), (Pass, vec![Allowed]));
        world.now = world.now.plus(Tick(1));
        assert_eq!(world.send(&ends.udp(b"query")), (Pass, vec![]));
        assert_eq!(world.flow(ends, UDP).unwrap().packets, 2);
        assert!(world.queries.borrow().is_empty());
    }
}

#[test]
fn a_flow_is_known_by_its_workload_addresses_ports_and_protocol() {
    for ends in both(443) {
        let mut world = allowing(ends);
        let neighbour = WorkloadIndex(POD.0 + 1);
        world.workloads.insert(neighbour, world.workloads[&POD]);
        assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![Allowed]));
        world.forget_rules();
        let mut others = [ends; 2];
        others[0].from.set_port(1);
        others[1].to.set_port(1);
        for other in others {
            assert_eq!(world.send(&other.tcp(ACK)).1, [Denied]);
        }
        assert_eq!(world.send(&ends.udp(b"")).1, [Denied, Icmp]);
        assert_eq!(world.send_as(neighbour, &ends.tcp(ACK)), (Drop, vec![Spoofed]));
        assert_eq!(world.flows(), 1);
    }
}

#[test]
fn echo_requests_are_one_flow_by_their_identifier() {
    for ends in both(0) {
        let world = allowing(ends);
        assert_eq!(world.send(&ends.echo(5, true)), (Pass, vec![Allowed]));
        assert_eq!(world.send(&ends.echo(5, true)), (Pass, vec![]));
        assert_eq!(world.send(&ends.echo(6, true)), (Pass, vec![Allowed]));
        assert_eq!(world.flows(), 2);
    }
}

#[test]
fn a_flow_that_cannot_be_remembered_passes_and_is_counted() {
    for ends in both(443) {
        let mut world = allowing(ends);
        world.full = true;
        assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![FlowsFull, Allowed]));
        assert_eq!(world.send(&ends.tcp(ACK)), (Pass, vec![FlowsFull, Allowed]));
        assert_eq!(world.reasons(), [(why::RULE, why::RULE); 2]);
    }
}

#[test]
fn a_flow_that_only_a_policy_on_trial_allows_keeps_both_verdicts() {
    for ends in both(443) {
        let mut world = World::new();
        world.bind(ends.to, NAME, Tick::NEVER);
        world.any(NAME, says(egret_abi::Said::NOTHING, egret_abi::Said::allow(RuleId(RULE.0))));
        world.ruleset().applied_default = [0; 3];
        assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![Allowed]));
        let flow = world.flow(ends, TCP).unwrap();
        assert_eq!((flow.applied_why, flow.observed_why, flow.class), (why::NOT_ENFORCED, why::RULE, NAME));
    }
}
