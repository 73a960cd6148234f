//! Look-ups: what is asked of a trusted resolver is remembered, and only its answer is learned from.

use egret_abi::{Counter::*, Query, RuleId, action_reason as why};

use super::frame::{ACK, Ends, Frame, RST, SYN, dns};
use super::world::{Arrival, POD, World, both, to_resolver};
use crate::Egress::Pass;
use crate::egress::{self, Onward, Verdict};
use crate::parse::UDP;
use crate::question;

/// What the step behind the first look says.
fn judged(world: &World, frame: &Frame) -> Verdict {
    let way = std::cell::Cell::new(None);
    assert!(!egress::glance(world, frame, POD, frame.ethertype(), &way));
    match way.get() {
        Some(Onward::Judge4(pending)) => egress::judge(world, frame, &pending),
        Some(Onward::Judge6(pending)) => egress::judge(world, frame, &pending),
        other => panic!("{other:?}"),
    }
}

const A: u16 = 1;
const AAAA: u16 = 28;

#[test]
fn a_query_to_a_trusted_resolver_passes_any_policy_and_is_remembered() {
    for ends in to_resolver() {
        let world = World::new();
        let frame = ends.udp(&dns(0x1234, false, "Www.Example.COM", A));
        assert_eq!(world.send(&frame), (Pass, vec![Queries]));
        let queries = world.queries.borrow();
        let [((workload, key), Query { question })] = queries.iter().collect::<Vec<_>>()[..] else {
            panic!("one query")
        };
        assert_eq!((*workload, key.id, key.local_port), (POD, [0x12, 0x34], 40000u16.to_be_bytes()));
        assert_eq!(key.resolver, super::world::address(ends.to.ip()));
        assert_eq!(key.local, super::world::address(ends.from.ip()));
        let lower = ends.udp(&dns(0x1234, false, "www.example.com", A));
        assert_eq!(
            Some(*question),
            question::hash(&lower, lower.len() - dns(0, false, "www.example.com", A).len())
        );
        assert_eq!((world.flows(), world.events().len()), (0, 0));
    }
}

#[test]
fn each_query_is_remembered_and_none_is_answered_from_the_flow_cache() {
    for ends in to_resolver() {
        let world = World::new();
        for id in 0..3 {
            assert_eq!(world.send(&ends.udp(&dns(id, false, "a.example", A))), (Pass, vec![Queries]));
        }
        assert_eq!(world.queries.borrow().len(), 3);
        let mut full = World::new();
        full.full = true;
        assert_eq!(full.send(&ends.udp(&dns(1, false, "a.example", A))), (Pass, vec![Queries, QueriesFull]));
    }
}

#[test]
fn what_is_no_question_passes_to_a_resolver_and_is_not_remembered() {
    for ends in to_resolver() {
        let world = World::new();
        let two = {
            let mut two = dns(1, false, "a.example", A);
            two[5] = 2;
            two
        };
        let whole = dns(1, false, "a.example", A);
        for message in [&[][..], &[1], &[1, 2], &whole[..whole.len() - 1], &two] {
            assert_eq!(world.send(&ends.udp(message)), (Pass, vec![Queries]), "{message:?}");
        }
        assert!(world.queries.borrow().is_empty());
    }
}

#[test]
fn an_answer_is_learned_once_and_only_to_the_question_asked() {
    for ends in to_resolver() {
        let world = World::new();
        let ask = || assert_eq!(world.send(&ends.udp(&dns(7, false, "a.example", A))), (Pass, vec![Queries]));
        let answer = |name, kind| world.receive(&ends.back().udp(&dns(7, true, name, kind)));
        let unasked = (Arrival::Pass, vec![AnswersUnasked]);
        assert_eq!(answer("a.example", A), unasked, "nobody has asked");
        for name in ["a.example", "A.EXAMPLE"] {
            ask();
            assert_eq!(answer(name, A), (Arrival::Learn, vec![]));
            assert_eq!(answer(name, A), unasked, "it has been answered");
        }
        for (name, kind) in [("b.example", A), ("a.example", AAAA), ("a.example.com", A), ("xa.example", A)] {
            ask();
            assert_eq!(answer(name, kind), unasked, "{name} {kind}");
            assert_eq!(answer("a.example", A), unasked, "a guess uses the query up");
        }
        assert_eq!((world.flows(), world.events().len()), (0, 0));
    }
}

#[test]
fn an_answer_must_come_from_the_resolver_and_to_the_port_and_with_the_id_of_the_query() {
    for ends in to_resolver() {
        let world = World::new();
        assert_eq!(world.send(&ends.udp(&dns(7, false, "a.example", A))), (Pass, vec![Queries]));
        let unasked = (Arrival::Pass, vec![AnswersUnasked]);
        let mut other_port = ends;
        other_port.from.set_port(40001);
        assert_eq!(world.receive(&other_port.back().udp(&dns(7, true, "a.example", A))), unasked);
        assert_eq!(world.receive(&ends.back().udp(&dns(8, true, "a.example", A))), unasked);
        assert_eq!(world.receive(&ends.back().udp(&[7])), unasked);
        // A second resolver, trusted as well, was not asked.
        let mut second = World::new();
        second.queries = world.queries.clone();
        let mut other = ends;
        other.to.set_ip(both(53).into_iter().find(|b| b.to.is_ipv4() == ends.to.is_ipv4()).unwrap().to.ip());
        second.resolvers.insert(super::world::own(other.to));
        assert_eq!(second.receive(&other.back().udp(&dns(7, true, "a.example", A))), unasked);
        assert_eq!(world.receive(&ends.back().udp(&dns(7, true, "a.example", A))), (Arrival::Learn, vec![]));
    }
}

#[test]
fn nothing_is_learned_from_anybody_but_a_trusted_resolver() {
    for ends in both(53) {
        let mut world = World::new();
        world.ruleset().applied_default = [0; 3];
        assert_eq!(world.send(&ends.udp(&dns(7, false, "a.example", A))), (Pass, vec![Allowed]));
        assert!(world.queries.borrow().is_empty());
        assert_eq!(world.receive(&ends.back().udp(&dns(7, true, "a.example", A))), (Arrival::Pass, vec![]));
    }
    for ends in to_resolver() {
        let world = World::new();
        assert_eq!(world.send(&ends.udp(&dns(7, false, "a.example", A))), (Pass, vec![Queries]));
        let mut other = ends;
        other.to.set_port(5353);
        assert_eq!(world.receive(&other.back().udp(&dns(7, true, "a.example", A))), (Arrival::Pass, vec![]));
        assert_eq!(world.queries.borrow().len(), 1, "another port is not the resolver");
    }
}

#[test]
fn a_trusted_resolver_is_reached_over_tcp_by_the_implied_rule() {
    for ends in to_resolver() {
        let mut world = World::new();
        world.range("10.96.0.0/16", super::world::RANGE, 0);
        world.range("fd00:96::/32", super::world::RANGE, 0);
        world.any(super::world::RANGE, super::world::DENIED);
        assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![Allowed]));
        assert_eq!(world.send(&ends.tcp(ACK)), (Pass, vec![]));
        let [event] = world.events()[..] else { panic!("one event") };
        assert_eq!((event.applied.rule(), event.observed.rule()), (RuleId::DNS, RuleId::DNS));
        assert_eq!((event.applied_why, event.observed_why), (why::RULE, why::RULE));
        assert_eq!(world.flows(), 0, "what is in the flow cache would not be seen");
    }
}

#[test]
fn what_is_said_over_tcp_with_a_trusted_resolver_is_seen_both_ways_and_mere_acknowledgements_pass() {
    const SYN_ACK: u8 = 0x12;
    const PSH_ACK: u8 = 0x18;
    const FIN_ACK: u8 = 0x11;
    for ends in to_resolver() {
        let world = World::new();
        for (flags, data, speaks) in [
            (SYN, &b""[..], true),
            (ACK, b"", false),
            (PSH_ACK, b"x", true),
            (ACK, b"x", true),
            (FIN_ACK, b"", true),
            (RST, b"", true),
        ] {
            let frame = ends.segment(flags, 1000, 2000, data);
            let asking = judged(&world, &frame);
            let Verdict::Asking(segment) = asking else { panic!("{asking:?}") };
            assert_eq!((segment.workload, segment.speaks(&frame)), (POD, speaks), "{flags:02x} {data:?}");
            let arrival = if speaks { Arrival::Learn } else { Arrival::Pass };
            let flags = if flags == SYN { SYN_ACK } else { flags };
            assert_eq!(
                world.receive(&ends.back().segment(flags, 1000, 2000, data)).0,
                arrival,
                "{flags:02x} {data:?}"
            );
        }
        assert_eq!(world.flows(), 0);
    }
    for ends in both(53) {
        let world = World::new();
        assert_eq!(
            world.receive(&ends.back().segment(PSH_ACK, 1000, 2000, b"x")),
            (Arrival::Pass, vec![]),
            "a stranger"
        );
    }
}

#[test]
fn the_implied_rule_is_for_port_53_of_resolvers_only() {
    for ends in to_resolver() {
        let world = World::new();
        let mut other = ends;
        other.to.set_port(443);
        assert_eq!(world.send(&other.tcp(SYN)).1, [Denied]);
        assert_eq!(world.send(&other.udp(b"")).1, [Denied, Icmp]);
        assert_eq!(world.send(&ends.ip(132, &[0x9c, 0x40, 0, 53, 0, 0, 0, 0])).1, [Denied], "SCTP");
    }
    for ends in both(53) {
        let world = World::new();
        assert_eq!(world.send(&ends.tcp(SYN)).1, [Denied]);
        assert_eq!(world.send(&ends.udp(&dns(1, false, "a.example", A))).1, [Denied, Icmp]);
    }
}

#[test]
fn an_answer_with_ip_options_or_extension_headers_is_learned_too() {
    let [v4, v6] = to_resolver();
    for (ends, v6) in [(v4, false), (v6, true)] {
        let world = World::new();
        assert_eq!(world.send(&ends.udp(&dns(7, false, "a.example", A))), (Pass, vec![Queries]));
        let answer = ends.back().udp(&dns(7, true, "a.example", A));
        let answer = if v6 {
            super::frame::with_extensions(&answer, 60, 2, 3)
        } else {
            super::frame::with_options(&answer, 10)
        };
        assert_eq!(world.receive(&answer), (Arrival::Learn, vec![]));
    }
}

/// `frame` as the fragment at `at` eights of bytes, of which more follow.
fn fragment(frame: &Frame, at: u16, protocol: u8) -> Frame {
    let cut = |more: u16, shift: u16| (at << shift | more).to_be_bytes();
    match frame.ethertype() {
        crate::parse::IPV4 => frame.clone().with(20, &cut(0x2000, 0)).with(23, &[protocol]),
        _ => {
            let frame = super::frame::with_extensions(frame, 44, 1, 1);
            frame.with(54, &[protocol, 0]).with(56, &cut(1, 3)).with(58, &[1, 2, 3, 4])
        }
    }
}

#[test]
fn fragments_of_a_trusted_resolver_are_held_and_the_first_must_answer_a_question() {
    for ends in to_resolver() {
        let world = World::new();
        let answer = ends.back().udp(&dns(7, true, "a.example", A));
        let first = fragment(&answer, 0, UDP);
        assert_eq!(world.receive(&first), (Arrival::Pass, vec![AnswersUnasked]));
        assert_eq!(world.send(&ends.udp(&dns(7, false, "a.example", A))), (Pass, vec![Queries]));
        assert_eq!(world.receive(&first), (Arrival::Learn, vec![]));
        assert_eq!(world.receive(&first), (Arrival::Pass, vec![AnswersUnasked]), "once");
        for at in [1, 185, 0x1fff] {
            assert_eq!(world.receive(&fragment(&answer, at, UDP)), (Arrival::Follow, vec![]));
            assert_eq!(world.receive(&fragment(&answer, at, 6)), (Arrival::Pass, vec![]), "of TCP");
        }
        let mut other = ends.back();
        other.from.set_port(54);
        assert_eq!(world.receive(&fragment(&other.udp(b"12345678"), 0, UDP)), (Arrival::Pass, vec![]));
    }
    for ends in both(53) {
        let stranger = fragment(&ends.back().udp(&dns(7, true, "a.example", A)), 1, UDP);
        assert_eq!(World::new().receive(&stranger), (Arrival::Pass, vec![]));
    }
}

#[test]
fn the_two_ends_of_a_look_up_do_not_swap() {
    for ends in to_resolver() {
        let world = World::new();
        assert_eq!(world.send(&ends.udp(&dns(7, false, "a.example", A))), (Pass, vec![Queries]));
        // The resolver sends from another port to port 53 of the workload: a query, not an answer.
        let asked = Ends { from: ends.to, to: ends.from };
        let asked = Ends {
            from: std::net::SocketAddr::new(asked.from.ip(), 40000),
            to: std::net::SocketAddr::new(asked.to.ip(), 53),
        };
        assert_eq!(world.receive(&asked.udp(&dns(7, true, "a.example", A))), (Arrival::Pass, vec![]));
        assert_eq!((world.queries.borrow().len(), world.callers()), (1, [0, 1]));
    }
}
