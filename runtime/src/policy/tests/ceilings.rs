//! What policies of the cluster and their ceilings mean, case by case, and what they cost.

use super::super::{Excess, Ranges, Ruleset, compile, compile_bounds};
use super::cases::{self, Case, holds};
use super::{attempt, policies};
use crate::model::Modules;

const EXAMPLE: &str = "cluster: mode: Enforce, scope: internet, ceiling: [{to: [{fqdn: '**.example.com'}, {cidr: 192.0.2.0/24}]}]";

const CASES: &[Case] = &[
    // The cluster's deny beats a namespace's allow, and its deny is the one told.
    (
        &[
            "mode: Enforce, scope: all, allow: [{name: a, to: [{fqdn: a.test}]}], deny: [{name: own, to: [{cidr: 192.0.2.0/24}]}]",
            "cluster: mode: Enforce, scope: all, deny: [{name: d, to: [{cidr: 192.0.2.0/24}]}]",
        ],
        "a.test@192.0.2.1|TCP|443",
        "deny rule d",
        "deny rule d",
    ),
    (
        &[
            "mode: Enforce, scope: all, allow: [{name: a, to: [{fqdn: a.test}]}]",
            "cluster: mode: Observe, scope: all, deny: [{name: d, to: [{cidr: 192.0.2.0/24}]}]",
        ],
        "a.test@192.0.2.1|TCP|443",
        "allow rule a",
        "deny rule d",
    ),
    // A namespace's deny beats the cluster's allow too.
    (
        &[
            "mode: Enforce, scope: all, deny: [{name: d, to: [{cidr: 192.0.2.0/24}]}]",
            "cluster: mode: Enforce, scope: all, allow: [{name: a, to: [{fqdn: a.test}]}]",
        ],
        "a.test@192.0.2.1|TCP|443",
        "deny rule d",
        "deny rule d",
    ),
    // Allows are a union, and of two the cluster's is told.
    (
        &[
            "mode: Enforce, scope: all, allow: [{name: a, to: [{fqdn: a.test}]}]",
            "cluster: mode: Enforce, scope: all, allow: [{name: c, to: [{fqdn: '*.test'}]}]",
        ],
        "a.test@192.0.2.1|TCP|443",
        "allow rule c",
        "allow rule c",
    ),
    // A ceiling alone allows nothing, and denies what is in its scope.
    (&[EXAMPLE], "a.example.com@192.0.2.1|TCP|443", "deny default-deny", "deny default-deny"),
    (&[EXAMPLE], "@10.96.0.1|TCP|443", "allow not-enforced", "allow not-enforced"),
    // Names under names: what is in both.
    (
        &[EXAMPLE, "mode: Enforce, scope: all, allow: [{to: [{fqdn: a.example.com}]}]"],
        "a.example.com@198.51.100.1|TCP|443",
        "allow rule allow[0]",
        "allow rule allow[0]",
    ),
    (
        &[EXAMPLE, "mode: Enforce, scope: all, allow: [{to: [{fqdn: a.test}]}]"],
        "a.test@198.51.100.1|TCP|443",
        "deny default-deny",
        "deny default-deny",
    ),
    (
        &[
            "cluster: mode: Enforce, scope: all, ceiling: [{to: [{fqdn: '*.a.test'}]}]",
            "mode: Enforce, scope: all, allow: [{to: [{fqdn: 'x.*.test'}]}]",
        ],
        "x.a.test@198.51.100.1|TCP|443",
        "allow rule allow[0]",
        "allow rule allow[0]",
    ),
    (
        &[
            "cluster: mode: Enforce, scope: all, ceiling: [{to: [{fqdn: '*.a.test'}]}]",
            "mode: Enforce, scope: all, allow: [{to: [{fqdn: 'x.*.test'}]}]",
        ],
        "x.b.test,y.a.test@198.51.100.1|TCP|443",
        "deny default-deny",
        "deny default-deny",
    ),
    // Ranges under ranges, names under ranges, ranges under names.
    (
        &[EXAMPLE, "mode: Enforce, scope: all, allow: [{to: [{cidr: 192.0.0.0/16}]}]"],
        "@192.0.2.1|TCP|443",
        "allow rule allow[0]",
        "allow rule allow[0]",
    ),
    (
        &[EXAMPLE, "mode: Enforce, scope: all, allow: [{to: [{cidr: 192.0.0.0/16}]}]"],
        "@192.0.3.1|TCP|443",
        "deny default-deny",
        "deny default-deny",
    ),
    (
        &[EXAMPLE, "mode: Enforce, scope: all, allow: [{to: [{fqdn: a.test}]}]"],
        "a.test@192.0.2.1|TCP|443",
        "allow rule allow[0]",
        "allow rule allow[0]",
    ),
    (
        &[EXAMPLE, "mode: Enforce, scope: all, allow: [{to: [{cidr: 198.51.100.0/24}]}]"],
        "a.example.com@198.51.100.1|TCP|443",
        "allow rule allow[0]",
        "allow rule allow[0]",
    ),
    (
        &[EXAMPLE, "mode: Enforce, scope: all, allow: [{to: [{cidr: 198.51.100.0/24}]}]"],
        "@198.51.100.1|TCP|443",
        "deny default-deny",
        "deny default-deny",
    ),
    // Ports.
    (
        &[
            "cluster: mode: Enforce, scope: all, ceiling: [{to: [{fqdn: a.test}], ports: [{protocol: TCP, port: 443, endPort: 500}]}]",
            "mode: Enforce, scope: all, allow: [{to: [{fqdn: a.test}]}]",
        ],
        "a.test@192.0.2.1|TCP|500",
        "allow rule allow[0]",
        "allow rule allow[0]",
    ),
    (
        &[
            "cluster: mode: Enforce, scope: all, ceiling: [{to: [{fqdn: a.test}], ports: [{protocol: TCP, port: 443, endPort: 500}]}]",
            "mode: Enforce, scope: all, allow: [{to: [{fqdn: a.test}], ports: [{protocol: TCP, port: 400, endPort: 460}]}]",
        ],
        "a.test@192.0.2.1|TCP|442",
        "deny default-deny",
        "deny default-deny",
    ),
    (
        &[
            "cluster: mode: Enforce, scope: all, ceiling: [{to: [{fqdn: a.test}], ports: [{protocol: TCP}]}]",
            "mode: Enforce, scope: all, allow: [{to: [{fqdn: a.test}]}]",
        ],
        "a.test@192.0.2.1|UDP|443",
        "deny default-deny",
        "deny default-deny",
    ),
    // The cluster's own allow is not bound by a ceiling, its own or another's.
    (
        &[
            "cluster: mode: Enforce, scope: all, ceiling: [], allow: [{name: c, to: [{fqdn: a.test}]}]",
            "cluster: mode: Enforce, scope: all, ceiling: [{to: [{fqdn: b.test}]}]",
        ],
        "a.test@192.0.2.1|TCP|443",
        "allow rule c",
        "allow rule c",
    ),
    // An empty ceiling lets no allow of a namespace pass.
    (
        &[
            "cluster: mode: Enforce, scope: all, ceiling: []",
            "mode: Enforce, scope: all, allow: [{to: [{fqdn: a.test}, {cidr: 0.0.0.0/0}]}]",
        ],
        "a.test@192.0.2.1|TCP|443",
        "deny default-deny",
        "deny default-deny",
    ),
    // Of several ceilings each must let it pass, by the same name.
    (
        &[
            "cluster: mode: Enforce, scope: all, ceiling: [{to: [{fqdn: a.test}, {fqdn: b.test}]}]",
            "cluster: mode: Enforce, scope: all, ceiling: [{to: [{fqdn: b.test}, {cidr: 192.0.2.0/24}]}]",
            "mode: Enforce, scope: all, allow: [{to: [{fqdn: '*.test'}]}]",
        ],
        "a.test@192.0.2.1|TCP|443",
        "allow rule allow[0]",
        "allow rule allow[0]",
    ),
    (
        &[
            "cluster: mode: Enforce, scope: all, ceiling: [{to: [{fqdn: a.test}]}]",
            "cluster: mode: Enforce, scope: all, ceiling: [{to: [{fqdn: b.test}]}]",
            "mode: Enforce, scope: all, allow: [{to: [{fqdn: '*.test'}]}]",
        ],
        "a.test,b.test@192.0.2.1|TCP|443",
        "deny default-deny",
        "deny default-deny",
    ),
    // A ceiling on trial counts in the observed verdict only.
    (
        &[
            "cluster: mode: Observe, scope: all, ceiling: [{to: [{fqdn: b.test}]}]",
            "mode: Enforce, scope: all, allow: [{name: a, to: [{fqdn: '*.test'}]}]",
        ],
        "a.test@192.0.2.1|TCP|443",
        "allow rule a",
        "deny default-deny",
    ),
    (
        &[
            "cluster: mode: Enforce, scope: all, ceiling: [{to: [{fqdn: '*.test'}]}]",
            "cluster: mode: Observe, scope: all, ceiling: [{to: [{cidr: 192.0.2.0/24}]}]",
            "mode: Enforce, scope: all, allow: [{name: a, to: [{fqdn: a.test}]}]",
        ],
        "a.test@192.0.3.1|TCP|443",
        "allow rule a",
        "deny default-deny",
    ),
    (
        &[
            "cluster: mode: Enforce, scope: all, ceiling: [{to: [{fqdn: b.test}]}]",
            "mode: Observe, scope: all, allow: [{name: a, to: [{fqdn: '*.test'}]}]",
        ],
        "b.test@192.0.2.1|TCP|443",
        "deny default-deny",
        "allow rule a",
    ),
];

#[test]
fn policies_of_the_cluster_mean_what_the_design_says_by_either_way() {
    CASES.iter().for_each(holds);
}

#[test]
fn a_ceiling_that_holds_all_of_a_rule_adds_no_class() {
    let specs = [
        "cluster: mode: Enforce, scope: all, ceiling: [{to: [{fqdn: '**.test'}, {cidr: 0.0.0.0/0}]}]",
        "mode: Enforce, scope: all, allow: [{to: [{fqdn: a.test}, {fqdn: '*.b.test'}, {cidr: 192.0.2.0/24}]}]",
    ];
    let policies = policies(&specs);
    let ruleset = compile(&policies.iter().collect::<Vec<_>>(), &Ranges::default(), &Modules::new())
        .expect("a small ruleset");
    let names: Vec<_> = ruleset.names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["*.b.test", "a.test"]);
    assert_eq!(ruleset.dest.len(), 1);
}

/// Five thousand names under a hundred wildcards compile in a second or two without optimisation, and more pairs than the
/// bound are refused before they cost more.
#[test]
fn allows_and_ceilings_that_multiply_are_refused_before_they_cost_much() {
    let list = |count: usize, of: &str| {
        (0..count)
            .map(|n| format!("{{fqdn: '{}'}}", of.replace('N', &n.to_string())))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let compiled = |names: usize, ceiling: &str| {
        let rules = format!("mode: Enforce, scope: all, allow: [{{to: [{}]}}]", list(names, "nN.a.test"));
        let policies = policies(&[ceiling, &rules]);
        compile(&policies.iter().collect::<Vec<_>>(), &Ranges::default(), &Modules::new())
    };
    let wide = |count| {
        format!("cluster: mode: Enforce, scope: all, ceiling: [{{to: [{}]}}]", list(count, "*N.a.test"))
    };
    let began = std::time::Instant::now();
    let ruleset = compiled(5_000, &wide(100)).expect("not too large");
    assert_eq!(ruleset.names.len(), 5_000);
    let error = compiled(10_000, &wide(1_000)).expect_err("too large");
    assert_eq!((error.excess, error.policies.as_str()), (Excess::Ceilings, "n/p1, p0"));
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[test]
fn policies_of_a_namespace_that_are_too_large_leave_those_of_the_cluster_as_they_are() {
    let ports: Vec<_> = (1..2_000).map(|n| format!("{{protocol: TCP, port: {}}}", n * 2)).collect();
    let ranges: Vec<_> =
        (0..200).map(|n| format!("{{to: [{{cidr: 10.0.0.{n}/32}}], ports: [{{protocol: UDP}}]}}")).collect();
    let large =
        format!("{{to: [{{cidr: 10.0.0.0/8}}], ports: [{}]}}, {}", ports.join(", "), ranges.join(", "));
    let tenant = format!(
        "mode: Enforce, scope: internet, allow: [{large}, {{to: [{{fqdn: a.test}}]}}], \
         deny: [{{name: own, to: [{{cidr: 192.0.3.0/24}}]}}]"
    );
    let company = "cluster: mode: Enforce, scope: internet, deny: [{name: d, to: [{cidr: 192.0.2.0/24}]}], \
                   allow: [{name: c, to: [{fqdn: '*.example'}]}]";
    let told = |ruleset: &Ruleset, tried: &str| {
        let attempt = attempt(tried);
        let address = attempt.address.expect("an address");
        cases::told(&ruleset.look_up(&attempt.names, address, attempt.protocol, attempt.port).applied)
    };
    let policies = policies(&[company, &tenant]);
    let all: Vec<_> = policies.iter().collect();
    assert!(compile(&all, &Ranges::default(), &Modules::new()).is_err());
    let bounds = compile_bounds(&all, &Ranges::default(), &Modules::new());
    for (tried, expected) in [
        ("a.test@192.0.2.1|TCP|443", "deny rule d"),
        ("a.test@192.0.3.1|TCP|443", "deny rule own"),
        ("a.test@198.51.100.1|TCP|443", "deny default-deny"),
        ("b.example@198.51.100.1|TCP|443", "allow rule c"),
    ] {
        assert_eq!(told(&bounds, tried), expected, "{tried}");
    }
    // Where those of the cluster are too large themselves, nothing is allowed.
    let company =
        format!("cluster: mode: Enforce, scope: internet, allow: [{large}, {{to: [{{fqdn: a.test}}]}}]");
    let policies = super::policies(&[&company]);
    let closed = compile_bounds(&policies.iter().collect::<Vec<_>>(), &Ranges::default(), &Modules::new());
    assert_eq!(told(&closed, "a.test@198.51.100.1|TCP|443"), "deny default-deny");
}
