//! What an application owner reads who asks why.

use proptest::prelude::*;

use super::super::{Asked, Decider, Explanation, Finding, Stage, Undecided, consult, explain};
use super::agreement::{attempt as any_attempt, ranges as any_ranges};
use super::consulting::asked_by;
use super::statements::with_modules;
use super::{attempt, policies};
use crate::model::{Action, Kind, ModuleAnswer, Verdict, Verdicts};

/// Policies, attempt, and sentences that the explanation has, with what they find.
type Case = (&'static [&'static str], &'static str, &'static [(Stage, Finding, &'static str)]);

const CASES: &[Case] = &[
    (&[], "a.test@-|TCP|80", &[(Stage::Policies, Finding::Nothing, "no policy selects the workload")]),
    (
        &[
            "mode: Enforce, scope: internet, allow: [{name: git-over-ssh, to: [{fqdn: github.com}], ports: [{protocol: TCP, port: 22}]}]",
        ],
        "github.com@192.0.2.1|TCP|443",
        &[
            (
                Stage::Policies,
                Finding::Match,
                "policy n/p0 selects the workload: mode Enforce, denies the internet by default",
            ),
            (Stage::Deny, Finding::Nothing, "there are no deny rules"),
            (Stage::Allow, Finding::Nothing, "the one allow rule does not cover it"),
            (
                Stage::Allow,
                Finding::NearMiss,
                "rule n/p0 git-over-ssh allows github.com on TCP 22, not on TCP 443",
            ),
            (
                Stage::Default,
                Finding::Match,
                "policy n/p0 denies the internet by default: that covers this destination, which is on the internet",
            ),
        ],
    ),
    (
        &["mode: Enforce, scope: all, allow: [{to: [{fqdn: '*.example.com'}]}]"],
        "example.com@-|TCP|443",
        &[(
            Stage::Allow,
            Finding::NearMiss,
            "a wildcard does not cover its own apex example.com; add `fqdn: example.com`",
        )],
    ),
    (
        &["mode: Enforce, scope: all, allow: [{to: [{fqdn: '*.example.com'}]}]"],
        "a.b.example.com@-|TCP|443",
        &[(
            Stage::Allow,
            Finding::NearMiss,
            "`*` is exactly one label, so a.b.example.com is not covered; `**.example.com` covers any depth",
        )],
    ),
    (
        &["mode: Enforce, scope: all, allow: [{to: [{fqdn: github.com}]}]"],
        "api.github.com@-|TCP|443",
        &[(
            Stage::Allow,
            Finding::NearMiss,
            "but api.github.com is another name; add it, or `fqdn: \"*.github.com\"`",
        )],
    ),
    (
        &["mode: Enforce, scope: all, allow: [{to: [{fqdn: www.github.com}]}]"],
        "github.com@-|TCP|443",
        &[(Stage::Allow, Finding::NearMiss, "github.com is another name; add `fqdn: github.com`")],
    ),
    (
        &["mode: Enforce, scope: all, deny: [{to: [{cidr: 10.0.0.0/8}]}], allow: [{to: [{fqdn: a.test}]}]"],
        "a.test@-|TCP|443",
        &[
            (
                Stage::Deny,
                Finding::Unknown,
                "1 deny rule names addresses by `cidr`, `service` or `pods`: without an address this cannot be judged",
            ),
            (Stage::Allow, Finding::Match, "rule n/p0 allow[0] allows a.test on every protocol and port"),
        ],
    ),
    (
        &["mode: Enforce, scope: all, allow: [{to: [{fqdn: a.test}]}]"],
        "@192.0.2.1|TCP|443",
        &[(Stage::Allow, Finding::Unknown, "no such look-up is known for this one")],
    ),
    (
        &["mode: Observe, scope: internet, default: Deny"],
        "@192.0.2.1|TCP|443",
        &[
            (Stage::Policies, Finding::Match, "mode Observe (reported only)"),
            (Stage::Default, Finding::Nothing, "it goes on, but would not were all enforced"),
        ],
    ),
    (
        &[
            "cluster: mode: Enforce, scope: all, ceiling: [{to: [{fqdn: '*.example.com'}]}, {to: [{fqdn: a.test}], ports: [{protocol: TCP, port: 22}]}]",
            "cluster: mode: Observe, scope: internet, ceiling: [{to: [{fqdn: '**.test'}]}]",
            "mode: Enforce, scope: internet, allow: [{name: a, to: [{fqdn: a.test}]}]",
        ],
        "a.test@192.0.2.1|TCP|443",
        &[
            (
                Stage::Policies,
                Finding::Match,
                "cluster policy p0 selects the workload: mode Enforce, denies everything by default, has a ceiling for what \
                 namespaces allow",
            ),
            (
                Stage::Ceiling,
                Finding::Nothing,
                "the ceiling of cluster policy p0 does not allow it, whatever policies of namespaces allow: none of its 2 \
                 entries covers it (ceiling[1] covers it, but not on TCP 443)",
            ),
            (
                Stage::Ceiling,
                Finding::Match,
                "the ceiling of cluster policy p1 (mode Observe, reported only) lets it pass: ceiling[0] covers **.test on \
                 every protocol and port",
            ),
            (
                Stage::Allow,
                Finding::Cut,
                "rule n/p2 a allows a.test on every protocol and port, but the ceiling of cluster policy p0 does not allow it",
            ),
            (Stage::Default, Finding::Match, "cluster policy p0 denies everything by default: that covers"),
        ],
    ),
    (
        &[
            "cluster: mode: Observe, scope: all, ceiling: []",
            "mode: Enforce, scope: internet, allow: [{name: a, to: [{fqdn: a.test}]}]",
        ],
        "a.test@192.0.2.1|TCP|443",
        &[
            (Stage::Ceiling, Finding::Nothing, "whatever policies of namespaces allow: it is empty"),
            (
                Stage::Allow,
                Finding::Match,
                "but the ceiling of cluster policy p0 (mode Observe, reported only) does not allow it",
            ),
        ],
    ),
    (
        &[
            "cluster: mode: Enforce, scope: all, ceiling: [{to: [{fqdn: a.test}]}]",
            "cluster: mode: Enforce, scope: all, ceiling: [{to: [{fqdn: b.test}]}]",
            "mode: Enforce, scope: internet, allow: [{name: a, to: [{fqdn: '*.test'}]}]",
        ],
        "a.test,b.test@192.0.2.1|TCP|443",
        &[(Stage::Allow, Finding::Cut, "but no one name of it is within all ceilings")],
    ),
    (
        &[
            "mode: Enforce, scope: internet, default: Deny, \
             modules: [{name: hours, stage: unmatched}, {name: guard, stage: always}]",
            "cluster: mode: Observe, scope: all, ceiling: [{to: [{fqdn: b.test}]}], modules: [{name: brake, stage: always}]",
            "mode: Observe, scope: internet, default: Deny, modules: [{name: trial, stage: unmatched}]",
        ],
        "a.test@192.0.2.1|TCP|443",
        &[
            (Stage::Policies, Finding::Match, "mode Enforce, denies the internet by default, asks 2 modules"),
            (
                Stage::Always,
                Finding::Asked,
                "module brake of cluster policy p1 is asked for what is observed only: it may deny",
            ),
            (Stage::Always, Finding::Asked, "module guard of policy n/p0 is asked: it may deny"),
            (
                Stage::Unmatched,
                Finding::Asked,
                "module hours of policy n/p0 is asked, for no rule speaks: it decides unless it says `next`",
            ),
            (
                Stage::Unmatched,
                Finding::Cut,
                "module trial of policy n/p2 is asked for what is observed only, for no rule speaks: it may deny, but a \
                 ceiling keeps it from allowing",
            ),
        ],
    ),
    (
        &[
            "mode: Enforce, scope: internet, allow: [{to: [{fqdn: a.test}]}], modules: [{name: hours, stage: unmatched}]",
            "mode: Enforce, scope: all, modules: [{name: guard, stage: always}]",
        ],
        "a.test@192.0.2.1|TCP|443",
        &[
            (Stage::Policies, Finding::Match, "no default deny (it only denies), asks a module"),
            (
                Stage::Unmatched,
                Finding::Nothing,
                "module hours of policy n/p0 is not asked: a rule allows it",
            ),
        ],
    ),
    (
        &[
            "mode: Enforce, scope: internet, deny: [{to: [{cidr: 192.0.2.0/24}]}], modules: [{name: guard, stage: always}]",
        ],
        "a.test@192.0.2.1|TCP|443",
        &[(Stage::Always, Finding::Nothing, "module guard of policy n/p0 is not asked: a rule denies it")],
    ),
];

#[test]
fn an_explanation_says_what_was_looked_at_and_what_almost_fitted() {
    for (specs, tried, expected) in CASES {
        let policies = policies(specs);
        let explanation = explain(&policies.iter().collect::<Vec<_>>(), &attempt(tried), Kind::Internet);
        for (stage, finding, words) in *expected {
            let found = explanation
                .steps
                .iter()
                .any(|step| step.stage == *stage && step.finding == *finding && step.text.contains(words));
            assert!(found, "{words}\nis not in {:#?}", explanation.steps);
        }
        assert!(explanation.steps.is_sorted_by_key(|step| step.stage), "{:#?}", explanation.steps);
    }
}

#[test]
fn the_default_does_not_cover_what_is_out_of_its_scope() {
    let policies = policies(&[
        "mode: Enforce, scope: internet, default: Deny, modules: [{name: hours, stage: unmatched}]",
    ]);
    let explanation =
        explain(&policies.iter().collect::<Vec<_>>(), &attempt("@10.96.0.1|TCP|5432"), Kind::Cluster);
    let texts: Vec<_> = explanation
        .steps
        .iter()
        .filter(|step| step.stage >= Stage::Unmatched)
        .map(|step| &*step.text)
        .collect();
    assert_eq!(
        texts,
        [
            "module hours of policy n/p0 is not asked: its policy is about the internet, and this destination is in the cluster",
            "policy n/p0 denies the internet by default: that does not cover this destination, which is in the cluster",
            "no default denies it: it goes on",
        ]
    );
}

#[test]
fn the_body_of_an_explanation_names_rule_file_and_line() {
    let policies = policies(&["mode: Enforce, scope: all, allow: [{name: a, to: [{fqdn: a.test}]}]"]);
    let explanation = explain(&[&policies[0]], &attempt("a.test@192.0.2.1|TCP|80"), Kind::Internet);
    let body = serde_json::to_value(&explanation).expect("JSON");
    assert_eq!(body["applied"]["action"], "allow");
    let step = body["steps"].as_array().expect("steps").iter().find(|step| step["decidesApplied"] == true);
    let step = step.expect("a deciding step");
    assert_eq!(
        (&step["stage"], &step["finding"], &step["policy"]),
        (&"allow".into(), &"match".into(), &"n/p0".into())
    );
    assert_eq!(
        (&step["rule"], &step["origin"]["file"], &step["origin"]["line"]),
        (&"a".into(), &"test.yaml".into(), &4.into())
    );
    assert_eq!(serde_json::from_value::<super::super::Explanation>(body).expect("the same"), explanation);
}

/// Policies, attempt, and the modules on which each verdict depends.
#[test]
fn the_modules_that_may_turn_a_verdict_are_named_and_no_others() {
    let unmatched = "mode: Enforce, scope: internet, default: Deny, modules: [{name: u, stage: unmatched}]";
    let veto = "mode: Enforce, scope: internet, allow: [{to: [{fqdn: a.test}]}], modules: [{name: v, stage: always}]";
    for (specs, tried, applied, observed) in [
        (&[unmatched][..], "a.test@192.0.2.1|TCP|443", &["n/p0 u"][..], &["n/p0 u"][..]),
        (&[veto], "a.test@192.0.2.1|TCP|443", &["n/p0 v"], &["n/p0 v"]),
        // Denied anyway.
        (&[veto], "b.test@192.0.2.1|TCP|443", &[], &[]),
        (&[unmatched, veto], "b.test@192.0.2.1|TCP|443", &["n/p1 v", "n/p0 u"], &["n/p1 v", "n/p0 u"]),
        (
            &[unmatched, "cluster: mode: Observe, scope: all, ceiling: []"],
            "@192.0.2.1|TCP|443",
            &["n/p0 u"],
            &[],
        ),
        (
            &["mode: Observe, scope: all, default: Deny, modules: [{name: u, stage: unmatched}]"],
            "@192.0.2.1|TCP|443",
            &[],
            &["n/p0 u"],
        ),
    ] {
        let policies = policies(specs);
        let explanation = explain(&policies.iter().collect::<Vec<_>>(), &attempt(tried), Kind::Internet);
        let told = |deciders: &[Decider]| {
            deciders.iter().map(|one| format!("{} {}", one.policy, one.module)).collect::<Vec<_>>()
        };
        let Undecided { applied: told_applied, observed: told_observed } = &explanation.undecided;
        assert_eq!((told(told_applied), told(told_observed)), (words(applied), words(observed)), "{specs:?}");
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn the_body_of_an_explanation_names_modules_only_where_they_may_decide() {
    let body = |spec: &str| {
        let policies = policies(&[spec]);
        let explanation = explain(&[&policies[0]], &attempt("@192.0.2.1|TCP|80"), Kind::Internet);
        let body = serde_json::to_value(&explanation).expect("JSON");
        assert_eq!(serde_json::from_value::<Explanation>(body.clone()).expect("the same"), explanation);
        body
    };
    let plain = "mode: Enforce, scope: all, default: Deny";
    assert_eq!(body(plain).get("undecided"), None);
    let one = serde_json::json!([{"policy": "n/p0", "module": "u", "stage": "unmatched"}]);
    let asking = body(&format!("{plain}, modules: [{{name: u, stage: unmatched}}]"));
    assert_eq!(asking["undecided"], serde_json::json!({"applied": one, "observed": one}));
    assert_eq!(asking["applied"]["reason"], "default-deny");
}

proptest! {
    /// With whatever the others say, an action is that of the rules unless a module that is named says otherwise; and where
    /// one is named, there are answers that turn it.
    #[test]
    fn the_modules_that_are_named_are_those_that_turn_an_action(
        (policies, answers) in with_modules(),
        ranges in any_ranges(),
        attempt in any_attempt(),
    ) {
        let policies: Vec<_> = policies.iter().collect();
        let asked = asked_by(&policies);
        let kind = ranges.kind_of(attempt.address.expect("an address"));
        let Explanation { verdicts, undecided, .. } = explain(&policies, &attempt, kind);
        for (by_rules, deciders, of) in [
            (verdicts.applied, undecided.applied, (|v| v.applied) as fn(Verdicts) -> Verdict),
            (verdicts.observed, undecided.observed, |v| v.observed),
        ] {
            let named = |one: &Asked| {
                deciders.iter().any(|d| d.policy == one.policy.to_string() && *d.module == *one.module.name)
            };
            let silenced = consult(&policies, &asked, &attempt, kind, &mut |one| {
                let place = asked.iter().position(|other| other == one).expect("one of them");
                if named(one) { ModuleAnswer::Next } else { answers[place] }
            });
            prop_assert_eq!(of(silenced).action, by_rules.action);
            let turned = consult(&policies, &asked, &attempt, kind, &mut |one| match by_rules.action {
                _ if !named(one) => ModuleAnswer::Next,
                Action::Allow => ModuleAnswer::Deny,
                Action::Deny => ModuleAnswer::Allow,
            });
            prop_assert_eq!(of(turned).action != by_rules.action, !deciders.is_empty());
        }
    }
}

#[test]
fn an_explanation_of_ten_thousand_rules_stays_short() {
    let rules: Vec<_> =
        (0..10_000).map(|_| "{to: [{fqdn: a.test}], ports: [{protocol: TCP, port: 22}]}").collect();
    let policies = policies(&[&format!("mode: Enforce, scope: all, allow: [{}]", rules.join(", "))]);
    let explanation = explain(&[&policies[0]], &attempt("a.test@192.0.2.1|TCP|80"), Kind::Internet);
    assert!(explanation.steps.len() < 60, "{}", explanation.steps.len());
}

#[test]
fn what_a_ceiling_says_is_told_with_the_place_where_it_is_written() {
    let policies = policies(&[
        "cluster: mode: Enforce, scope: all, ceiling: [{name: c, to: [{fqdn: b.test}]}]",
        "mode: Enforce, scope: internet, allow: [{name: a, to: [{fqdn: '*.test'}]}]",
    ]);
    let all: Vec<_> = policies.iter().collect();
    for (tried, rule, column) in
        [("a.test@192.0.2.1|TCP|443", None, 75), ("b.test@192.0.2.1|TCP|443", Some("c"), 85)]
    {
        let steps = explain(&all, &attempt(tried), Kind::Internet).steps;
        let step = steps.iter().find(|step| step.stage == Stage::Ceiling).expect("a step");
        let origin = step.origin.as_ref().expect("a place");
        assert_eq!((step.policy.as_deref(), step.rule.as_deref()), (Some("p0"), rule));
        assert_eq!((&*origin.file, origin.line, origin.column), ("test.yaml", 4, column));
        assert!(!step.decides_applied && !step.decides_observed);
    }
}
