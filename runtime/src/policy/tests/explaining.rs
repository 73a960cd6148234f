//! What an application owner reads who asks why.

use super::super::{Finding, Stage, explain};
use super::{attempt, policies};
use crate::model::Kind;

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
                "1 deny rule names addresses by `cidr`: without an address this cannot be judged",
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
    let policies = policies(&["mode: Enforce, scope: internet, default: Deny"]);
    let explanation =
        explain(&policies.iter().collect::<Vec<_>>(), &attempt("@10.96.0.1|TCP|5432"), Kind::Cluster);
    let texts: Vec<_> = explanation
        .steps
        .iter()
        .filter(|step| step.stage == Stage::Default)
        .map(|step| &*step.text)
        .collect();
    assert_eq!(
        texts,
        [
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
