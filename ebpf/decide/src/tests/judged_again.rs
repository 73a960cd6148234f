//! Flows of an older epoch: asked again whether their rule still stands, not whether their name still resolves.

use egret_abi::{Counter::*, Epoch, Generation, RuleId, Said, Tick, action_reason as why};

use super::frame::{ACK, Ends, RST, SYN};
use super::world::{
    ALLOWED, ARMING, DENIED, GRACE, IDLE, NAME, OTHER, POD, RANGE, RULE, RULESET, START, World, both, says,
    to_resolver,
};
use crate::Egress::{self, Pass, Unreachable};
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
                assert_eq!(world.send(&ends.tcp(ACK)), (Egress::Cut { transport }, vec![Denied, Cut]));
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
        assert_eq!(world.send(&ends.tcp(ACK)).1, [Denied, Cut]);
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
        assert_eq!(world.send(&ends.tcp(ACK)).1, [Denied, Cut]);
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
        assert_eq!(world.send(&ends.tcp(ACK)).1, [Denied, Cut]);
    }
}

#[test]
fn a_connection_to_a_resolver_outlives_every_epoch_and_is_told_once() {
    for ends in to_resolver() {
        let mut world = World::new();
        assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![Allowed]));
        world.enter(2);
        assert_eq!(world.send(&ends.tcp(ACK)), (Pass, vec![]));
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

#[test]
fn a_connection_that_is_cut_ends_with_the_reset_of_its_workload() {
    for ends in both(443) {
        let mut world = aged(ends);
        world.forget_rules();
        // Silence is for what is tried, not for what was there.
        for silent in [0, 1] {
            world.ruleset().silent = silent;
            let cut = Egress::Cut { transport: transport(ends) };
            assert_eq!(world.send(&ends.tcp(ACK)), (cut, vec![Denied, Cut]));
        }
        assert_eq!(world.send(&ends.tcp(RST | ACK)).1, [Denied, Cut], "so that its peer learns of it");
        assert!(world.flow(ends, TCP).is_none());
        assert_eq!(world.send(&ends.tcp(RST | ACK)), (Egress::Drop, vec![Denied]));
        assert_eq!(world.send(&ends.tcp(ACK)), (Egress::Drop, vec![Denied]), "it is a stranger now");
    }
}

#[test]
fn where_the_operator_spares_what_is_under_way_it_goes_on_until_it_ends() {
    for ends in both(443) {
        let mut world = aged(ends);
        world.config.keep = 1;
        world.forget_rules();
        for epoch in 2..4 {
            world.enter(epoch);
            for (frame, protocol) in [(ends.tcp(ACK), TCP), (ends.udp(b""), UDP)] {
                assert_eq!(world.send(&frame), (Pass, vec![]));
                let flow = world.flow(ends, protocol).unwrap();
                assert_eq!((flow.epoch, flow.class, flow.applied), (Epoch(epoch), NAME, Said::NOTHING));
                assert_eq!(
                    (flow.applied_why, flow.observed_why),
                    (why::ESTABLISHED, why::DENY | why::DEFAULT_DENY)
                );
            }
        }
        assert!(world.events().is_empty());
        assert_eq!(world.send(&ends.tcp(SYN)).1, [Denied], "what begins is denied");
        world.any(NAME, ALLOWED);
        world.enter(4);
        assert_eq!(world.send(&ends.tcp(ACK)), (Pass, vec![]));
        assert_eq!(world.flow(ends, TCP).unwrap().applied_why, why::RULE, "its rule is back");
    }
}

#[test]
fn while_a_workload_is_armed_nothing_is_denied_and_what_is_known_stays_as_it_is() {
    for ends in both(443) {
        let mut world = World::new();
        world.workloads.insert(POD, Generation::new(Epoch(1), RULESET).arming());
        assert_eq!(world.send(&ends.tcp(ACK)), (Pass, vec![Allowed]));
        let flow = world.flow(ends, TCP).unwrap();
        assert_eq!((flow.epoch, flow.applied_why), (Epoch(1), why::NOT_ENFORCED));
        assert_eq!(flow.observed_why, why::DENY | why::DEFAULT_DENY);
        // What the agent found is of the epoch to come.
        let armed = egret_abi::Flow {
            epoch: Epoch(2),
            until: Tick::NEVER,
            applied_why: why::ESTABLISHED,
            ..egret_abi::Flow::default()
        };
        world.put_flow(ends, TCP, armed);
        assert_eq!(world.send(&ends.tcp(ACK)), (Pass, vec![]));
        assert_eq!(world.flow(ends, TCP).unwrap(), armed);
        world.enter(2);
        assert_eq!(world.send(&ends.tcp(ACK)), (Pass, vec![]));
        assert_eq!(world.flow(ends, TCP).unwrap().packets, 1);
        world.enter(3);
        assert_eq!(
            world.send(&ends.tcp(ACK)).1,
            [Denied, Cut],
            "a change of policy judges it like any other"
        );
    }
}

#[test]
fn a_workload_whose_agent_ended_while_it_was_armed_is_judged_all_the_same() {
    for ends in both(443) {
        let mut world = World::new();
        world.workloads.insert(POD, Generation::new(Epoch(1), RULESET).arming());
        assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![Allowed]));
        world.now = START.plus(ARMING);
        assert_eq!(world.send(&ends.tcp(SYN)).1, [Denied]);
    }
}

#[test]
fn what_begins_while_a_workload_is_armed_is_judged_once_it_is() {
    for ends in both(443) {
        let mut world = World::new();
        world.workloads.insert(POD, Generation::new(Epoch(1), RULESET).arming());
        for frame in [ends.tcp(SYN), ends.udp(b"")] {
            assert_eq!(world.send(&frame), (Pass, vec![Allowed]));
        }
        world.enter(2);
        assert_eq!(world.send(&ends.tcp(ACK)).1, [Denied, Cut]);
        assert_eq!(world.send(&ends.udp(b"")).1, [Denied, Icmp]);
    }
}
