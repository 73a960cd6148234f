//! Who decides where modules have a say: case by case, and against a second formulation.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::{Asked, Ranges, Which, compile, consult, evaluate};
use super::agreement::{attempt as any_attempt, policies as any_policies, ranges as any_ranges};
use super::cases::{ranges, told};
use super::{attempt, policies};
use crate::model::{
    Action, Attempt, Kind, Mode, ModuleAnswer, ModuleStage, ModuleUse, Modules, Policy, PolicyKind,
    PortRange, Reason, Rule, Scope, Target, Verdict, Verdicts,
};

/// Policies, what modules answer (`next` where nothing is said), attempt, applied verdict, observed verdict, who was asked.
type Case = (
    &'static [&'static str],
    &'static [(&'static str, ModuleAnswer)],
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

const ALLOW: ModuleAnswer = ModuleAnswer::Allow;
const DENY: ModuleAnswer = ModuleAnswer::Deny;

const TRIED: &str = "a.test@192.0.2.1|TCP|443";
const UNMATCHED: &str =
    "mode: Enforce, scope: internet, default: Deny, modules: [{name: u, stage: unmatched}]";
const THREE: &str = "mode: Enforce, scope: internet, default: Deny, \
                     modules: [{name: u, stage: unmatched}, {name: v, stage: unmatched}, {name: w, stage: unmatched}]";
const VETO: &str = "mode: Enforce, scope: internet, default: Deny, allow: [{name: a, to: [{fqdn: a.test}]}], \
                    modules: [{name: u, stage: unmatched}, {name: x, stage: always}, {name: y, stage: always}]";
const CEILING: &str = "cluster: mode: Enforce, scope: internet, ceiling: [{to: [{fqdn: a.test}]}]";

const CASES: &[Case] = &[
    (&[], &[], TRIED, "allow unmanaged", "allow unmanaged", &[]),
    // Stage unmatched: the first that does not say `next` decides, and no other is asked.
    (&[UNMATCHED], &[], TRIED, "deny default-deny", "deny default-deny", &["u"]),
    (&[UNMATCHED], &[("u", ALLOW)], TRIED, "allow module module/u", "allow module module/u", &["u"]),
    (&[UNMATCHED], &[("u", DENY)], TRIED, "deny module module/u", "deny module module/u", &["u"]),
    (
        &[THREE],
        &[("v", DENY), ("w", ALLOW)],
        TRIED,
        "deny module module/v",
        "deny module module/v",
        &["u", "v"],
    ),
    (&[THREE], &[("w", ALLOW)], TRIED, "allow module module/w", "allow module module/w", &["u", "v", "w"]),
    // Those of the cluster come first, wherever they stand.
    (
        &[
            UNMATCHED,
            "cluster: mode: Enforce, scope: all, default: Deny, modules: [{name: c, stage: unmatched}]",
        ],
        &[("c", ALLOW), ("u", DENY)],
        TRIED,
        "allow module module/c",
        "allow module module/c",
        &["c"],
    ),
    // Stage always: all are asked, any deny wins, over rules that allow too; an allow is no more than `next`.
    (&[VETO], &[], TRIED, "allow rule a", "allow rule a", &["x", "y"]),
    (
        &[VETO],
        &[("x", DENY), ("y", ALLOW)],
        TRIED,
        "deny module module/x",
        "deny module module/x",
        &["x", "y"],
    ),
    (&[VETO], &[("y", DENY)], TRIED, "deny module module/y", "deny module module/y", &["x", "y"]),
    (
        &[VETO],
        &[("x", ALLOW), ("y", ALLOW)],
        "b.test@192.0.2.1|TCP|443",
        "deny default-deny",
        "deny default-deny",
        &["x", "y", "u"],
    ),
    (
        &[VETO],
        &[("y", DENY), ("u", ALLOW)],
        "b.test@192.0.2.1|TCP|443",
        "deny module module/y",
        "deny module module/y",
        &["x", "y"],
    ),
    (
        &[VETO],
        &[("y", ALLOW), ("u", ALLOW)],
        "b.test@192.0.2.1|TCP|443",
        "allow module module/u",
        "allow module module/u",
        &["x", "y", "u"],
    ),
    // A rule's deny is the last word, of the cluster or of a namespace: nobody is asked.
    (
        &[VETO, "mode: Enforce, scope: all, deny: [{name: d, to: [{cidr: 192.0.2.0/24}]}]"],
        &[("x", DENY)],
        TRIED,
        "deny rule d",
        "deny rule d",
        &[],
    ),
    (
        &[VETO, "cluster: mode: Enforce, scope: all, deny: [{name: d, to: [{cidr: 192.0.2.0/24}]}]"],
        &[("x", DENY)],
        TRIED,
        "deny rule d",
        "deny rule d",
        &[],
    ),
    // A rule on trial denies in the observed verdict only: asked is who counts in the other.
    (
        &[
            VETO,
            "mode: Observe, scope: all, deny: [{name: d, to: [{cidr: 192.0.2.0/24}]}], \
             modules: [{name: t, stage: always}]",
        ],
        &[("x", DENY), ("t", DENY)],
        TRIED,
        "deny module module/x",
        "deny rule d",
        &["x", "y"],
    ),
    // A module on trial.
    (
        &["mode: Observe, scope: all, default: Deny, modules: [{name: t, stage: unmatched}]"],
        &[("t", ALLOW)],
        TRIED,
        "allow not-enforced",
        "allow module module/t",
        &["t"],
    ),
    (
        &[VETO, "mode: Observe, scope: all, modules: [{name: t, stage: always}]"],
        &[("t", DENY)],
        TRIED,
        "allow rule a",
        "deny module module/t",
        &["x", "y", "t"],
    ),
    // On trial it comes first among those that are observed, and does not count among those applied.
    (
        &["mode: Observe, scope: all, default: Deny, modules: [{name: t, stage: unmatched}]", UNMATCHED],
        &[("t", DENY), ("u", ALLOW)],
        TRIED,
        "allow module module/u",
        "deny module module/t",
        &["u", "t"],
    ),
    // Scope.
    (&[UNMATCHED], &[("u", DENY)], "@10.96.0.1|TCP|443", "allow not-enforced", "allow not-enforced", &[]),
    (&[VETO], &[("x", DENY)], "a.test@192.168.7.1|TCP|443", "allow rule a", "allow rule a", &[]),
    (
        &["mode: Enforce, scope: all, modules: [{name: x, stage: always}]"],
        &[("x", DENY)],
        "@10.96.7.1|TCP|443",
        "deny module module/x",
        "deny module module/x",
        &["x"],
    ),
    // Ceilings bound what a namespace's module allows: where they do not cover it, the next has its say.
    (&[CEILING, UNMATCHED], &[("u", ALLOW)], TRIED, "allow module module/u", "allow module module/u", &["u"]),
    (
        &[CEILING, UNMATCHED],
        &[("u", ALLOW)],
        "b.test@192.0.2.1|TCP|443",
        "deny default-deny",
        "deny default-deny",
        &["u"],
    ),
    (
        &[CEILING, THREE],
        &[("u", ALLOW), ("v", DENY)],
        "b.test@192.0.2.1|TCP|443",
        "deny module module/v",
        "deny module module/v",
        &["u", "v"],
    ),
    (
        &["cluster: mode: Observe, scope: internet, ceiling: [{to: [{fqdn: b.test}]}]", UNMATCHED],
        &[("u", ALLOW)],
        TRIED,
        "allow module module/u",
        "deny default-deny",
        &["u"],
    ),
    (
        &[CEILING, "cluster: mode: Enforce, scope: internet, ceiling: [{to: [{fqdn: b.test}]}]", UNMATCHED],
        &[("u", ALLOW)],
        "a.test,b.test@192.0.2.1|TCP|443",
        "deny default-deny",
        "deny default-deny",
        &["u"],
    ),
    // Not what a module of the cluster allows.
    (
        &[
            CEILING,
            "cluster: mode: Enforce, scope: internet, default: Deny, modules: [{name: c, stage: unmatched}]",
        ],
        &[("c", ALLOW)],
        "b.test@192.0.2.1|TCP|443",
        "allow module module/c",
        "allow module module/c",
        &["c"],
    ),
];

fn asked_by(policies: &[&Policy]) -> Vec<Asked> {
    compile(policies, &Ranges::default(), &Modules::new()).expect("a small ruleset").modules
}

#[test]
fn rules_and_modules_decide_in_the_order_of_the_design() {
    for (specs, answers, tried, applied, observed, expected) in CASES {
        let policies = policies(specs);
        let policies: Vec<_> = policies.iter().collect();
        let attempt = attempt(tried);
        let kind = ranges().kind_of(attempt.address.expect("an address"));
        let mut names = Vec::new();
        let verdicts = consult(&policies, &asked_by(&policies), &attempt, kind, &mut |asked| {
            names.push(asked.module.name.to_string());
            let answer = answers.iter().find(|(name, _)| *name == &*asked.module.name);
            answer.map_or(ModuleAnswer::Next, |(_, answer)| *answer)
        });
        let told = (told(&verdicts.applied), told(&verdicts.observed));
        assert_eq!(
            (told.0.as_str(), told.1.as_str()),
            (*applied, *observed),
            "{specs:?} {answers:?} {tried}"
        );
        assert_eq!(names, *expected, "{specs:?} {answers:?} {tried}");
    }
}

#[test]
fn the_verdict_of_a_module_names_it_and_its_policy() {
    let policies = policies(&[UNMATCHED]);
    let policies: Vec<_> = policies.iter().collect();
    let verdicts =
        consult(&policies, &asked_by(&policies), &attempt(TRIED), Kind::Internet, &mut |_| DENY).applied;
    let expected = Verdict {
        policy: Some("n/p0".to_owned()),
        rule: Some("module/u".to_owned()),
        module: Some("u".to_owned()),
        ..Verdict::of(Action::Deny, Reason::Module)
    };
    assert_eq!(verdicts, expected);
}

/// Policies some of which ask modules, and what each of up to 20 modules answers.
fn with_modules() -> impl Strategy<Value = (Vec<Policy>, Vec<ModuleAnswer>)> {
    let stages = prop::sample::select(vec![ModuleStage::Unmatched, ModuleStage::Always]);
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
            if policy.id.kind() == PolicyKind::EgressPolicy {
                policy.allow = vec![Rule {
                    name: "all".to_owned(),
                    to: everywhere.to_vec(),
                    ports: Vec::<PortRange>::new(),
                    origin: policy.origin.clone(),
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
        let bounded = asked.policy.kind() == PolicyKind::EgressPolicy;
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
