//! Rules and modules against a second formulation: every statement is made, and then put in order.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::{Asked, Which, consult, evaluate};
use super::agreement::{attempt as any_attempt, own_policies as any_policies, ranges as any_ranges};
use super::consulting::asked_by;
use crate::model::{
    Action, Attempt, Kind, Mode, ModuleAnswer, ModuleStage, ModuleUse, Policy, PolicyKind, PortRange, Reason,
    Rule, Scope, Target, Verdict, Verdicts,
};

const ALLOW: ModuleAnswer = ModuleAnswer::Allow;
const DENY: ModuleAnswer = ModuleAnswer::Deny;

/// Policies some of which ask modules, and what each of up to 20 modules answers.
pub(super) fn with_modules() -> impl Strategy<Value = (Vec<Policy>, Vec<ModuleAnswer>)> {
    let stages =
        prop::sample::select(vec![ModuleStage::Unmatched, ModuleStage::Always, ModuleStage::Answers]);
    let modules = prop::collection::vec(prop::collection::vec(stages, 0..5), 5);
    let answers = prop::sample::select(vec![ALLOW, DENY, ModuleAnswer::Next, ModuleAnswer::Next]);
    (any_policies(), modules, prop::collection::vec(answers, 20)).prop_map(
        |(mut policies, modules, answers)| {
            for (policy, stages) in policies.iter_mut().zip(modules) {
                policy.default_deny |= stages.contains(&ModuleStage::Unmatched);
                let named = stages.into_iter().enumerate();
                policy.modules = named
                    .map(|(n, stage)| ModuleUse {
                        name: format!("m{n}").into(),
                        stage,
                        settings: "{}".into(),
                    })
                    .collect();
            }
            (policies, answers)
        },
    )
}

/// What one verdict comes to, and whom it takes to know: every statement made, with its place in the order, and then the
/// first of them.
fn naive(
    policies: &[&Policy],
    asked: &[Asked],
    answers: &[ModuleAnswer],
    attempt: &Attempt,
    kind: Kind,
    which: Which,
) -> (Verdict, BTreeSet<usize>) {
    let counts = |mode| which == Which::Observed || mode == Mode::Enforce;
    let in_scope = |asked: &Asked| asked.scope == Scope::All || kind == Kind::Internet;
    let by_default = evaluate(policies, attempt, kind);
    let by_default = if which == Which::Applied { by_default.applied } else { by_default.observed };
    let policies: Vec<_> = policies.iter().filter(|policy| counts(policy.mode)).collect();
    let rules_of = |keep: Action| {
        let stripped = policies.iter().map(|policy| {
            let mut policy = Policy::clone(policy);
            if keep == Action::Deny {
                policy.allow.clear()
            } else {
                policy.deny.clear()
            }
            policy
        });
        let stripped: Vec<_> = stripped.collect();
        let verdict = evaluate(&stripped.iter().collect::<Vec<_>>(), attempt, kind).observed;
        (verdict.reason == Reason::Rule).then_some(verdict)
    };
    // One that allows everything, below the same ceilings.
    let covered = || {
        let everywhere = ["0.0.0.0/0", "::/0"].map(|net| Target::Cidr(net.parse().expect("a range")));
        let open = |policy: &&&Policy| {
            let mut policy = Policy::clone(policy);
            policy.deny.clear();
            policy.allow.clear();
            if policy.id.kind == PolicyKind::EgressPolicy {
                policy.allow = vec![Rule {
                    name: "all".to_owned(),
                    to: everywhere.to_vec(),
                    ports: Vec::<PortRange>::new(),
                    origin: policy.origin.clone(),
                    found: None,
                }];
            }
            policy
        };
        let open: Vec<_> = policies.iter().map(open).collect();
        evaluate(&open.iter().collect::<Vec<_>>(), attempt, kind).observed.reason == Reason::Rule
    };
    let mut statements = Vec::new();
    statements.extend(rules_of(Action::Deny).map(|verdict| (0, verdict)));
    statements.extend(rules_of(Action::Allow).map(|verdict| (2, verdict)));
    for (asked, answer) in asked.iter().zip(answers) {
        if !counts(asked.mode) || !in_scope(asked) {
            continue;
        }
        let bounded = asked.policy.kind == PolicyKind::EgressPolicy;
        match (asked.module.stage, *answer) {
            (ModuleStage::Always, DENY) => statements.push((1, asked.verdict(Action::Deny))),
            (ModuleStage::Unmatched, DENY) => statements.push((3, asked.verdict(Action::Deny))),
            (ModuleStage::Unmatched, ModuleAnswer::Allow) if !bounded || covered() => {
                statements.push((3, asked.verdict(Action::Allow)));
            }
            _ => {}
        }
    }
    // The sort is stable: of one rank, the first said.
    statements.sort_by_key(|(rank, _)| *rank);
    let rank_of_first = statements.first().map_or(4, |(rank, _)| *rank);
    let decided = statements.into_iter().next().map(|(_, verdict)| verdict);
    let mut needed = BTreeSet::new();
    let decider = decided
        .as_ref()
        .filter(|_| rank_of_first == 3)
        .and_then(|verdict| asked.iter().position(|one| one.verdict(verdict.action) == *verdict));
    for (place, one) in asked.iter().enumerate().filter(|(_, one)| counts(one.mode) && in_scope(one)) {
        let in_time = match one.module.stage {
            ModuleStage::Always => rank_of_first > 0,
            ModuleStage::Answers => false,
            ModuleStage::Unmatched => rank_of_first > 2 && decider.is_none_or(|decider| place <= decider),
        };
        if in_time {
            needed.insert(place);
        }
    }
    (decided.unwrap_or(by_default), needed)
}

proptest! {
    #[test]
    fn consulting_agrees_with_every_statement_put_in_order(
        (policies, answers) in with_modules(),
        ranges in any_ranges(),
        attempt in any_attempt(),
    ) {
        let policies: Vec<_> = policies.iter().collect();
        let asked = asked_by(&policies);
        let kind = ranges.kind_of(attempt.address.expect("an address"));
        let mut places = Vec::new();
        let verdicts = consult(&policies, &asked, &attempt, kind, &mut |one| {
            let place = asked.iter().position(|other| other == one).expect("one of them");
            places.push(place);
            answers[place]
        });
        if policies.is_empty() {
            prop_assert_eq!(verdicts, evaluate(&policies, &attempt, kind));
            return Ok(());
        }
        let (applied, for_applied) = naive(&policies, &asked, &answers, &attempt, kind, Which::Applied);
        let (observed, for_observed) = naive(&policies, &asked, &answers, &attempt, kind, Which::Observed);
        prop_assert_eq!(verdicts, Verdicts { applied, observed });
        let distinct: BTreeSet<_> = places.iter().copied().collect();
        prop_assert_eq!(distinct.len(), places.len(), "each once");
        prop_assert_eq!(distinct, for_applied.union(&for_observed).copied().collect::<BTreeSet<_>>());
    }

    #[test]
    fn modules_that_say_nothing_change_nothing(
        (policies, _) in with_modules(),
        ranges in any_ranges(),
        attempt in any_attempt(),
    ) {
        let policies: Vec<_> = policies.iter().collect();
        let kind = ranges.kind_of(attempt.address.expect("an address"));
        let verdicts = consult(&policies, &asked_by(&policies), &attempt, kind, &mut |_| ModuleAnswer::Next);
        prop_assert_eq!(verdicts, evaluate(&policies, &attempt, kind));
    }
}
