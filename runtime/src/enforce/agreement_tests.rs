//! For any policies and attempts: the programs' own logic, over tables as they are written to the kernel, answers what the
//! plain evaluator answers: for a first packet, for what follows it, and after names ran out or the policies were put
//! in force again. `PROPTEST_CASES=100000` makes it a long run.

use std::net::SocketAddr;

use egret_abi::{Event, Slot, Tick, action_reason as why};
use egret_decide::Egress;
use egret_decide::testing::frame::{ACK, Ends, Frame, SYN};
use egret_decide::testing::world::{GRACE, RULESET, START, World, both, own};
use proptest::prelude::*;

use super::{Encoded, Numbers, encode};
use crate::dns::Matcher;
use crate::model::{Action, Attempt, Modules, OnDeny, Policy, Protocol, Reason, Verdict, Verdicts};
use crate::policy::tests::agreement::{attempt, policies, ranges};
use crate::policy::{Ranges, compile, evaluate};

/// Some policies as the kernel has them, and the classes that names have by them.
struct Compiled<'a> {
    policies: Vec<&'a Policy>,
    ranges: &'a Ranges,
    encoded: Encoded,
    matcher: Matcher,
}

impl<'a> Compiled<'a> {
    fn new(policies: &'a [Policy], ranges: &'a Ranges, numbers: &mut Numbers) -> Self {
        let policies: Vec<_> = policies.iter().collect();
        let ruleset = compile(&policies, ranges, &Modules::new()).expect("a small ruleset");
        let patterns: Vec<_> =
            numbers.words_of(&ruleset).into_iter().map(|(pattern, class)| (pattern, class.0)).collect();
        let encoded = encode(&ruleset, RULESET, numbers);
        Self { policies, ranges, encoded, matcher: Matcher::new(&patterns) }
    }

    /// The tables, where the names of `attempt` are bound to its address until `until`; `None` for more names than an
    /// address has slots: that is another story, and told as such.
    fn world(&self, attempt: &Attempt, until: Tick) -> Option<World> {
        let mut world = World::new();
        let Encoded { defaults, dest, rules, .. } = self.encoded.clone();
        world.write(defaults, dest, rules);
        let matched = attempt.names.iter().flat_map(|name| self.matcher.classes(name));
        let held = matched.filter(|matched| matched.holds(to(attempt).ip()));
        let mut classes: Vec<u32> = held.map(|matched| matched.class).collect();
        classes.sort_unstable();
        classes.dedup();
        let binding = world.bindings.entry(own(to(attempt))).or_default();
        if classes.len() > binding.slots.len() {
            return None;
        }
        for (slot, class) in binding.slots.iter_mut().zip(classes) {
            *slot = Slot { class: egret_abi::Class(class), until };
        }
        Some(world)
    }

    /// What every rule, looked at in turn, comes to.
    fn plain(&self, attempt: &Attempt) -> Verdicts {
        evaluate(&self.policies, attempt, self.ranges.kind_of(to(attempt).ip()))
    }
}

fn to(attempt: &Attempt) -> SocketAddr {
    SocketAddr::new(attempt.address.expect("an address"), attempt.port)
}

/// A packet of `attempt`; `flags` where it is TCP.
fn packet(attempt: &Attempt, flags: u8) -> Frame {
    let to = to(attempt);
    let from = both(0)[usize::from(to.is_ipv6())].from;
    let ends = Ends { from, to };
    match attempt.protocol {
        Protocol::TCP => ends.tcp(flags),
        Protocol::UDP => ends.udp(b"data"),
        Protocol::ICMP => ends.echo(7, true),
        other => {
            ends.ip(other.0, &[&from.port().to_be_bytes()[..], &to.port().to_be_bytes(), &[0; 8]].concat())
        }
    }
}

/// The byte that an event carries for `verdict`.
fn reason_of(verdict: &Verdict) -> u8 {
    let reason = match verdict.reason {
        Reason::Rule => why::RULE,
        Reason::DefaultDeny => why::DEFAULT_DENY,
        Reason::NotEnforced => why::NOT_ENFORCED,
        Reason::Unmanaged => why::UNMANAGED,
        other => panic!("the evaluator never says {other}"),
    };
    if verdict.action == Action::Deny { reason | why::DENY } else { reason }
}

/// Where a name that has run out would have allowed, the default's denial is told as that.
fn reason_of_expired(without: &Verdict, with: &Verdict) -> u8 {
    let would = with.action == Action::Allow && with.reason == Reason::Rule;
    match without.reason {
        Reason::DefaultDeny if would => why::EXPIRED_NAME | why::DENY,
        _ => reason_of(without),
    }
}

fn reasons(event: &Event) -> (u8, u8) {
    (event.applied_why, event.observed_why)
}

/// How a packet of `attempt` ends that these policies deny.
fn refusal(policies: &[&Policy], attempt: &Attempt) -> &'static str {
    let silent = policies
        .iter()
        .any(|policy| policy.mode == crate::model::Mode::Enforce && policy.on_deny == OnDeny::Drop);
    match attempt.protocol {
        Protocol::TCP if !silent => "reset",
        Protocol::UDP if !silent => "unreachable",
        _ => "drop",
    }
}

fn word(egress: Egress) -> &'static str {
    match egress {
        Egress::Pass => "pass",
        Egress::Drop => "drop",
        Egress::Reset { .. } => "reset",
        Egress::Cut { .. } => "cut",
        Egress::Unreachable { .. } => "unreachable",
    }
}

proptest! {
    #[test]
    fn the_programs_answer_over_the_written_tables_like_the_plain_evaluator(
        policies in policies(),
        ranges in ranges(),
        attempts in prop::collection::vec(attempt(), 1..24),
    ) {
        let compiled = Compiled::new(&policies, &ranges, &mut Numbers::default());
        for attempt in &attempts {
            let Some(world) = compiled.world(attempt, Tick::NEVER) else { continue };
            let (egress, _) = world.send(&packet(attempt, SYN));
            let plain = compiled.plain(attempt);
            let expected = match plain.applied.action {
                Action::Allow => "pass",
                Action::Deny => refusal(&compiled.policies, attempt),
            };
            prop_assert_eq!(word(egress), expected, "{:?} {:?}", attempt, plain);
            let told = (reason_of(&plain.applied), reason_of(&plain.observed));
            prop_assert_eq!(world.events().iter().map(reasons).collect::<Vec<_>>(), [told], "{:?}", attempt);
            // What follows is of a known flow, and untold; what was denied is denied and told again.
            let (again, _) = world.send(&packet(attempt, ACK));
            prop_assert_eq!(again == Egress::Pass, egress == Egress::Pass, "{:?}", attempt);
            prop_assert_eq!(world.events().is_empty(), egress == Egress::Pass, "{:?}", attempt);
        }
    }

    #[test]
    fn a_name_that_ran_out_admits_nothing_new_and_keeps_what_it_admitted(
        policies in policies(),
        ranges in ranges(),
        attempts in prop::collection::vec(attempt(), 1..24),
    ) {
        let compiled = Compiled::new(&policies, &ranges, &mut Numbers::default());
        for attempt in &attempts {
            let end = Tick(START.0 + 10);
            let Some(mut world) = compiled.world(attempt, end) else { continue };
            let nameless = Attempt { names: Vec::new(), ..attempt.clone() };
            let (named, without) = (compiled.plain(attempt), compiled.plain(&nameless));
            let (first, _) = world.send(&packet(attempt, SYN));
            prop_assert_eq!(first == Egress::Pass, named.applied.action == Action::Allow);
            let _ = world.events();

            // The same policies are put in force anew after the name's end: what began is asked after its class.
            world.now = Tick(end.0 + 1);
            world.enter(2);
            let (under_way, _) = world.send(&packet(attempt, ACK));
            // TCP under way is served by a name a while longer, known or not; the others only where they are known.
            let kept = first == Egress::Pass || attempt.protocol == Protocol::TCP;
            let expected = if kept { &named } else { &without };
            prop_assert_eq!(under_way == Egress::Pass, expected.applied.action == Action::Allow, "{:?}", attempt);
            let _ = world.events();

            // A flow of its own, begun now, has no name.
            let Some(mut fresh) = compiled.world(attempt, end) else { continue };
            fresh.now = Tick(end.0 + GRACE.0 / 2);
            let (late, _) = fresh.send(&packet(attempt, SYN));
            prop_assert_eq!(late == Egress::Pass, without.applied.action == Action::Allow, "{:?}", attempt);
            let told = (
                reason_of_expired(&without.applied, &named.applied),
                reason_of_expired(&without.observed, &named.observed),
            );
            prop_assert_eq!(fresh.events().iter().map(reasons).collect::<Vec<_>>(), [told], "{:?}", attempt);
        }
    }

    #[test]
    fn a_known_flow_is_judged_by_new_policies_like_a_new_one(
        before in policies(),
        after in policies(),
        ranges in ranges(),
        attempts in prop::collection::vec(attempt(), 1..24),
    ) {
        // A class keeps its number from one ruleset to the next.
        let mut numbers = Numbers::default();
        let old = Compiled::new(&before, &ranges, &mut numbers);
        let new = Compiled::new(&after, &ranges, &mut numbers);
        for attempt in &attempts {
            let worlds = (old.world(attempt, Tick::NEVER), new.world(attempt, Tick::NEVER));
            let (Some(mut kept), Some(fresh)) = worlds else { continue };
            let (began, _) = kept.send(&packet(attempt, SYN));
            let Encoded { defaults, dest, rules, .. } = new.encoded.clone();
            kept.write(defaults, dest, rules);
            kept.bindings = fresh.bindings;
            kept.enter(2);
            let _ = kept.events();
            let (goes_on, _) = kept.send(&packet(attempt, ACK));
            let plain = new.plain(attempt);
            prop_assert_eq!(goes_on == Egress::Pass, plain.applied.action == Action::Allow, "{:?}", attempt);
            // A flow that goes on is no new one.
            let told = usize::from(began != Egress::Pass || goes_on != Egress::Pass);
            prop_assert_eq!(kept.events().len(), told, "{:?}", attempt);
        }
    }
}
