//! Names: bindings of the workload's own look-ups, and their expiry.

use egret_abi::{
    Class, Counter::*, OwnKey, RuleId, RuleValue, Said, Slot, Tick, WorkloadIndex, action_reason as why,
};

use super::frame::{ACK, Ends, Frame, RST, SYN};
use super::world::{ALLOWED, GRACE, NAME, OTHER, POD, START, World, both, own, says};
use crate::Egress::Pass;
use crate::parse::TCP;

type Make = fn(Ends) -> Frame;
const FIRST: Make = |ends| ends.tcp(SYN);
const LATER: Make = |ends| ends.tcp(ACK);
const DATAGRAM: Make = |ends| ends.udp(b"");
const ECHO: Make = |ends| ends.echo(1, true);

#[test]
fn only_a_connection_under_way_may_use_a_name_for_a_while_after_it_expired() {
    let expired = Tick(START.0 - GRACE.0);
    for (what, make, until, passes) in [
        ("a SYN, live", FIRST, START.plus(Tick(1)), true),
        ("a SYN, at its expiry", FIRST, START, false),
        ("a SYN, long ago", FIRST, Tick(1), false),
        ("a datagram, live", DATAGRAM, START.plus(Tick(1)), true),
        ("a datagram, at its expiry", DATAGRAM, START, false),
        ("an echo, live", ECHO, Tick::NEVER, true),
        ("an echo, at its expiry", ECHO, START, false),
        ("mid-stream, live", LATER, START.plus(Tick(1)), true),
        ("mid-stream, at its expiry", LATER, START, true),
        ("mid-stream, at the end of the grace", LATER, expired.plus(Tick(1)), true),
        ("mid-stream, after the grace", LATER, expired, false),
    ] {
        for ends in both(443) {
            let mut world = World::new();
            world.bind(ends.to, NAME, until);
            world.any(NAME, ALLOWED);
            let (egress, counted) = world.send(&make(ends));
            assert_eq!(egress == Pass, passes, "{what}");
            let reason = if passes { why::RULE } else { why::DENY | why::EXPIRED_NAME };
            assert_eq!(counted[0], if passes { Allowed } else { Denied }, "{what}");
            assert_eq!(world.reasons(), [(reason, reason)], "{what}");
            assert_eq!(world.flows(), usize::from(passes), "{what}");
        }
    }
}

#[test]
fn shortly_after_boot_the_grace_reaches_back_to_the_beginning() {
    for ends in both(443) {
        let mut world = World::new();
        world.now = Tick(GRACE.0 / 2);
        world.bind(ends.to, NAME, Tick(1));
        world.any(NAME, ALLOWED);
        assert_eq!(world.send(&ends.tcp(ACK)), (Pass, vec![Allowed]));
    }
}

#[test]
fn an_expired_name_is_the_reason_only_where_its_rule_would_have_allowed() {
    for ends in both(443) {
        let mut world = World::new();
        world.bind(ends.to, NAME, START);
        world.ports(NAME, TCP, 22, 16, ALLOWED);
        assert_eq!(world.send(&ends.tcp(SYN)).1, [Denied]);
        let ssh = Ends { to: std::net::SocketAddr::new(ends.to.ip(), 22), ..ends };
        assert_eq!(world.send(&ssh.tcp(SYN)).1, [Denied]);
        let [default, expired] = [why::DEFAULT_DENY, why::EXPIRED_NAME].map(|reason| why::DENY | reason);
        assert_eq!(world.reasons(), [(default, default), (expired, expired)]);
    }
}

#[test]
fn the_range_of_an_allowed_name_is_looked_up_only_where_it_could_be_denied() {
    for ends in both(443) {
        for denies_ranges in [0, 1] {
            let mut world = World::new();
            world.ruleset().denies_ranges = denies_ranges;
            world.bind(ends.to, NAME, Tick::NEVER);
            world.any(NAME, ALLOWED);
            assert_eq!(world.send(&ends.tcp(SYN)).1, [Allowed]);
            assert_eq!(world.asked().contains(&"dest"), denies_ranges == 1);
        }
    }
}

#[test]
fn a_workload_never_profits_from_the_look_ups_of_another() {
    for ends in both(443) {
        let mut world = World::new();
        let neighbour = WorkloadIndex(POD.0 + 1);
        world.bind(ends.to, NAME, Tick::NEVER);
        let binding = world.bindings.remove(&own(ends.to)).unwrap();
        world.bindings.insert(OwnKey { workload: neighbour, ..own(ends.to) }, binding);
        world.any(NAME, ALLOWED);
        assert_eq!(world.send(&ends.tcp(SYN)).1, [Denied]);
        let none = why::DENY | why::DEFAULT_DENY;
        assert_eq!(world.reasons(), [(none, none)]);
    }
}

#[test]
fn any_slot_of_a_binding_may_admit_and_free_slots_mean_nothing() {
    for ends in both(443) {
        for used in 0..8 {
            let mut world = World::new();
            // A rule of no class at all must never be asked.
            world.any(Class::NONE, ALLOWED);
            let binding = world.bindings.entry(own(ends.to)).or_default();
            binding.slots = [Slot { class: Class::NONE, until: Tick::NEVER }; 8];
            assert_eq!(world.send(&ends.tcp(SYN)).1, [Denied]);
            let slot = Slot { class: NAME, until: Tick::NEVER };
            world.bindings.get_mut(&own(ends.to)).unwrap().slots[used] = slot;
            world.any(NAME, ALLOWED);
            assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![Allowed]), "slot {used}");
        }
    }
}

#[test]
fn the_name_that_a_rule_allows_is_the_class_of_the_flow() {
    for ends in both(443) {
        for order in [[NAME, OTHER], [OTHER, NAME]] {
            let mut world = World::new();
            for class in order {
                world.bind(ends.to, class, Tick::NEVER);
            }
            world.any(OTHER, RuleValue { applied: Said::NOTHING, ..ALLOWED });
            world.any(NAME, ALLOWED);
            assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![Allowed]));
            assert_eq!(world.flow(ends, TCP).unwrap().class, NAME, "{order:?}");
        }
    }
}

#[test]
fn the_class_told_is_that_of_the_rule_told() {
    let [low, high] = [RuleId(30), RuleId(31)];
    for ends in both(443) {
        for order in [[NAME, OTHER], [OTHER, NAME]] {
            for in_force in [false, true] {
                let mut world = World::new();
                for class in order {
                    world.bind(ends.to, class, Tick::NEVER);
                }
                world.ruleset().applied_default = [0; 3];
                for (class, rule) in [(NAME, low), (OTHER, high)] {
                    let applied = if in_force { Said::allow(rule) } else { Said::NOTHING };
                    world.any(class, says(applied, Said::allow(rule)));
                }
                assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![Allowed]));
                let [event] = world.events()[..] else { panic!("one event") };
                assert_eq!((event.class, event.observed.rule()), (OTHER, high), "{order:?} {in_force}");
            }
        }
    }
}

#[test]
fn a_reset_without_a_flow_is_judged_and_never_answered() {
    for ends in both(443) {
        let world = World::new();
        assert_eq!(world.send(&ends.tcp(RST)), (crate::Egress::Drop, vec![Denied]));
        assert_eq!(world.send(&ends.tcp(RST | ACK)), (crate::Egress::Drop, vec![Denied]));
    }
}
