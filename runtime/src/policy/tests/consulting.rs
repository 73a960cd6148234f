//! Who decides where modules have a say, case by case.

use super::super::{Asked, Ranges, compile, consult};
use super::cases::{ranges, told};
use super::{attempt, policies};
use crate::model::{Action, Kind, ModuleAnswer, Modules, Policy, Reason, Verdict};

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

pub(super) fn asked_by(policies: &[&Policy]) -> Vec<Asked> {
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
