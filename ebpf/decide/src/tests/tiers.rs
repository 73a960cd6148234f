//! The tiers of Kubernetes' policies: the first rule of each that speaks, by a name or by an address, and which tier decides.

use egret_abi::{Effect, First, RuleId, RuleValue, Ruleset, Said, Tick, action_reason as why};

use super::frame::{ACK, SYN};
use super::world::{ALLOWED, DENIED, NAME, OTHER, RANGE, RULE, World, both};
use crate::Egress::Pass;

const FIRST: RuleId = RuleId(31);
const NEXT: RuleId = RuleId(32);

fn first(turn: u32, effect: Effect) -> RuleValue {
    RuleValue { tiers: [First::new(turn, effect, FIRST), First::NOTHING], ..RuleValue::default() }
}

fn next(turn: u32, effect: Effect) -> RuleValue {
    RuleValue { tiers: [First::NOTHING, First::new(turn, effect, NEXT)], ..RuleValue::default() }
}

fn with(one: RuleValue, other: RuleValue) -> RuleValue {
    RuleValue { tiers: [one.tiers[0].or(other.tiers[0]), one.tiers[1].or(other.tiers[1])], ..one }
}

/// A workload whose only policies are Kubernetes', where what these accept is told.
fn world() -> World {
    let mut world = World::new();
    *world.ruleset() = Ruleset { tells: 0b111_111, denies_ranges: 1, ..Ruleset::default() };
    world.range("192.0.2.0/24", RANGE, 0);
    world.range("2001:db8::/32", RANGE, 0);
    world
}

#[test]
fn the_rule_that_is_asked_first_decides_whether_a_name_or_an_address_has_it() {
    use Effect::{Accept, Deny, Pass as PassOn};
    let (allowed, denied) = (why::RULE, why::DENY | why::RULE);
    let nothing = RuleValue::default();
    for (case, by_name, by_range, expected) in [
        ("accepted before", first(1, Accept), first(2, Deny), (allowed, Said::allow(FIRST))),
        ("denied before", first(2, Accept), first(1, Deny), (denied, Said::deny(FIRST))),
        ("accepted, and denied below", first(1, Accept), next(0, Deny), (allowed, Said::allow(FIRST))),
        ("denied, and accepted below", next(0, Accept), first(1, Deny), (denied, Said::deny(FIRST))),
        ("passed on", next(1, Accept), with(first(0, PassOn), next(2, Deny)), (allowed, Said::allow(NEXT))),
        (
            "passed on before",
            first(2, Accept),
            with(first(1, PassOn), next(0, Deny)),
            (denied, Said::deny(NEXT)),
        ),
        ("passed on to nobody", nothing, first(0, PassOn), (why::NOT_ENFORCED, Said::NOTHING)),
        ("nobody speaks", nothing, nothing, (why::NOT_ENFORCED, Said::NOTHING)),
        ("Egret's allow", with(ALLOWED, first(1, Accept)), first(2, Deny), (allowed, Said::allow(RULE))),
        ("allowed and denied", with(ALLOWED, first(2, Accept)), first(1, Deny), (denied, Said::deny(FIRST))),
        ("Egret's deny", first(1, Accept), with(DENIED, first(2, Deny)), (denied, Said::deny(RULE))),
    ] {
        for ends in both(443) {
            let mut world = world();
            world.bind(ends.to, NAME, Tick::NEVER);
            world.any(NAME, by_name);
            world.any(RANGE, by_range);
            let (egress, _) = world.send(&ends.tcp(SYN));
            assert_eq!(egress == Pass, expected.0 & why::DENY == 0, "{case}");
            let [event] = world.events()[..] else { panic!("one event: {case}") };
            assert_eq!((event.applied_why, event.applied), expected, "{case}");
            assert_eq!((event.observed_why, event.observed), expected, "{case}");
        }
    }
}

#[test]
fn what_is_accepted_allows_nothing_that_egret_does_not() {
    for ends in both(443) {
        let mut world = world();
        *world.ruleset() =
            Ruleset { applied_default: [1; 3], observed_default: [1; 3], ..Ruleset::default() };
        world.bind(ends.to, NAME, Tick::NEVER);
        world.any(NAME, first(1, Effect::Accept));
        assert_ne!(world.send(&ends.tcp(SYN)).0, Pass);
        let default = why::DENY | why::DEFAULT_DENY;
        assert_eq!(world.reasons(), [(default, default)]);
    }
}

/// Of a flow one name is remembered: the one that both layers know, whichever comes first.
#[test]
fn a_flow_is_known_by_the_name_that_both_layers_allow() {
    let narrow = with(ALLOWED, first(1, Effect::Accept));
    for order in [[NAME, OTHER], [OTHER, NAME]] {
        for ends in both(443) {
            let mut world = world();
            *world.ruleset() = Ruleset { applied_default: [1; 3], denies_ranges: 1, ..Ruleset::default() };
            let end = Tick(world.now.0 + 1);
            order.into_iter().for_each(|class| world.bind(ends.to, class, end));
            world.any(NAME, narrow);
            world.any(OTHER, ALLOWED);
            world.any(RANGE, first(2, Effect::Deny));
            assert_eq!(world.send(&ends.udp(b"data")).0, Pass, "{order:?}");
            world.now = Tick(end.0 + 1);
            world.enter(2);
            assert_eq!(
                world.send(&ends.udp(b"data")).0,
                Pass,
                "{order:?}: its name has ended, and it goes on"
            );
            assert_eq!(world.send(&ends.tcp(ACK)).0, Pass, "TCP that began before");
            assert_ne!(world.send(&ends.tcp(SYN)).0, Pass, "{order:?}: a new one");
        }
    }
}
