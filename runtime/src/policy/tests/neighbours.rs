//! What destinations in the cluster come to, case by case; and that nothing counts before it is known.

use std::net::IpAddr;

use super::super::{
    Accepted, Good, Neighbours, PodAddresses, Ranges, Selected, bounds, compile, compile_bounds, evaluate,
    explain, of_files, refresh,
};
use super::a_cluster::{Cluster, key};
use super::{attempt, cases::told};
use crate::model::{Action, Kind, Labels, Modules, Policy, Protocol, Rule, Spot};

fn accepted(kind: &str, namespace: &str, selector: &str, spec: &str) -> Accepted {
    let text = format!(
        "apiVersion: egret.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: p{namespace}}}\nspec: {{podSelector: {{}}, \
         {selector}mode: Enforce, scope: all, {spec}}}\n"
    );
    let file = format!("{kind}.yaml").into();
    let read = Good::parse(&file, text.into());
    let (accepted, problems) = refresh(&Accepted::default(), vec![(file, read)]);
    assert!(problems.is_empty(), "{problems:?}");
    accepted
}

/// A policy of namespace shop.
fn of_shop(spec: &str) -> Accepted {
    accepted("EgressPolicy", ", namespace: shop", "", spec)
}

fn of_cluster(spec: &str) -> Accepted {
    accepted("ClusterEgressPolicy", "", "namespaceSelector: {}, ", spec)
}

/// `10.0.0.1 10.0.0.2 TCP 80; ...`.
fn spots(rule: &Rule) -> String {
    let spot = |spot: &Spot| {
        let addresses: Vec<_> = spot.addresses.iter().map(IpAddr::to_string).collect();
        let port = |range: &crate::model::PortRange| match &range.ports {
            Some(ports) => format!(" {} {}", range.protocol, ports.start()),
            None => format!(" {}", range.protocol),
        };
        addresses.join(" ") + &spot.ports.iter().map(port).collect::<String>()
    };
    let all: Vec<_> = rule.found.as_ref().expect("it is known").spots.iter().map(spot).collect();
    all.join("; ")
}

fn notes(rule: &Rule) -> String {
    rule.found.as_ref().expect("it is known").notes.join("; ")
}

#[test]
fn services_and_pods_come_to_addresses_and_the_ports_that_are_meant_there() {
    const TCP_5432: &str = "ports: [{protocol: TCP, port: 5432}]";
    for (to, ports, expected, noted) in [
        // A service: its own addresses on the port dialled, what is behind it on the port that answers.
        (
            "service: {name: db, namespace: data}",
            TCP_5432,
            "10.96.0.5 fd00:96::5 TCP 5432; 10.244.0.5 10.244.0.6 fd00:244::5 TCP 15432; 10.244.0.7 TCP 25432",
            "",
        ),
        // Without ports: all that it has, and nothing else of these addresses.
        (
            "service: {name: db, namespace: data}",
            "",
            "10.96.0.5 fd00:96::5 TCP 5432; 10.96.0.5 10.244.0.5 10.244.0.6 fd00:96::5 fd00:244::5 TCP 9187; \
             10.244.0.5 10.244.0.6 fd00:244::5 TCP 15432; 10.244.0.7 TCP 25432",
            "",
        ),
        (
            "service: {name: db, namespace: data}",
            "ports: [{protocol: TCP, port: 9000, endPort: 9999}]",
            "10.96.0.5 10.244.0.5 10.244.0.6 fd00:96::5 fd00:244::5 TCP 9187",
            "",
        ),
        (
            "service: {name: db, namespace: data}",
            "ports: [{protocol: UDP, port: 5432}]",
            "",
            "service data/db has other ports: TCP 5432, TCP 9187",
        ),
        (
            "service: {name: db, namespace: data}",
            "ports: [{protocol: ICMP}]",
            "",
            "service data/db has other ports: TCP 5432, TCP 9187",
        ),
        // Of its own namespace where none is written.
        ("service: {name: db}", TCP_5432, "10.96.0.7 10.244.1.1 TCP 5432", ""),
        (
            "service: {name: headless, namespace: data}",
            "ports: [{protocol: TCP, port: 80}]",
            "10.244.0.8 TCP 8080",
            "",
        ),
        (
            "service: {name: dns, namespace: data}",
            "ports: [{protocol: UDP}]",
            "10.96.0.10 10.244.0.9 UDP 53",
            "Kubernetes does not tell all that is behind service data/dns",
        ),
        (
            "service: {name: idle, namespace: data}",
            "",
            "10.96.0.6 TCP 80",
            "nothing behind service data/idle is ready",
        ),
        ("service: {name: web}", "", "", "service shop/web is not there"),
        ("service: {name: none, namespace: data}", "", "", "service data/none has no ports"),
        (
            "service: {name: outside, namespace: data}",
            "",
            "",
            "service data/outside stands for the name db.example.com: write `fqdn: db.example.com`",
        ),
        // Pods: the ports are those of the rule.
        ("pods: {podSelector: {matchLabels: {app: db}}}", TCP_5432, "10.244.1.1 TCP 5432", ""),
        ("pods: {podSelector: {}}", "", "10.244.1.1 10.244.1.2", ""),
        (
            "pods: {podSelector: {matchLabels: {app: db}}, namespaceSelector: {matchLabels: {tier: back}}}",
            "ports: [{protocol: ICMP}]",
            "10.244.0.5 10.244.0.6 10.244.2.1 fd00:244::5 ICMP",
            "",
        ),
        (
            "pods: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: data}}}",
            "",
            "10.244.0.5 10.244.0.6 fd00:244::5",
            "",
        ),
        (
            "pods: {podSelector: {matchLabels: {app: gone}}}",
            "",
            "",
            "there are no pods `app=gone` of namespace shop",
        ),
        (
            "pods: {namespaceSelector: {matchLabels: {tier: none}}}",
            "",
            "",
            "there are no pods of namespaces `tier=none`",
        ),
    ] {
        let rest = if ports.is_empty() { String::new() } else { format!(", {ports}") };
        let cluster = Cluster::new();
        for side in ["allow", "deny"] {
            let mut policies = of_shop(&format!("{side}: [{{to: [{{{to}}}]{rest}}}]"));
            policies.look_up(cluster.all(), &mut Selected::default());
            let rule = policies.policies().flat_map(Policy::rules).next().expect("a rule");
            assert_eq!((spots(rule).as_str(), notes(rule).as_str()), (expected, noted), "{to} {ports}");
        }
    }
}

/// A policy of shop, a policy of the cluster or none, an attempt, and the verdict.
#[test]
fn rules_that_name_services_and_pods_say_the_same_compiled_and_plain() {
    let db = "allow: [{name: db, to: [{service: {name: db, namespace: data}}], ports: [{protocol: TCP, port: 5432}]}]";
    let pods = "allow: [{name: db, to: [{pods: {namespaceSelector: {matchLabels: {tier: back}}}}]}]";
    let wide = "allow: [{name: wide, to: [{cidr: 10.0.0.0/8}]}]";
    let ceiling_db = "ceiling: [{to: [{service: {name: db, namespace: data}}]}]";
    let ceiling_pods =
        "ceiling: [{to: [{pods: {podSelector: {matchLabels: {app: db}}, namespaceSelector: {}}}]}]";
    let mut cases = vec![
        (db, "", "@10.96.0.5|TCP|5432", "allow rule db"),
        (db, "", "@10.244.0.5|TCP|15432", "allow rule db"),
        (db, "", "@10.244.0.7|TCP|25432", "allow rule db"),
        (db, "", "@10.244.0.5|TCP|5432", "deny default-deny"),
        (db, "", "@10.96.0.5|TCP|9187", "deny default-deny"),
        (db, "", "@10.96.0.5|UDP|5432", "deny default-deny"),
        (db, "", "@10.244.0.8|TCP|15432", "deny default-deny"),
        (pods, "", "@10.244.2.1|UDP|9", "allow rule db"),
        (pods, "", "@10.244.1.1|UDP|9", "deny default-deny"),
    ];
    cases.extend([
        (
            wide,
            "deny: [{name: no, to: [{service: {name: db, namespace: data}}]}]",
            "@10.244.0.5|TCP|15432",
            "deny rule no",
        ),
        (
            wide,
            "deny: [{name: no, to: [{service: {name: db, namespace: data}}]}]",
            "@10.244.0.5|TCP|22",
            "allow rule wide",
        ),
        (wide, ceiling_db, "@10.96.0.5|TCP|5432", "allow rule wide"),
        (wide, ceiling_db, "@10.96.0.5|TCP|22", "deny default-deny"),
        (wide, ceiling_db, "@10.244.0.7|TCP|25432", "allow rule wide"),
        (db, ceiling_pods, "@10.244.0.5|TCP|15432", "allow rule db"),
        (db, ceiling_pods, "@10.244.0.7|TCP|25432", "deny default-deny"),
        (db, ceiling_pods, "@10.96.0.5|TCP|5432", "deny default-deny"),
        (pods, ceiling_pods, "@10.244.2.1|TCP|1", "allow rule db"),
        (pods, ceiling_db, "@10.244.2.1|TCP|1", "deny default-deny"),
        ("allow: [{name: a, to: [{fqdn: a.test}]}]", ceiling_pods, "a.test@10.244.0.5|TCP|1", "allow rule a"),
        (
            "allow: [{name: a, to: [{fqdn: a.test}]}]",
            ceiling_pods,
            "a.test@10.96.0.5|TCP|1",
            "deny default-deny",
        ),
        (db, "ceiling: [{to: [{fqdn: a.test}]}]", "a.test@10.96.0.5|TCP|5432", "allow rule db"),
        (db, "ceiling: [{to: [{fqdn: a.test}]}]", "@10.96.0.5|TCP|5432", "deny default-deny"),
    ]);
    let cluster = Cluster::new();
    for (own, above, tried, expected) in cases {
        let mut all = vec![of_shop(own)];
        all.extend((!above.is_empty()).then(|| of_cluster(above)));
        all.iter_mut().for_each(|accepted| drop(accepted.look_up(cluster.all(), &mut Selected::default())));
        let policies: Vec<&Policy> = all.iter().flat_map(Accepted::policies).collect();
        let attempt = attempt(tried);
        let plain = evaluate(&policies, &attempt, Kind::Cluster);
        assert_eq!(told(&plain.applied), expected, "{own} {above} {tried}");
        let ruleset = compile(&policies, &Ranges::default(), &Modules::new()).expect("small");
        let address = attempt.address.expect("an address");
        assert_eq!(
            ruleset.look_up(&attempt.names, address, attempt.protocol, attempt.port),
            plain,
            "{tried}"
        );
    }
}

#[test]
fn only_policies_that_lead_elsewhere_are_told_of() {
    let mut cluster = Cluster::new();
    let mut policies = of_shop("allow: [{to: [{service: {name: db, namespace: data}}]}]");
    assert!(policies.wanted().services && !policies.wanted().pods);
    assert_eq!(policies.look_up(cluster.all(), &mut Selected::default()).len(), 1);
    assert_eq!(policies.look_up(cluster.all(), &mut Selected::default()).len(), 0, "nothing is new");
    cluster.pods.clear();
    cluster.endpoints.remove(&key("shop/db"));
    assert_eq!(policies.look_up(cluster.all(), &mut Selected::default()).len(), 0, "it is about others");
    cluster.endpoints.remove(&key("data/db"));
    assert_eq!(policies.look_up(cluster.all(), &mut Selected::default()).len(), 1);
    let plain = of_shop("allow: [{to: [{cidr: 10.0.0.0/8}]}]").wanted();
    assert!(!plain.services && !plain.pods, "{plain:?}");
}

#[test]
fn what_is_not_known_allows_nothing_and_what_it_may_deny_closes() {
    let cluster = Cluster::new();
    let unknown = Neighbours { endpoints: None, pods: None, ..cluster.all() };
    for (spec, is_closed) in [
        ("allow: [{to: [{service: {name: db, namespace: data}}]}, {to: [{cidr: 192.0.2.0/24}]}]", false),
        ("deny: [{to: [{pods: {podSelector: {}}}]}]", true),
    ] {
        let mut policies = of_shop(spec);
        policies.look_up(unknown, &mut Selected::default());
        let all: Vec<&Policy> = policies.policies().collect();
        assert!(all[0].rules().next().is_some_and(Rule::is_awaiting), "{spec}");
        let strict = compile_bounds(&all, &Ranges::default(), &Modules::new());
        let verdict = |address: [u8; 4]| strict.look_up(&[], address.into(), Protocol::TCP, 443).applied;
        assert_eq!(verdict([10, 96, 0, 5]).action, Action::Deny, "{spec}");
        assert_eq!(verdict([192, 0, 2, 1]).action, Action::Deny, "{spec}");
        assert!(strict.dest.is_empty() && strict.applied_default.internet, "{spec}");
        assert_eq!(bounds(&all)[0].deny.is_empty(), !is_closed);
        let told = explain(&all, &attempt("@10.96.0.5|TCP|5432"), Kind::Cluster);
        let is_told = told.steps.iter().any(|step| step.text.contains("is not known yet"));
        assert!(is_told, "{:?}", told.steps);
    }
}

#[test]
fn an_explanation_names_the_service_and_what_is_wrong_with_it() {
    let cluster = Cluster::new();
    for (to, tried, expected) in [
        (
            "service: {name: db, namespace: data}",
            "@10.96.0.5|TCP|5432",
            "rule shop/p a allows service data/db on all of its ports",
        ),
        (
            "service: {name: db, namespace: data}",
            "@10.244.0.7|TCP|5432",
            "rule shop/p a allows service data/db on all of its ports, not on TCP 5432 (at this address it means TCP 25432)",
        ),
        (
            "service: {name: web}",
            "@10.96.0.5|TCP|5432",
            "rule shop/p a allows service shop/web on all of its ports, but service shop/web is not there",
        ),
        (
            "pods: {podSelector: {matchLabels: {app: db}}, namespaceSelector: {}}",
            "@10.244.2.1|TCP|22",
            "rule shop/p a allows pods `app=db` of all namespaces on every protocol and port",
        ),
    ] {
        let mut policies = of_shop(&format!("allow: [{{name: a, to: [{{{to}}}]}}]"));
        policies.look_up(cluster.all(), &mut Selected::default());
        let all: Vec<&Policy> = policies.policies().collect();
        let told = explain(&all, &attempt(tried), Kind::Cluster);
        let texts: Vec<_> = told.steps.iter().map(|step| step.text.as_str()).collect();
        assert!(texts.contains(&expected), "{texts:?}");
    }
}

#[test]
fn an_agent_that_knows_files_only_refuses_them_and_says_what_to_write() {
    let file = |to: &str| {
        let text = format!(
            "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {{name: p, namespace: shop}}\nspec:\n  podSelector: {{}}\n  \
             mode: Enforce\n  scope: all\n  allow:\n  - to: [{{{to}}}]\n"
        );
        let file = "p.yaml".into();
        let read = Good::parse(&file, text.into());
        of_files((file, read)).1
    };
    assert!(file("fqdn: a.test").is_ok());
    for to in ["service: {name: db}", "pods: {podSelector: {}}"] {
        let problems = file(to).expect_err(to);
        assert_eq!(problems[0].line, 9);
        assert!(problems[0].fix.contains("--kubernetes"), "{problems:?}");
    }
}

#[test]
fn more_addresses_than_are_compiled_are_too_large() {
    let mut cluster = Cluster::new();
    let pod = |number: u32| {
        (
            key(&format!("shop/p{number}")),
            PodAddresses {
                labels: Labels::new(),
                addresses: vec![IpAddr::from((10 << 24 | number).to_be_bytes())],
                ports: Vec::new(),
            },
        )
    };
    cluster.pods = (0..=1 << 16).map(pod).collect();
    let mut policies = of_shop("allow: [{to: [{pods: {podSelector: {}}}]}]");
    let compiled = |policies: &Accepted| {
        compile(&policies.policies().collect::<Vec<_>>(), &Ranges::default(), &Modules::new())
    };
    policies.look_up(cluster.all(), &mut Selected::default());
    let refused = compiled(&policies).expect_err("one too many").to_string();
    assert!(refused.contains("65536 addresses of services and pods"), "{refused}");
    cluster.pods.pop_last();
    policies.look_up(cluster.all(), &mut Selected::default());
    assert_eq!(compiled(&policies).expect("it fits").dest.len(), 1 << 16);
}
