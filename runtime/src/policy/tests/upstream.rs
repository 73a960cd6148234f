//! Policies of Kubernetes: how they are read, what they say together and beside Egret's, and what services lead to.

use std::sync::Arc;

use serde_json::{Value, json};

use super::a_cluster::Cluster;
use super::{attempt, policies};
use crate::model::{Kind, ModuleAnswer, Modules, Policy};
use crate::policy::{
    Accepted, Good, Ranges, Selected, bounds, compile, compile_bounds, consult, evaluate, explain, refresh,
};

/// The object of `kind` whose spec is this YAML, in namespace shop.
fn object(kind: &str, name: &str, spec: &str) -> (Arc<str>, Result<Good, Vec<crate::policy::Problem>>) {
    let spec: Value = serde_saphyr::from_str(spec).unwrap_or_else(|error| panic!("{error}: {spec}"));
    let text =
        json!({"kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": spec}).to_string();
    let file: Arc<str> = format!("{kind}/{name}").into();
    let read = Good::parse_upstream(&file, &text.as_str().into());
    (file, read)
}

/// These objects, `KIND NAME: spec` each, with what they name in the cluster of the tests.
pub(super) fn accepted(objects: &[&str]) -> Accepted {
    let outcomes = objects.iter().map(|text| {
        let (head, spec) = text.split_once(": ").expect("KIND NAME: spec");
        let (kind, name) = head.split_once(' ').expect("KIND NAME");
        object(if kind == "NP" { "NetworkPolicy" } else { kind }, name, spec)
    });
    let (mut accepted, _) = refresh(&Accepted::default(), outcomes.collect());
    accepted.look_up(Cluster::new().all(), &mut Selected::default());
    accepted
}

fn ranges() -> Ranges {
    let net = |text: &str| text.parse().expect("a range");
    Ranges { cluster: vec![net("10.0.0.0/8")], node: vec![net("10.9.9.1/32"), net("fe80::/10")] }
}

/// What both readers of `all` say of an attempt: `allow`, `deny`, and by which policy and rule.
pub(super) fn said(all: &[&Policy], tried: &str) -> String {
    let attempt = attempt(tried);
    let address = attempt.address.expect("an address");
    let plain = evaluate(all, &attempt, ranges().kind_of(address));
    let ruleset = compile(all, &ranges(), &Modules::new()).expect("a small ruleset");
    let fast = ruleset.look_up(&attempt.names, address, attempt.protocol, attempt.port);
    assert_eq!(fast, plain, "{tried}");
    let verdict = plain.applied;
    match (verdict.policy, verdict.rule) {
        (Some(policy), Some(rule)) => format!("{} by {policy} {rule}", verdict.action),
        _ => format!("{} {}", verdict.action, verdict.reason),
    }
}

const DENY_ALL: &str = "NP none: {podSelector: {}, policyTypes: [Egress]}";

#[test]
fn a_network_policy_allows_what_its_rules_say_and_nothing_else() {
    let out = |rule: &str| format!("NP web: {{podSelector: {{}}, egress: [{rule}]}}");
    let by = "allow by NetworkPolicy shop/web egress[0]";
    let none = "deny by NetworkPolicy shop/web egress";
    for (rule, cases) in [
        ("{}", &[("@192.0.2.1|TCP|80", by), ("@2001:db8::1|UDP|53", by), ("@192.0.2.1|ICMP|0", by)][..]),
        ("{ports: [{port: 80}]}", &[("@192.0.2.1|TCP|80", by), ("@192.0.2.1|UDP|80", none)]),
        (
            "{ports: [{protocol: UDP, port: 1000, endPort: 1010}, {protocol: TCP}]}",
            &[("@192.0.2.1|UDP|1010", by), ("@192.0.2.1|UDP|1011", none), ("@192.0.2.1|TCP|9", by)],
        ),
        (
            "{to: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.128/25]}}]}",
            &[("@192.0.2.1|TCP|80", by), ("@192.0.2.200|TCP|80", none), ("@192.0.3.1|TCP|80", none)],
        ),
        // Pods of its own namespace, of others, and their ports by name.
        (
            "{to: [{podSelector: {matchLabels: {app: web}}}]}",
            &[("@10.244.1.2|TCP|80", by), ("@10.244.1.1|TCP|80", none)],
        ),
        (
            "{to: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [db]}]}, \
             namespaceSelector: {matchLabels: {tier: back}}}]}",
            &[("@10.244.0.5|TCP|80", by), ("@10.244.1.1|TCP|80", none), ("@fd00:244::5|UDP|80", by)],
        ),
        (
            "{to: [{namespaceSelector: {}}], ports: [{port: sql}]}",
            &[("@10.244.0.5|TCP|15432", by), ("@10.244.0.6|TCP|25432", by), ("@10.244.0.5|TCP|25432", none)],
        ),
        ("{ports: [{port: sql}]}", &[("@10.244.0.5|TCP|15432", by), ("@192.0.2.1|TCP|15432", none)]),
        ("{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: sql}]}", &[("@10.244.0.5|TCP|15432", none)]),
        // The node is always reached; whose a link-local address is is not known.
        ("{ports: [{port: 80}]}", &[("@10.9.9.1|TCP|22", "allow not-enforced"), ("@fe80::1|TCP|22", none)]),
    ] {
        let accepted = accepted(&[&out(rule)]);
        let all: Vec<_> = accepted.policies().collect();
        for (tried, expected) in cases {
            assert_eq!(said(&all, tried), *expected, "{rule} {tried}");
        }
    }
}

#[test]
fn several_network_policies_allow_what_any_does_and_one_of_ingress_says_nothing() {
    let accepted = accepted(&[
        DENY_ALL,
        "NP web: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]}",
        "NP in: {podSelector: {}, policyTypes: [Ingress], egress: [{}]}",
        "NP defaulted: {podSelector: {}, ingress: []}",
    ]);
    let all: Vec<_> = accepted.policies().collect();
    assert_eq!(all.len(), 2);
    assert_eq!(said(&all, "@192.0.2.1|TCP|80"), "allow by NetworkPolicy shop/web egress[0]");
    assert_eq!(said(&all, "@192.0.3.1|TCP|80"), "deny by NetworkPolicy shop/none egress");
    let told = explain(&all, &attempt("@192.0.3.1|TCP|80"), Kind::Internet);
    let texts: Vec<_> = told.steps.iter().map(|step| step.text.as_str()).collect();
    let expected = "no rule of NetworkPolicy shop/none, NetworkPolicy shop/web allows it";
    assert!(texts.iter().any(|text| text.starts_with(expected)), "{texts:?}");
}

#[test]
fn both_layers_must_allow_and_neither_widens_the_other() {
    let upstream =
        accepted(&["NP web: {podSelector: {}, egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]}"]);
    let upstream: Vec<_> = upstream.policies().collect();
    for (own, tried, expected) in [
        (
            "mode: Enforce, scope: all, allow: [{to: [{cidr: 192.0.2.0/28}]}]",
            "192.0.2.1",
            "allow by n/p0 allow[0]",
        ),
        (
            "mode: Enforce, scope: all, allow: [{to: [{cidr: 192.0.2.0/28}]}]",
            "192.0.2.99",
            "deny default-deny",
        ),
        (
            "mode: Enforce, scope: all, allow: [{to: [{cidr: 192.0.0.0/16}]}]",
            "192.0.3.1",
            "deny by NetworkPolicy shop/web egress",
        ),
        (
            "mode: Enforce, scope: all, deny: [{to: [{cidr: 192.0.2.1/32}]}]",
            "192.0.2.1",
            "deny by n/p0 deny[0]",
        ),
        (
            "mode: Enforce, scope: all, deny: [{to: [{cidr: 192.0.2.1/32}]}]",
            "192.0.2.2",
            "allow by NetworkPolicy shop/web egress[0]",
        ),
        (
            "mode: Observe, scope: all, default: Deny",
            "192.0.2.1",
            "allow by NetworkPolicy shop/web egress[0]",
        ),
        (
            "mode: Enforce, scope: all, allow: [{to: [{fqdn: a.test}]}]",
            "192.0.3.1",
            "deny by NetworkPolicy shop/web egress",
        ),
        ("mode: Enforce, scope: all, allow: [{to: [{fqdn: a.test}]}]", "192.0.2.1", "allow by n/p0 allow[0]"),
    ] {
        let own = policies(&[own]);
        let all: Vec<_> = upstream.iter().copied().chain(&own).collect();
        assert_eq!(said(&all, &format!("a.test@{tried}|TCP|80")), expected, "{own:?} {tried}");
    }
}

#[test]
fn a_module_allows_nothing_that_a_network_policy_does_not() {
    let upstream =
        accepted(&["NP web: {podSelector: {}, egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]}"]);
    let own = policies(&["mode: Enforce, scope: all, default: Deny, modules: [{name: m, stage: unmatched}]"]);
    let all: Vec<_> = upstream.policies().chain(&own).collect();
    let modules = compile(&all, &ranges(), &Modules::new()).expect("small").modules;
    for (address, expected) in [("192.0.2.1", "allow module"), ("192.0.3.1", "deny rule")] {
        let attempt = attempt(&format!("@{address}|TCP|80"));
        let verdict = consult(&all, &modules, &attempt, Kind::Internet, &mut |_| ModuleAnswer::Allow).applied;
        assert_eq!(format!("{} {}", verdict.action, verdict.reason), expected, "{address}");
    }
    // Where only a module speaks, what the layer accepts must not silence it.
    let own = policies(&["mode: Enforce, scope: all, default: Deny, modules: [{name: m, stage: unmatched}]"]);
    let open: Vec<_> = own.iter().cloned().map(|policy| Policy { default_deny: false, ..policy }).collect();
    let all: Vec<_> = upstream.policies().chain(&open).collect();
    let attempt = attempt("@192.0.2.1|TCP|80");
    let verdict = consult(&all, &modules, &attempt, Kind::Internet, &mut |_| ModuleAnswer::Deny).applied;
    assert_eq!(format!("{} {}", verdict.action, verdict.reason), "deny module");
}

#[test]
fn the_address_of_a_service_counts_as_what_is_behind_it() {
    let to = |rule: &str| format!("NP web: {{podSelector: {{}}, egress: [{{to: [{rule}]}}]}}");
    let (by, none) = ("allow by NetworkPolicy shop/web egress[0]", "deny by NetworkPolicy shop/web egress");
    let back = |labels: &str| {
        format!("{{podSelector: {{{labels}}}, namespaceSelector: {{matchLabels: {{tier: back}}}}}}")
    };
    for (peer, tried, expected) in [
        // 10.244.0.7 is behind it too, and no pod.
        (back("matchLabels: {app: db}"), "10.96.0.5|TCP|5432", none),
        (back("matchLabels: {app: db}"), "10.96.0.5|TCP|9187", by),
        (back("matchLabels: {app: db}"), "fd00:96::5|TCP|9187", by),
        (back("matchLabels: {app: db}"), "10.96.0.5|TCP|80", none),
        (back("matchLabels: {app: db}") + ", {ipBlock: {cidr: 10.244.0.7/32}}", "10.96.0.5|TCP|5432", by),
        (back("matchLabels: {app: web}"), "10.96.0.5|TCP|9187", none),
        ("{ipBlock: {cidr: 10.96.0.0/16}}".to_owned(), "10.96.0.5|TCP|5432", by),
    ] {
        let accepted = accepted(&[&to(&peer)]);
        let all: Vec<_> = accepted.policies().collect();
        assert_eq!(said(&all, &format!("@{tried}")), expected, "{peer} {tried}");
    }
}

#[test]
fn until_pods_are_known_nothing_is_allowed_by_accident() {
    let spec =
        "{podSelector: {}, egress: [{to: [{podSelector: {}}]}, {to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]}";
    let (accepted, _) = refresh(&Accepted::default(), vec![object("NetworkPolicy", "web", spec)]);
    let all: Vec<_> = accepted.policies().collect();
    assert!(all[0].rules().any(crate::model::Rule::is_awaiting));
    assert!(accepted.wanted().pods && accepted.wanted().services && !accepted.wanted().pod_ports);
    let strict = bounds(&all);
    let strict: Vec<_> = strict.iter().collect();
    assert_eq!(said(&strict, "@192.0.2.1|TCP|80"), "deny by NetworkPolicy shop/web egress");
    let closed = compile_bounds(&all, &ranges(), &Modules::new());
    let verdict = closed.look_up(&[], [192, 0, 2, 1].into(), crate::model::Protocol::TCP, 80).applied;
    assert_eq!(verdict.action.to_string(), "deny");
}

/// What cannot be read, where it is told, and what is denied by it all the same.
#[test]
fn what_cannot_be_read_allows_nothing_and_what_was_in_force_stays() {
    let good = "{podSelector: {matchLabels: {app: web}}, egress: [{}]}";
    for (spec, path, selects_others) in [
        (
            "{podSelector: {matchLabels: {app: web}}, egress: [{to: [{ipBlock: {cidr: 10.0.0/8}}]}]}",
            "spec.egress[0].to[0].ipBlock.cidr",
            false,
        ),
        (
            "{podSelector: {matchLabels: {app: web}}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [x]}}]}]}",
            "spec.egress[0].to[0].ipBlock.except[0]",
            false,
        ),
        ("{podSelector: {matchLabels: {app: web}}, egress: [{to: [{}]}]}", "spec.egress[0].to[0]", false),
        (
            "{podSelector: {matchLabels: {app: web}}, egress: [{to: [{asked: {}}]}]}",
            "spec.egress[0].to[0]",
            false,
        ),
        (
            "{podSelector: {matchLabels: {app: web}}, egress: [{ports: [{protocol: X, port: 1}]}]}",
            "spec.egress[0].ports[0].protocol",
            false,
        ),
        (
            "{podSelector: {matchLabels: {app: web}}, egress: [{ports: [{port: 80, endPort: 70}]}]}",
            "spec.egress[0].ports[0].endPort",
            false,
        ),
        (
            "{podSelector: {matchLabels: {app: web}}, egress: [{ports: [{port: 70000}]}]}",
            "spec.egress[0].ports[0].port",
            false,
        ),
        ("{podSelector: {matchLabels: {app: web}}, egress: {}}", "spec.egress", false),
        (
            "{podSelector: {matchLabels: {app: web}}, policyTypes: [1], egress: []}",
            "spec.policyTypes[0]",
            false,
        ),
        (
            "{podSelector: {matchExpressions: [{key: a, operator: Near}]}, egress: []  , policyTypes: [Egress]}",
            "spec.podSelector.matchExpressions[0].operator",
            true,
        ),
    ] {
        let bad = || object("NetworkPolicy", "web", spec);
        let (fresh, problems) = refresh(&Accepted::default(), vec![bad()]);
        assert_eq!(
            problems.iter().map(|one| one.path.as_deref()).collect::<Vec<_>>(),
            [Some(path)],
            "{spec}"
        );
        let all: Vec<_> = fresh.policies().collect();
        assert_eq!(said(&all, "@10.0.0.1|TCP|80"), "deny by NetworkPolicy shop/web egress", "{spec}");
        assert_eq!(all[0].pod_selector.is_everything(), selects_others, "{spec}");

        let (before, _) = refresh(&Accepted::default(), vec![object("NetworkPolicy", "web", good)]);
        let (after, problems) = refresh(&before, vec![bad()]);
        assert_eq!((after, problems.len()), (before, 1), "{spec}");
    }
}

#[test]
fn what_is_kept_on_disk_is_read_again_as_it_was() {
    let accepted = accepted(&[DENY_ALL]);
    let again = accepted.texts().map(|(file, text)| (file.clone(), Good::parse_again(file, text.clone())));
    let (again, problems) = refresh(&Accepted::default(), again.collect());
    assert_eq!((again, problems.len()), (accepted, 0));
}
