//! Sources that are not the sender's own.

use egret_abi::{Counter::*, Ruleset, Said, action_reason as why};

use super::frame::{ACK, Ends, SYN, dns};
use super::world::{ALLOWED, DENIED, POD, World, both, own, to_resolver};
use crate::Egress::{Drop, Pass};

/// The same, from the address of the other end and `port`.
fn from_another(ends: Ends, port: u16) -> Ends {
    let mut from = ends.to;
    from.set_port(port);
    Ends { from, ..ends }
}

#[test]
fn a_source_that_is_not_its_own_is_dropped_whatever_the_policy() {
    let enforced = World::new().rulesets[&super::world::RULESET];
    for ruleset in [enforced, Ruleset::default(), Ruleset { unmanaged: 1, ..Ruleset::default() }] {
        for ends in both(443) {
            let mut world = World::new();
            *world.ruleset() = ruleset;
            let spoofed = from_another(ends, 40000);
            let frames = [spoofed.tcp(SYN), spoofed.tcp(ACK), spoofed.udp(b""), spoofed.echo(1, true)];
            for frame in &frames {
                assert_eq!(world.send(frame), (Drop, vec![Spoofed]));
            }
            let reason = why::DENY | why::SPOOFED_SOURCE;
            assert_eq!(world.reasons(), [(reason, reason); 4]);
            assert_eq!(world.flows(), 0);
        }
    }
}

#[test]
fn a_source_that_is_not_its_own_is_dropped_where_the_rest_cannot_be_read() {
    for unmanaged in [0, 1] {
        for ends in both(443) {
            let mut world = World::new();
            *world.ruleset() = Ruleset { unmanaged, ..Ruleset::default() };
            // An ICMP error, a fragment of IPv6.
            for (protocol, payload) in
                [(1, [5, 0, 0, 0, 0, 0, 0, 0]), (58, [1, 4, 0, 0, 0, 0, 0, 0]), (44, [17; 8])]
            {
                assert_eq!(world.send(&ends.ip(protocol, &payload)), (Pass, vec![]), "{protocol}");
                let spoofed = from_another(ends, 40000).ip(protocol, &payload);
                assert_eq!(world.send(&spoofed), (Drop, vec![Spoofed]), "{protocol}");
            }
        }
    }
}

#[test]
fn no_address_is_a_source_of_what_cannot_be_read_and_only_in_its_own_family() {
    let unreadable = |ends: Ends| ends.ip(58, &[1, 4, 0, 0, 0, 0, 0, 0]);
    let [_, v6] = both(443);
    for (from, expected) in [("[::]:1", Pass), ("[::ffff:0.0.0.0]:1", Drop), ("[::ffff:0.0.0.1]:1", Drop)] {
        let mut world = World::new();
        *world.ruleset() = Ruleset::default();
        let ends = Ends { from: from.parse().unwrap(), ..v6 };
        assert_eq!(world.send(&unreadable(ends)).0, expected, "{from}");
    }
}

#[test]
fn an_answer_that_is_forged_in_the_name_of_a_resolver_is_dropped_and_told() {
    for unmanaged in [0, 1] {
        for (ends, resolver) in both(40_000).into_iter().zip(to_resolver()) {
            let mut world = World::new();
            *world.ruleset() = Ruleset { unmanaged, ..Ruleset::default() };
            let forged = Ends { from: resolver.to, to: ends.to };
            assert_eq!(world.send(&forged.udp(&dns(1, true, "a.example", 1))), (Drop, vec![Spoofed]));
            let [event] = world.events()[..] else { panic!("one event") };
            let reason = why::DENY | why::FORGED_ANSWER;
            assert_eq!((event.applied_why, event.observed_why), (reason, reason));
            assert_eq!((event.applied, event.observed), (Said::NOTHING, Said::NOTHING));
            assert_eq!(event.local, super::world::address(resolver.to.ip()));
        }
    }
}

#[test]
fn a_query_in_the_name_of_another_is_not_remembered() {
    for (ends, server) in to_resolver().into_iter().zip(both(53)) {
        let world = World::new();
        let spoofed = Ends { from: server.to, to: ends.to };
        assert_eq!(world.send(&spoofed.udp(&dns(1, false, "a.example", 1))), (Drop, vec![Spoofed]));
        assert_eq!(world.send(&spoofed.tcp(SYN)), (Drop, vec![Spoofed]));
        assert!(world.queries.borrow().is_empty());
        assert_eq!(world.flows(), 0);
    }
}

#[test]
fn every_address_of_its_own_is_judged_as_any_other() {
    for (ends, second) in both(443).into_iter().zip(["10.0.0.8:1", "[fd00::8]:1"]) {
        let mut world = World::new();
        let second = Ends { from: second.parse().unwrap(), ..ends };
        assert_eq!(world.send(&second.tcp(SYN)), (Drop, vec![Spoofed]));
        world.own.insert(own(second.from));
        assert_eq!(world.send(&second.tcp(SYN)).1, [Denied]);
        world.bind(ends.to, super::world::NAME, egret_abi::Tick::NEVER);
        world.any(super::world::NAME, ALLOWED);
        assert_eq!(world.send(&second.tcp(SYN)), (Pass, vec![Allowed]));
    }
}

#[test]
fn a_server_of_names_answers_from_its_own_address() {
    for ends in both(40_000) {
        let mut world = World::new();
        let mut served = ends;
        served.from.set_port(53);
        assert_eq!(world.receive(&served.back().udp(&dns(1, false, "a.example", 1))).1, []);
        assert_eq!(world.send(&served.udp(&dns(1, true, "a.example", 1))), (Pass, vec![]));
        assert!(world.workloads.contains_key(&POD));
        // An answer to nobody is judged like all else.
        world.any(super::world::NAME, DENIED);
        served.to.set_port(1);
        assert_eq!(world.send(&served.udp(&dns(1, true, "a.example", 1))).1, [Denied, Icmp]);
    }
}
