//! The two verdicts: by the policies in force, and as if every policy were.

use egret_abi::{Class, Counter::*, RuleValue, Ruleset, Said, Tick, WorkloadIndex, action_reason as why};

use super::frame::{Ends, SYN};
use super::world::{ALLOWED, DENIED, NAME, OTHER, RANGE, RULE, World, both, says};
use crate::Egress::{Drop, Pass, Reset};
use crate::parse::{ICMP, LINK, SCTP, TCP, UDP};

const NOTHING: Said = Said::NOTHING;
const ALLOW: Said = Said::allow(RULE);
const DENY: Said = Said::deny(RULE);

#[test]
fn each_verdict_is_of_its_own_policies_and_only_the_applied_one_acts() {
    let [no, yes] = [[0; 3], [1; 3]];
    let (rule, denied) = (why::RULE, why::DENY | why::RULE);
    let default = why::DENY | why::DEFAULT_DENY;
    for (case, applied, observed, applied_default, observed_default, expected) in [
        ("all in force, allowed", ALLOW, ALLOW, yes, yes, (rule, rule)),
        ("all in force, denied", DENY, DENY, no, no, (denied, denied)),
        ("all in force, no rule", NOTHING, NOTHING, yes, yes, (default, default)),
        ("all on trial, allowed", NOTHING, ALLOW, no, yes, (why::NOT_ENFORCED, rule)),
        ("all on trial, denied", NOTHING, DENY, no, yes, (why::NOT_ENFORCED, denied)),
        ("all on trial, no rule", NOTHING, NOTHING, no, yes, (why::NOT_ENFORCED, default)),
        ("only deny rules, another place", NOTHING, NOTHING, no, no, (why::NOT_ENFORCED, why::NOT_ENFORCED)),
        ("allowed in force, denied on trial", ALLOW, DENY, yes, yes, (rule, denied)),
        ("nothing in force, allowed on trial", NOTHING, ALLOW, yes, yes, (default, rule)),
        ("allowed in force, which the trial keeps", ALLOW, ALLOW, no, yes, (rule, rule)),
    ] {
        for ends in both(443) {
            let mut world = World::new();
            let ruleset = Ruleset { applied_default, observed_default, ..Ruleset::default() };
            *world.ruleset() = ruleset;
            world.bind(ends.to, NAME, Tick::NEVER);
            world.any(NAME, says(applied, observed));
            let (egress, counted) = world.send(&ends.tcp(SYN));
            let passes = expected.0 & why::DENY == 0;
            let transport = LINK + if ends.to.is_ipv4() { 20 } else { 40 };
            assert_eq!(egress, if passes { Pass } else { Reset { transport } }, "{case}");
            assert_eq!(counted, [if passes { Allowed } else { Denied }], "{case}");
            let [event] = world.events()[..] else { panic!("one event: {case}") };
            assert_eq!((event.applied_why, event.observed_why), expected, "{case}");
            assert_eq!((event.applied, event.observed), (applied, observed), "{case}");
        }
    }
}

#[test]
fn a_deny_of_one_class_beats_an_allow_of_another_whatever_their_order() {
    for ends in both(443) {
        for (by_name, by_range) in [(ALLOWED, DENIED), (DENIED, ALLOWED)] {
            let mut world = World::new();
            world.range("192.0.2.0/24", RANGE, 0);
            world.range("2001:db8::/32", RANGE, 0);
            world.bind(ends.to, NAME, Tick::NEVER);
            world.any(NAME, by_name);
            world.any(RANGE, by_range);
            assert_eq!(world.send(&ends.tcp(SYN)).1, [Denied]);
            assert_eq!(world.reasons(), [(why::DENY | why::RULE, why::DENY | why::RULE)]);
        }
    }
}

#[test]
fn a_deny_that_is_on_trial_leaves_an_allow_in_force() {
    for ends in both(443) {
        for order in [[NAME, OTHER], [OTHER, NAME]] {
            let mut world = World::new();
            for class in order {
                world.bind(ends.to, class, Tick::NEVER);
            }
            world.any(NAME, ALLOWED);
            world.any(OTHER, says(NOTHING, DENY));
            assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![Allowed]));
            assert_eq!(world.reasons(), [(why::RULE, why::DENY | why::RULE)]);
        }
    }
}

#[test]
fn the_default_holds_for_the_kinds_of_destination_that_the_scope_names() {
    for kind in 0..3 {
        for scope in 0..3 {
            for ends in both(443) {
                let mut world = World::new();
                // Addresses without a class still have a kind.
                world.range("192.0.2.0/24", Class::NONE, kind);
                world.range("2001:db8::/32", Class::NONE, kind);
                let mut default = [0; 3];
                default[scope as usize] = 1;
                *world.ruleset() =
                    Ruleset { applied_default: default, observed_default: default, ..Ruleset::default() };
                let denied = kind == scope;
                assert_eq!(world.send(&ends.tcp(SYN)).1, [if denied { Denied } else { Allowed }]);
                let reason = if denied { why::DENY | why::DEFAULT_DENY } else { why::NOT_ENFORCED };
                assert_eq!(world.reasons(), [(reason, reason)], "kind {kind}, scope {scope}");
            }
        }
    }
}

#[test]
fn what_no_range_covers_is_of_the_internet() {
    for ends in both(443) {
        let mut world = World::new();
        world.range("198.51.100.0/24", Class::NONE, 1);
        world.range("2001:db8:1::/48", Class::NONE, 2);
        world.ruleset().applied_default = [1, 0, 0];
        assert_eq!(world.send(&ends.tcp(SYN)).1, [Denied]);
    }
}

#[test]
fn the_longest_range_is_final() {
    let mut world = World::new();
    world.range("192.0.2.0/24", RANGE, 0);
    world.range("192.0.2.1/32", Class(10), 0);
    world.range("2001:db8::/32", RANGE, 0);
    world.range("2001:db8::1/128", Class(10), 0);
    world.any(RANGE, DENIED);
    world.any(Class(10), ALLOWED);
    for (ends, beside) in both(443).into_iter().zip(["192.0.2.2:443", "[2001:db8::2]:443"]) {
        assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![Allowed]));
        let beside = Ends { to: beside.parse().unwrap(), ..ends };
        assert_eq!(world.send(&beside.tcp(SYN)).1, [Denied]);
    }
}

#[test]
fn a_workload_without_policies_passes_and_is_told_as_unmanaged() {
    for ends in both(443) {
        let mut world = World::new();
        *world.ruleset() = Ruleset { unmanaged: 1, ..Ruleset::default() };
        assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![Allowed]));
        assert_eq!(world.reasons(), [(why::UNMANAGED, why::UNMANAGED)]);
    }
}

#[test]
fn a_workload_that_is_not_judged_yet_passes_untouched() {
    for ends in both(443) {
        let world = World::new();
        let stranger = WorkloadIndex(99);
        for frame in [ends.tcp(SYN), ends.udp(b""), ends.ip(51, b""), ends.back().tcp(SYN)] {
            assert_eq!(world.send_as(stranger, &frame), (Pass, vec![]));
        }
        assert!(world.events().is_empty());
        assert_eq!(world.flows(), 0);
    }
}

#[test]
fn rules_name_echo_as_one_protocol_in_both_families() {
    for ends in both(0) {
        let mut world = World::new();
        world.bind(ends.to, NAME, Tick::NEVER);
        world.ports(NAME, ICMP, 0, 0, ALLOWED);
        assert_eq!(world.send(&ends.echo(1, true)), (Pass, vec![Allowed]));
        assert_eq!(world.send(&ends.tcp(SYN)).1, [Denied]);
    }
}

#[test]
fn a_rule_holds_for_its_protocol_and_ports_or_for_every_ip_protocol() {
    const ECN: u8 = 0xc0;
    for ends in both(443) {
        let with = |value: fn(&mut World)| {
            let mut world = World::new();
            world.bind(ends.to, NAME, Tick::NEVER);
            value(&mut world);
            let sctp = [&40000u16.to_be_bytes()[..], &443u16.to_be_bytes(), &[0; 8]].concat();
            [ends.tcp(SYN | ECN), ends.udp(b""), ends.ip(SCTP, &sctp), ends.ip(47, &[0; 8])]
                .map(|frame| world.send(&frame).0 == Pass)
        };
        assert_eq!(with(|world| world.any(NAME, ALLOWED)), [true; 4]);
        assert_eq!(with(|world| world.ports(NAME, TCP, 443, 16, ALLOWED)), [true, false, false, false]);
        assert_eq!(with(|world| world.ports(NAME, UDP, 0, 0, ALLOWED)), [false, true, false, false]);
        assert_eq!(with(|world| world.ports(NAME, SCTP, 0x180, 8, ALLOWED)), [false, false, true, false]);
        assert_eq!(with(|world| world.ports(NAME, TCP, 444, 16, ALLOWED)), [false; 4]);
    }
}

#[test]
fn an_option_drops_in_silence() {
    for ends in both(443) {
        let mut world = World::new();
        world.ruleset().silent = 1;
        for frame in [ends.tcp(SYN), ends.udp(b""), ends.echo(1, true)] {
            assert_eq!(world.send(&frame), (Drop, vec![Denied]));
        }
        assert_eq!(world.reasons().len(), 3);
    }
}

#[test]
fn rules_that_say_nothing_leave_it_to_the_default() {
    for ends in both(443) {
        let mut world = World::new();
        world.bind(ends.to, NAME, Tick::NEVER);
        world.any(NAME, RuleValue::default());
        assert_eq!(world.send(&ends.tcp(SYN)).1, [Denied]);
        assert_eq!(world.reasons(), [(why::DENY | why::DEFAULT_DENY, why::DENY | why::DEFAULT_DENY)]);
    }
}
