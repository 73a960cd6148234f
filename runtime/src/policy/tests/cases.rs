//! What policies mean, case by case: by the plain evaluator and by the compiled ruleset alike.

use super::super::{Ranges, Ruleset, compile, evaluate};
use super::{attempt, policies};
use crate::model::{Action, Kind, Modules, OnDeny, Policy, Verdict};

pub(super) fn ranges() -> Ranges {
    let nets = |text: &str| text.split(' ').map(|net| net.parse().expect("a range")).collect();
    Ranges { cluster: nets("10.96.0.0/12 fd00:96::/112"), node: nets("192.168.7.0/24 10.96.7.0/24") }
}

fn compiled(policies: &[Policy]) -> Ruleset {
    compile(&policies.iter().collect::<Vec<_>>(), &ranges(), &Modules::new()).expect("a small ruleset")
}

pub(super) fn told(verdict: &Verdict) -> String {
    let action = if verdict.action == Action::Allow { "allow" } else { "deny" };
    let rule = verdict.rule.as_deref().map(|rule| format!(" {rule}")).unwrap_or_default();
    format!("{action} {}{rule}", verdict.reason)
}

/// Policies, attempt, applied verdict, observed verdict.
pub(super) type Case = (&'static [&'static str], &'static str, &'static str, &'static str);

const CASES: &[Case] = &[
    (&[], "a.test@192.0.2.1|TCP|80", "allow unmanaged", "allow unmanaged"),
    // Deny beats allow, wherever either is the narrower.
    (
        &[
            "mode: Enforce, scope: all, deny: [{to: [{cidr: 10.0.0.0/8}]}], allow: [{to: [{cidr: 10.1.0.0/16}]}]",
        ],
        "@10.1.2.3|TCP|80",
        "deny rule deny[0]",
        "deny rule deny[0]",
    ),
    (
        &[
            "mode: Enforce, scope: all, allow: [{to: [{cidr: 10.0.0.0/8}]}], deny: [{to: [{cidr: 10.1.0.0/16}]}]",
        ],
        "@10.2.2.3|TCP|80",
        "allow rule allow[0]",
        "allow rule allow[0]",
    ),
    (
        &["mode: Enforce, scope: all, \
           deny: [{to: [{cidr: 192.0.2.0/24}], ports: [{protocol: TCP, port: 1, endPort: 1024}]}], \
           allow: [{to: [{cidr: 192.0.2.0/24}], ports: [{protocol: TCP, port: 22}]}]"],
        "@192.0.2.1|TCP|22",
        "deny rule deny[0]",
        "deny rule deny[0]",
    ),
    (
        &["mode: Enforce, scope: all, allow: [{to: [{fqdn: a.test}]}], deny: [{to: [{cidr: 192.0.2.1/32}]}]"],
        "a.test@192.0.2.1|TCP|22",
        "deny rule deny[0]",
        "deny rule deny[0]",
    ),
    // Only deny rules do not make default-deny.
    (
        &["mode: Enforce, scope: all, deny: [{to: [{cidr: 169.254.169.254/32}]}]"],
        "@192.0.2.1|TCP|443",
        "allow not-enforced",
        "allow not-enforced",
    ),
    (
        &["mode: Enforce, scope: internet, default: Deny"],
        "@192.0.2.1|TCP|443",
        "deny default-deny",
        "deny default-deny",
    ),
    // Scope: the default covers the internet only, or all; a node's range inside the cluster's is the node's.
    (
        &["mode: Enforce, scope: internet, default: Deny"],
        "@10.96.0.1|TCP|443",
        "allow not-enforced",
        "allow not-enforced",
    ),
    (
        &["mode: Enforce, scope: internet, default: Deny", "mode: Enforce, scope: all, default: Deny"],
        "@fd00:96::1|UDP|53",
        "deny default-deny",
        "deny default-deny",
    ),
    (
        &["mode: Enforce, scope: internet, default: Deny", "mode: Observe, scope: all, default: Deny"],
        "@10.96.7.1|UDP|53",
        "allow not-enforced",
        "deny default-deny",
    ),
    // A default-deny of deny-only policies' scope is none.
    (
        &[
            "mode: Enforce, scope: internet, default: Deny",
            "mode: Enforce, scope: all, deny: [{to: [{cidr: 192.0.2.0/24}]}]",
        ],
        "@10.96.0.1|TCP|443",
        "allow not-enforced",
        "allow not-enforced",
    ),
    // Observe beside Enforce.
    (
        &[
            "mode: Enforce, scope: internet, allow: [{name: a, to: [{fqdn: a.test}]}]",
            "mode: Observe, scope: internet, allow: [{name: b, to: [{fqdn: b.test}]}]",
        ],
        "b.test@192.0.2.1|TCP|443",
        "deny default-deny",
        "allow rule b",
    ),
    (
        &[
            "mode: Observe, scope: internet, deny: [{name: d, to: [{cidr: 192.0.2.0/24}]}]",
            "mode: Enforce, scope: internet, allow: [{name: a, to: [{fqdn: a.test}]}]",
        ],
        "a.test@192.0.2.1|TCP|443",
        "allow rule a",
        "deny rule d",
    ),
    (
        &["mode: Observe, scope: internet, default: Deny"],
        "@192.0.2.1|TCP|443",
        "allow not-enforced",
        "deny default-deny",
    ),
    // Ports and protocols.
    (
        &["mode: Enforce, scope: all, allow: [{to: [{fqdn: a.test}], ports: [{protocol: UDP}]}]"],
        "a.test@192.0.2.1|UDP|9",
        "allow rule allow[0]",
        "allow rule allow[0]",
    ),
    (
        &["mode: Enforce, scope: all, allow: [{to: [{fqdn: a.test}], ports: [{protocol: UDP}]}]"],
        "a.test@192.0.2.1|TCP|9",
        "deny default-deny",
        "deny default-deny",
    ),
    (
        &["mode: Enforce, scope: all, \
           allow: [{to: [{fqdn: a.test}], ports: [{protocol: TCP, port: 8000, endPort: 8999}]}]"],
        "a.test@192.0.2.1|TCP|9000",
        "deny default-deny",
        "deny default-deny",
    ),
    (
        &["mode: Enforce, scope: all, allow: [{to: [{cidr: 192.0.2.0/24}], ports: [{protocol: ICMP}]}]"],
        "@192.0.2.1|ICMP|0",
        "allow rule allow[0]",
        "allow rule allow[0]",
    ),
    (
        &["mode: Enforce, scope: all, allow: [{to: [{cidr: 192.0.2.0/24}]}]"],
        "@192.0.2.1|SCTP|7",
        "allow rule allow[0]",
        "allow rule allow[0]",
    ),
    // A rule for one port within an allow of all: the deny is found by the longer match, the allow elsewhere.
    (
        &["mode: Enforce, scope: all, \
           deny: [{to: [{cidr: 192.0.2.0/24}], ports: [{protocol: TCP, port: 25}]}], \
           allow: [{to: [{cidr: 0.0.0.0/0}]}]"],
        "@192.0.2.1|TCP|26",
        "allow rule allow[0]",
        "allow rule allow[0]",
    ),
    // Of two allows the first by policy and place is named.
    (
        &[
            "mode: Enforce, scope: all, allow: [{name: z, to: [{cidr: 192.0.0.0/16}]}, {name: y, to: [{cidr: 192.0.2.0/24}]}]",
            "mode: Enforce, scope: all, allow: [{name: a, to: [{cidr: 192.0.2.1/32}]}]",
        ],
        "@192.0.2.1|TCP|80",
        "allow rule z",
        "allow rule z",
    ),
    // Families are kept apart.
    (
        &["mode: Enforce, scope: all, allow: [{to: [{cidr: 0.0.0.0/0}]}]"],
        "@2001:db8::1|TCP|80",
        "deny default-deny",
        "deny default-deny",
    ),
];

#[test]
fn policies_mean_what_the_design_says_by_either_way() {
    CASES.iter().for_each(holds);
}

/// Whether both ways give the verdicts of the case.
pub(super) fn holds((specs, tried, applied, observed): &Case) {
    let policies = policies(specs);
    let attempt = attempt(tried);
    let address = attempt.address.expect("an address");
    let kind = ranges().kind_of(address);
    let plain = evaluate(&policies.iter().collect::<Vec<_>>(), &attempt, kind);
    let fast = compiled(&policies).look_up(&attempt.names, address, attempt.protocol, attempt.port);
    for (way, verdicts) in [("evaluated", plain), ("compiled", fast)] {
        let told = (told(&verdicts.applied), told(&verdicts.observed));
        assert_eq!((told.0.as_str(), told.1.as_str()), (*applied, *observed), "{way}: {specs:?} {tried}");
    }
}

#[test]
fn the_longest_of_the_configured_ranges_says_what_an_address_is() {
    for (address, kind) in [
        ("10.96.0.1", Kind::Cluster),
        ("10.96.7.1", Kind::Node),
        ("192.168.7.9", Kind::Node),
        ("192.0.2.1", Kind::Internet),
        ("fd00:96::1", Kind::Cluster),
        ("fd00:97::1", Kind::Internet),
    ] {
        assert_eq!(ranges().kind_of(address.parse().expect("an address")), kind, "{address}");
    }
}

#[test]
fn silence_on_deny_beats_a_refusal_among_policies_in_force_only() {
    for (specs, expected) in [
        (&["mode: Enforce, scope: all, default: Deny"] as &[_], OnDeny::Reject),
        (
            &[
                "mode: Enforce, scope: all, default: Deny",
                "mode: Enforce, scope: all, default: Deny, onDeny: Drop",
            ],
            OnDeny::Drop,
        ),
        (
            &[
                "mode: Enforce, scope: all, default: Deny",
                "mode: Observe, scope: all, default: Deny, onDeny: Drop",
            ],
            OnDeny::Reject,
        ),
    ] {
        assert_eq!(compiled(&policies(specs)).on_deny, expected, "{specs:?}");
    }
}

#[test]
fn ten_thousand_ranges_of_one_rule_are_one_class() {
    let ranges: Vec<_> = (0..10_000).map(|n| format!("{{cidr: 10.{}.{}.0/24}}", n / 250, n % 250)).collect();
    let spec = format!("mode: Enforce, scope: all, allow: [{{to: [{}]}}]", ranges.join(", "));
    let policies = policies(&[&spec]);
    let ruleset = compile(&policies.iter().collect::<Vec<_>>(), &Ranges::default(), &Modules::new())
        .expect("a small ruleset");
    assert_eq!((ruleset.dest.len(), ruleset.rules.len()), (10_000, 1));
}

/// Without optimisation too, 50,000 rules compile in a second or two; were it quadratic, it would take minutes.
#[test]
fn compiling_many_rules_is_not_quadratic() {
    let rules = |from: u32| {
        let rule = |n: u32| format!("{{to: [{{cidr: 10.{}.{}.{}/32}}]}}", n >> 16, n >> 8 & 255, n & 255);
        (from..from + 10_000).map(rule).collect::<Vec<_>>().join(", ")
    };
    let mut specs: Vec<_> = (0..5).map(|n| rules(n * 10_000)).collect();
    // Last in the order, so that every range above still names a rule of its own.
    specs.push("{to: [{cidr: 10.0.0.0/8}]}".to_owned());
    let named = |(number, rules): (usize, &String)| {
        let mut policy = policies(&[&format!("mode: Enforce, scope: all, allow: [{rules}]")]).remove(0);
        policy.id.name = format!("p{number}");
        policy
    };
    let policies: Vec<_> = specs.iter().enumerate().map(named).collect();
    let began = std::time::Instant::now();
    let ruleset = compile(&policies.iter().collect::<Vec<_>>(), &Ranges::default(), &Modules::new())
        .expect("a small ruleset");
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    assert_eq!(ruleset.dest.len(), 50_001);
}

#[test]
fn a_range_of_which_nothing_new_is_said_costs_nothing() {
    let spec = "mode: Enforce, scope: all, allow: [{to: [{cidr: 10.0.0.0/8}]}, {to: [{cidr: 10.1.0.0/16}]}]";
    assert_eq!(compiled(&policies(&[spec])).dest.keys().filter(|net| net.prefix_len() == 16).count(), 0);
}

#[test]
fn rules_that_multiply_are_refused_before_they_fill_the_memory() {
    let ports: Vec<_> = (1..2_000).map(|n| format!("{{protocol: TCP, port: {}}}", n * 2)).collect();
    let inner: Vec<_> =
        (0..2_000).map(|n| format!("{{to: [{{cidr: 10.0.{}.{}/32}}]}}", n / 250, n % 250)).collect();
    let spec = format!(
        "mode: Enforce, scope: all, allow: [{{to: [{{cidr: 10.0.0.0/8}}], ports: [{}]}}, {}]",
        ports.join(", "),
        inner.join(", ")
    );
    let policies = policies(&[&spec]);
    let error = compile(&policies.iter().collect::<Vec<_>>(), &Ranges::default(), &Modules::new())
        .expect_err("too large");
    assert!(error.to_string().contains("n/p0"), "{error}");
}
