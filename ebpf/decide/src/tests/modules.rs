//! Where policy modules have a say: what they said is repeated, what they were not asked waits, and nothing overtakes.

use egret_abi::{Asks, CachedVerdict, Counter::*, Epoch, Said, VerdictKey, action_reason as why, failure};

use super::frame::{Ends, Frame, SYN};
use super::world::{ALLOWED, DENIED, NAME, POD, RULE, START, World, address, both};
use crate::Egress;
use crate::Egress::{Pass, Reset, Unreachable};
use crate::egress::{self, Onward, Queued, Released, Verdict};
use crate::inbound::InboundKey;
use crate::parse::{TCP, UDP};

const UNMATCHED: Asks = Asks(Asks::UNMATCHED);
const ALWAYS: Asks = Asks(Asks::ALWAYS);

/// What becomes of a packet: judged, or put on hold.
#[derive(Debug, PartialEq, Eq)]
enum Became {
    Judged(Egress),
    Held(u64),
    Ended,
    Failed(Egress),
}

fn world(asks: Asks) -> World {
    let mut world = World::new();
    world.ruleset().asks = asks;
    world.ruleset().applied_failure = failure::DENY;
    world.ruleset().observed_failure = failure::DENY;
    world
}

fn send(world: &World, frame: &Frame) -> Became {
    again(world, frame, Released::default())
}

/// The packet comes for the first time, or back from the hold.
fn again(world: &World, frame: &Frame, released: Released) -> Became {
    let way = std::cell::Cell::new(None);
    if egress::glance(world, frame, POD, frame.ethertype(), &way) {
        return Became::Judged(Pass);
    }
    match way.get() {
        Some(Onward::Judge4(pending)) => judged(world, frame, &pending, released),
        Some(Onward::Judge6(pending)) => judged(world, frame, &pending, released),
        other => panic!("{other:?}"),
    }
}

fn judged<K: InboundKey>(
    world: &World,
    frame: &Frame,
    pending: &egress::Pending<K>,
    released: Released,
) -> Became {
    let Verdict::Settle = egress::judge(world, frame, pending) else { panic!("no question of rules") };
    if let Some(egress) = egress::settle(world, frame, pending) {
        return Became::Judged(egress);
    }
    if let Some(egress) = egress::consult(world, frame, pending, released) {
        return Became::Judged(egress);
    }
    match egress::enqueue(world, pending, released) {
        Queued::At(sequence) => Became::Held(sequence),
        Queued::Repeated => Became::Ended,
        Queued::Over => Became::Failed(egress::fail(world, frame, pending, why::OVER_QUOTA)),
        Queued::Enough => Became::Failed(egress::fail(world, frame, pending, why::HELD_TIMEOUT)),
    }
}

fn key(ends: Ends, protocol: u8, alone: bool) -> VerdictKey {
    let port = if alone { ends.from.port() } else { 0 };
    VerdictKey {
        remote: address(ends.to.ip()),
        remote_port: ends.to.port().to_be_bytes(),
        local_port: port.to_be_bytes(),
        protocol: protocol.into(),
    }
}

fn said(allow: bool) -> CachedVerdict {
    let (said, why) = match allow {
        true => (Said::allow(RULE), why::MODULE),
        false => (Said::deny(RULE), why::DENY | why::MODULE),
    };
    CachedVerdict {
        epoch: Epoch(1),
        until: START.plus(egret_abi::Tick(10)),
        applied: said,
        observed: said,
        applied_why: why,
        observed_why: why,
        zero: [0; 2],
    }
}

fn back(sequence: u64) -> Released {
    Released { passes: 1, sequence }
}

#[test]
fn what_no_rule_decides_is_held_until_a_module_has_spoken_and_then_known() {
    for ends in both(443) {
        for (allow, egress) in [(true, Pass), (false, Reset { transport: transport(ends) })] {
            let mut world = world(UNMATCHED);
            let syn = ends.tcp(SYN);
            assert_eq!(send(&world, &syn), Became::Held(1));
            world.verdicts.insert((POD, key(ends, TCP, false)), said(allow));
            assert_eq!(again(&world, &syn, back(1)), Became::Judged(egress));
            assert_eq!(world.flow(ends, TCP).is_some(), allow);
            // Another flow to the same place is not held at all.
            let other = Ends { from: (ends.from.ip(), 40001).into(), ..ends };
            assert_eq!(send(&world, &other.tcp(SYN)), Became::Judged(egress));
            let why = if allow { why::MODULE } else { why::DENY | why::MODULE };
            assert_eq!(world.reasons(), [(why, why), (why, why)]);
        }
    }
}

fn transport(ends: Ends) -> usize {
    14 + if ends.from.is_ipv4() { 20 } else { 40 }
}

#[test]
fn rules_that_decide_are_not_asked_about_unless_a_module_may_veto() {
    for ends in both(443) {
        for (value, unmatched, always) in [
            (ALLOWED, Became::Judged(Pass), Became::Held(1)),
            (
                DENIED,
                Became::Judged(Reset { transport: transport(ends) }),
                Became::Judged(Reset { transport: transport(ends) }),
            ),
        ] {
            for (asks, expected) in [(UNMATCHED, unmatched), (ALWAYS, always)] {
                let mut world = world(asks);
                world.bind(ends.to, NAME, START.plus(egret_abi::Tick(100)));
                world.any(NAME, value);
                // What allows a name is the last word only where nothing else has one.
                world.ruleset().denies_ranges = 0;
                assert_eq!(send(&world, &ends.tcp(SYN)), expected, "{value:?} {asks:?}");
            }
        }
    }
}

#[test]
fn a_module_is_asked_for_the_kinds_of_destinations_it_is_for() {
    for ends in both(443) {
        let mut world = world(UNMATCHED);
        world.range(
            &format!("{}/{}", ends.to.ip(), if ends.to.is_ipv4() { 32 } else { 128 }),
            super::world::RANGE,
            1,
        );
        assert_eq!(send(&world, &ends.tcp(SYN)), Became::Judged(Reset { transport: transport(ends) }));
        world.ruleset().asks = Asks::default().and(1, Asks::UNMATCHED);
        assert_eq!(send(&world, &ends.tcp(SYN)), Became::Held(1));
    }
}

#[test]
fn packets_of_a_flow_that_waits_go_on_in_their_order() {
    for ends in both(5000) {
        let mut world = world(UNMATCHED);
        let packet = ends.udp(b"x");
        assert_eq!(send(&world, &packet), Became::Held(1));
        assert_eq!(send(&world, &packet), Became::Held(2));
        world.verdicts.insert((POD, key(ends, UDP, false)), said(true));
        // The verdict is there, and one that comes now still waits behind the two.
        assert_eq!(send(&world, &packet), Became::Held(3));
        assert_eq!(again(&world, &packet, back(1)), Became::Judged(Pass));
        assert_eq!(world.flow(ends, UDP), None);
        // The second was lost, the third is the last; one that follows at once may still overtake it elsewhere.
        assert_eq!(again(&world, &packet, back(3)), Became::Judged(Pass));
        assert_eq!(send(&world, &packet), Became::Held(4));
        assert_eq!(again(&world, &packet, back(4)), Became::Judged(Pass));
        assert_eq!(world.flow(ends, UDP), None);
        world.now = world.now.plus(egret_abi::Tick(1));
        assert_eq!(send(&world, &packet), Became::Judged(Pass));
        assert!(world.flow(ends, UDP).is_some());
        assert_eq!(world.events().len(), 1);
    }
}

#[test]
fn a_verdict_of_another_epoch_or_past_its_end_or_of_another_flow_counts_for_nothing() {
    for ends in both(443) {
        let mut world = world(UNMATCHED);
        let syn = ends.tcp(SYN);
        let old = CachedVerdict { epoch: Epoch(0), ..said(true) };
        let ended = CachedVerdict { until: START, ..said(true) };
        let other = Ends { from: (ends.from.ip(), 40001).into(), ..ends };
        for (key, verdict) in [
            (key(ends, TCP, false), old),
            (key(ends, TCP, false), ended),
            (key(other, TCP, true), said(true)),
        ] {
            world.verdicts.clear();
            world.waiting.borrow_mut().clear();
            world.verdicts.insert((POD, key), verdict);
            assert_eq!(send(&world, &syn), Became::Held(1), "{verdict:?}");
        }
        world.waiting.borrow_mut().clear();
        assert_eq!(send(&world, &other.tcp(SYN)), Became::Judged(Pass));
        // Come back without a verdict it is held again, but not for ever.
        let passed = |passes| Released { passes, sequence: 1 };
        assert_eq!(again(&world, &syn, passed(1)), Became::Held(1));
        assert_eq!(
            again(&world, &syn, passed(egret_abi::PASSES_MAX)),
            Became::Failed(Reset { transport: transport(ends) })
        );
    }
}

#[test]
fn a_syn_that_is_sent_again_waits_once_until_the_first_may_be_lost() {
    for ends in both(443) {
        let mut world = world(UNMATCHED);
        let syn = ends.tcp(SYN);
        assert_eq!(send(&world, &syn), Became::Held(1));
        assert_eq!(send(&world, &syn), Became::Ended);
        world.now = world.now.plus(egret_abi::Tick::lasting_seconds(1));
        assert_eq!(send(&world, &syn), Became::Held(2));
        // Nothing came back for so long that nothing will.
        world.now = world.now.plus(egret_abi::WAITING_FOR);
        assert_eq!(send(&world, &syn), Became::Held(1));
    }
}

#[test]
fn over_its_share_a_workload_gets_what_the_failure_policy_says() {
    for ends in both(443) {
        let refused = Unreachable { transport: transport(ends) };
        for (wanted, default, egress, reason) in [
            (failure::DENY, 0, refused, why::DENY | why::OVER_QUOTA),
            (failure::ALLOW, 1, Pass, why::OVER_QUOTA),
            (failure::NEXT, 1, refused, why::DENY | why::DEFAULT_DENY),
            (failure::NEXT, 0, Pass, why::NOT_ENFORCED),
        ] {
            let mut world = world(UNMATCHED);
            world.config.holds = 0;
            world.ruleset().applied_failure = wanted;
            world.ruleset().applied_default = [default; 3];
            assert_eq!(send(&world, &ends.udp(b"x")), Became::Failed(egress), "{wanted}");
            assert_eq!(world.reasons()[0].0, reason);
        }
    }
}

#[test]
fn over_its_share_a_packet_whose_verdict_is_known_goes_on_before_those_that_wait() {
    for ends in both(443) {
        for (allowed, egress) in [(true, Pass), (false, Unreachable { transport: transport(ends) })] {
            let mut world = world(UNMATCHED);
            world.config.holds = 2;
            assert_eq!(send(&world, &ends.udp(b"x")), Became::Held(1));
            world.verdicts.insert((POD, key(ends, UDP, false)), said(allowed));
            assert_eq!(send(&world, &ends.udp(b"x")), Became::Held(2));
            assert_eq!(send(&world, &ends.udp(b"x")), Became::Failed(egress), "{allowed}");
        }
    }
}

#[test]
fn without_an_agent_the_failure_policy_counts_at_once_and_what_modules_said_still_does() {
    for ends in both(443) {
        let mut world = world(UNMATCHED);
        let refused = Reset { transport: transport(ends) };
        assert_eq!(world.send(&ends.tcp(SYN)), (refused, vec![HoldsFailed, Denied]));
        world.verdicts.insert((POD, key(ends, TCP, false)), said(true));
        assert_eq!(world.send(&ends.tcp(SYN)), (Pass, vec![VerdictsUsed, Allowed]));
    }
}
