//! Flows of an older epoch: asked again whether their rule still stands, not whether their name still resolves.

use egret_abi::{Counter::*, Epoch, RuleId, Said, Tick, action_reason as why};

use super::frame::{ACK, Ends, SYN};
use super::world::{
    ALLOWED, DENIED, GRACE, IDLE, NAME, OTHER, RANGE, RULE, START, World, both, says, to_resolver,
};
use crate::Egress::{Pass, Reset, Unreachable};
use crate::parse::{LINK, TCP, UDP};

/// A world in epoch 2 with a TCP and a UDP flow of epoch 1 whose name has long expired.
fn aged(ends: Ends) -> World {
    let mut world = World::new();
    world.bind(ends.to, NAME, START.plus(Tick(1)));
    world.any(NAME, ALLOWED);
    world.config.idle = Tick(100_000);
    assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![Allowed]));
    assert_eq!(world.send(&ends.udp(b"")), (Pass, vec![Allowed]));
    world.events();
    world.now = START.plus(GRACE).plus(Tick(1000));
    world.enter(2);
    world
}

fn transport(ends: Ends) -> usize {
    LINK + if ends.to.is_ipv4() { 20 } else { 40 }
}

#[test]
fn a_flow_outlives_its_name_while_its_rule_stands_and_keeps_its_counts() {
    for ends in both(443) {
        let mut world = aged(ends);
        let renamed = RuleId(RULE.0 + 1);
        world.forget_rules();
        world.any(NAME, says(Said::allow(renamed), Said::allow(renamed)));
        for (frame, protocol) in [(ends.tcp(ACK), TCP), (ends.udp(b""), UDP)] {
            let before = world.flow(ends, protocol).unwrap();
            assert_eq!(world.send(&frame), (Pass, vec![]));
            assert_eq!(world.send(&frame), (Pass, vec![]));
            let after = world.flow(ends, protocol).unwrap();
            assert_eq!((after.epoch, after.class, after.applied.rule()), (Epoch(2), NAME, renamed));
            assert_eq!((after.packets, after.bytes), (before.packets + 2, before.bytes * 3));
        }
        assert!(world.events().is_empty(), "it is the same flow");
    }
}

#[test]
fn a_flow_is_cut_when_its_rule_is_gone_or_an_address_is_denied() {
    for ends in both(443) {
        let gone: fn(&mut World) = World::forget_rules;
        let other_port: fn(&mut World) = |world| {
            world.forget_rules();
            world.ports(NAME, TCP, 22, 16, ALLOWED);
        };
        let denied: fn(&mut World) = |world| {
            world.range("192.0.2.0/24", RANGE, 0);
            world.range("2001:db8::/32", RANGE, 0);
            world.any(RANGE, DENIED);
        };
        for (change, reason) in
            [(gone, why::DEFAULT_DENY), (other_port, why::DEFAULT_DENY), (denied, why::RULE)]
        {
            let mut world = aged(ends);
            change(&mut world);
            let reason = why::DENY | reason;
            let transport = transport(ends);
            for _ in 0..2 {
                assert_eq!(world.send(&ends.tcp(ACK)), (Reset { transport }, vec![Denied]));
                assert_eq!(world.send(&ends.udp(b"")), (Unreachable { transport }, vec![Denied, Icmp]));
                assert_eq!(world.reasons(), [(reason, reason); 2]);
            }
            assert_eq!(world.flow(ends, TCP).unwrap().epoch, Epoch(1), "it is not renewed");
        }
    }
}

#[test]
fn another_name_of_the_address_does_not_save_a_flow_unless_it_is_bound() {
    for ends in both(443) {
        let mut world = aged(ends);
        world.forget_rules();
        world.any(OTHER, ALLOWED);
        assert_eq!(world.send(&ends.tcp(ACK)).1, [Denied]);
        world.bind(ends.to, OTHER, world.now.plus(Tick(1)));
        assert_eq!(world.send(&ends.tcp(ACK)), (Pass, vec![]));
        assert_eq!(world.flow(ends, TCP).unwrap().class, OTHER);
    }
}

#[test]
fn a_connection_begun_on_trial_is_known_by_its_name_when_enforcement_comes() {
    for ends in both(443) {
        let mut world = World::new();
        world.ruleset().applied_default = [0; 3];
        world.bind(ends.to, NAME, START.plus(Tick(1)));
        world.any(NAME, says(Said::NOTHING, Said::allow(RULE)));
        assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![Allowed]));
        world.now = START.plus(GRACE).plus(Tick(1000));
        world.forget_rules();
        world.any(NAME, ALLOWED);
        world.ruleset().applied_default = [1; 3];
        world.enter(2);
        assert_eq!(world.send(&ends.tcp(ACK)), (Pass, vec![]));
        assert_eq!(world.flow(ends, TCP).unwrap().applied_why, why::RULE);
    }
}

#[test]
fn what_the_default_admitted_is_judged_anew_by_what_holds_now() {
    for ends in both(443) {
        let mut world = World::new();
        world.ruleset().applied_default = [0; 3];
        assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![Allowed]));
        world.enter(2);
        assert_eq!(world.send(&ends.tcp(ACK)), (Pass, vec![]));
        world.ruleset().applied_default = [1; 3];
        world.enter(3);
        assert_eq!(world.send(&ends.tcp(ACK)).1, [Denied]);
        // Its address is allowed by number in the next ruleset.
        world.range("192.0.2.0/24", RANGE, 0);
        world.range("2001:db8::/32", RANGE, 0);
        world.any(RANGE, ALLOWED);
        world.enter(4);
        assert_eq!(world.send(&ends.tcp(ACK)), (Pass, vec![]));
        assert_eq!(world.flow(ends, TCP).unwrap().packets, 3);
    }
}

#[test]
fn a_class_of_addresses_means_nothing_in_the_next_epoch() {
    for ends in both(443) {
        let mut world = World::new();
        world.range("192.0.2.0/24", RANGE, 0);
        world.range("2001:db8::/32", RANGE, 0);
        world.any(RANGE, ALLOWED);
        assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![Allowed]));
        assert_eq!(world.flow(ends, TCP).unwrap().class, RANGE);
        // The number now stands for other addresses.
        world.forget_ranges();
        world.range("198.51.100.0/24", RANGE, 0);
        world.enter(2);
        assert_eq!(world.send(&ends.tcp(ACK)).1, [Denied]);
    }
}

#[test]
fn a_connection_to_a_resolver_outlives_every_epoch_with_its_counts() {
    for ends in to_resolver() {
        let mut world = World::new();
        assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![Allowed]));
        world.enter(2);
        assert_eq!(world.send(&ends.tcp(ACK)), (Pass, vec![]));
        let flow = world.flow(ends, TCP).unwrap();
        assert_eq!((flow.epoch, flow.packets), (Epoch(2), 2));
        assert_eq!(world.reasons(), [(why::RULE, why::RULE)]);
    }
}

#[test]
fn a_flow_that_ran_out_is_not_judged_by_its_class() {
    for ends in both(443) {
        let mut world = aged(ends);
        world.config.idle = IDLE;
        world.now = Tick(1_000_000);
        assert_eq!(world.send(&ends.udp(b"")).1, [Denied, Icmp]);
    }
}
