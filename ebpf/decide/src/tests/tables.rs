//! The words of the ABI that the logic leans on.

use egret_abi::{Dest, DestKey, RuleId, RuleValue, Said};

use super::world::{ALLOWED, DENIED, NAME, OTHER, RANGE, RULESET, World, both};
use crate::Tables;
use crate::parse::{FlowKey, Parsed, TCP, UDP, ipv4, ipv6};

#[test]
fn deny_is_said_over_allow_and_allow_over_nothing() {
    let [a, b] = [RuleId(2), RuleId(3)];
    let nothing = Said::NOTHING;
    for (first, second, expected) in [
        (nothing, nothing, nothing),
        (nothing, Said::allow(a), Said::allow(a)),
        (nothing, Said::deny(a), Said::deny(a)),
        (Said::allow(a), nothing, Said::allow(a)),
        (Said::allow(a), Said::allow(b), Said::allow(b)),
        (Said::allow(b), Said::allow(a), Said::allow(b)),
        (Said::allow(a), Said::deny(b), Said::deny(b)),
        (Said::deny(a), nothing, Said::deny(a)),
        (Said::deny(a), Said::allow(b), Said::deny(a)),
        (Said::deny(a), Said::allow(RuleId(u32::MAX >> 1)), Said::deny(a)),
        (Said::deny(a), Said::deny(b), Said::deny(b)),
    ] {
        assert_eq!(first.and(second), expected, "{first:?} and {second:?}");
    }
}

#[test]
fn what_is_said_tells_its_rule() {
    for (said, allows, denies, rule) in [
        (Said::NOTHING, false, false, RuleId::NONE),
        (Said::allow(RuleId(9)), true, false, RuleId(9)),
        (Said::deny(RuleId(9)), false, true, RuleId(9)),
        (Said::deny(RuleId::NONE), false, true, RuleId::NONE),
    ] {
        assert_eq!((said.allows(), said.denies(), said.rule()), (allows, denies, rule), "{said:?}");
    }
}

#[test]
fn the_ranges_of_a_family_never_cover_an_address_of_the_other() {
    let [server4, server6] = both(443);
    let Parsed::Flow(v4) = ipv4(&server4.tcp(2)) else { panic!("it can be read") };
    let Parsed::Flow(v6) = ipv6(&server6.tcp(2)) else { panic!("it can be read") };
    for (range, covers4, covers6) in [
        ("0.0.0.0/0", true, false),
        ("::/0", false, true),
        ("192.0.2.0/24", true, false),
        ("2001:db8::/32", false, true),
        // The first bytes of 192.0.2.1, as an IPv6 range.
        ("c000:0201::/32", false, false),
        ("::ffff:192.0.2.0/120", false, false),
    ] {
        let mut world = World::new();
        world.range(range, RANGE, 0);
        let found = |key: DestKey| world.dest(&key) == Some(Dest { class: RANGE, kind: 0 });
        assert_eq!((found(v4.key.dest(RULESET)), found(v6.key.dest(RULESET))), (covers4, covers6), "{range}");
    }
}

#[test]
fn each_ruleset_has_ranges_and_rules_of_its_own() {
    let mut world = World::new();
    world.range("0.0.0.0/0", RANGE, 0);
    world.any(NAME, ALLOWED);
    for ruleset in [0, RULESET.0 - 1, RULESET.0 + 1, RULESET.0 << 8] {
        let ruleset = egret_abi::RulesetId(ruleset);
        assert_eq!(world.dest(&DestKey::v4(ruleset, [192, 0, 2, 1])), None, "{ruleset:?}");
        assert_eq!(world.rule(&egret_abi::RuleKey::new(ruleset, NAME, TCP, [0; 2])), None, "{ruleset:?}");
    }
}

#[test]
fn the_longest_rule_of_a_class_is_final() {
    let mut world = World::new();
    world.any(NAME, ALLOWED);
    world.ports(NAME, TCP, 0, 6, DENIED);
    world.ports(NAME, TCP, 22, 16, RuleValue::default());
    for (class, protocol, port, expected) in [
        (NAME, UDP, 22, Some(ALLOWED)),
        (NAME, TCP, 22, Some(RuleValue::default())),
        (NAME, TCP, 1023, Some(DENIED)),
        (NAME, TCP, 1024, Some(ALLOWED)),
        (OTHER, TCP, 22, None),
    ] {
        let key = egret_abi::RuleKey::new(RULESET, class, protocol, u16::to_be_bytes(port));
        assert_eq!(world.rule(&key), expected, "{class:?} {protocol} {port}");
    }
}
