//! ClusterNetworkPolicy: its tiers, and what of it cannot be read.

use super::policies;
use super::upstream::{accepted, said};

const HEAD: &str = "subject: {namespaces: {}}";

fn policy(name: &str, tier: &str, priority: u16, egress: &str) -> String {
    format!("ClusterNetworkPolicy {name}: {{tier: {tier}, priority: {priority}, {HEAD}, egress: [{egress}]}}")
}

#[test]
fn tiers_are_asked_in_their_order_and_the_first_match_decides() {
    let to = |action: &str, range: &str| format!("{{action: {action}, to: [{{networks: [{range}]}}]}}");
    let np = |range: &str| {
        format!("NP web: {{podSelector: {{}}, egress: [{{to: [{{ipBlock: {{cidr: {range}}}}}]}}]}}")
    };
    let (net, all) = ("192.0.2.0/24", "0.0.0.0/0");
    for (objects, expected) in [
        (
            vec![policy("a", "Admin", 1, &to("Deny", net)), np(all)],
            "deny by ClusterNetworkPolicy a egress[0]",
        ),
        (
            vec![policy("a", "Admin", 1, &to("Accept", net)), np("10.0.0.0/8")],
            "allow by ClusterNetworkPolicy a egress[0]",
        ),
        (
            vec![
                policy("a", "Admin", 1, &to("Pass", net)),
                policy("b", "Admin", 2, &to("Deny", net)),
                np(all),
            ],
            "allow by NetworkPolicy shop/web egress[0]",
        ),
        (
            vec![policy("a", "Admin", 2, &to("Deny", net)), policy("b", "Admin", 1, &to("Accept", net))],
            "allow by ClusterNetworkPolicy b egress[0]",
        ),
        // Of equal ones the first by name.
        (
            vec![policy("b", "Admin", 1, &to("Deny", net)), policy("a", "Admin", 1, &to("Accept", net))],
            "allow by ClusterNetworkPolicy a egress[0]",
        ),
        (
            vec![policy("a", "Admin", 1, &format!("{}, {}", to("Accept", "192.0.2.1/32"), to("Deny", all)))],
            "allow by ClusterNetworkPolicy a egress[0]",
        ),
        (
            vec![policy("a", "Admin", 1, &format!("{}, {}", to("Accept", "192.0.2.9/32"), to("Deny", all)))],
            "deny by ClusterNetworkPolicy a egress[1]",
        ),
        (vec![policy("a", "Baseline", 1, &to("Deny", all))], "deny by ClusterNetworkPolicy a egress[0]"),
        (
            vec![policy("a", "Baseline", 1, &to("Deny", all)), np(net)],
            "allow by NetworkPolicy shop/web egress[0]",
        ),
        (
            vec![policy("a", "Baseline", 1, &to("Accept", all)), np("10.0.0.0/8")],
            "deny by NetworkPolicy shop/web egress",
        ),
        (vec![policy("a", "Admin", 1, &to("Deny", "198.51.100.0/24"))], "allow not-enforced"),
        (vec![policy("a", "Baseline", 1, &to("Pass", all))], "allow not-enforced"),
    ] {
        let objects: Vec<_> = objects.iter().map(String::as_str).collect();
        let accepted = accepted(&objects);
        let all: Vec<_> = accepted.policies().collect();
        assert_eq!(said(&all, "@192.0.2.1|TCP|80"), expected, "{objects:?}");
    }
}

#[test]
fn peers_and_protocols_are_what_they_are_upstream() {
    let deny = |to: &str, rest: &str| {
        policy("a", "Admin", 1, &format!("{{name: a rule, action: Deny, to: [{to}]{rest}}}"))
    };
    let by = "deny by ClusterNetworkPolicy a a rule";
    let open = "allow not-enforced";
    let db =
        "{pods: {namespaceSelector: {matchLabels: {tier: back}}, podSelector: {matchLabels: {app: db}}}}";
    for (object, tried, expected) in [
        (deny("{namespaces: {matchLabels: {tier: back}}}", ""), "10.244.0.5|TCP|1", by),
        (deny("{namespaces: {matchLabels: {tier: back}}}", ""), "10.244.1.1|TCP|1", open),
        (deny(db, ""), "10.244.0.6|UDP|1", by),
        (deny(db, ", protocols: [{tcp: {destinationPort: {number: 80}}}]"), "10.244.0.6|TCP|80", by),
        (deny(db, ", protocols: [{tcp: {destinationPort: {number: 80}}}]"), "10.244.0.6|UDP|80", open),
        (
            deny(db, ", protocols: [{udp: {destinationPort: {range: {start: 1, end: 9}}}}]"),
            "10.244.0.6|UDP|9",
            by,
        ),
        (deny(db, ", protocols: [{destinationNamedPort: sql}]"), "10.244.0.6|TCP|25432", by),
        (deny(db, ", protocols: [{destinationNamedPort: sql}]"), "10.244.0.5|TCP|25432", open),
        // Some of what is behind the service is denied.
        (deny(db, ""), "10.96.0.5|TCP|5432", by),
        (deny("{nodes: {matchLabels: {role: core}}}", ""), "172.18.0.3|TCP|6443", by),
        (deny("{nodes: {matchLabels: {role: core}}}", ""), "fd18::3|UDP|1", by),
        (deny("{nodes: {matchLabels: {role: core}}}", ""), "172.18.0.2|TCP|6443", open),
        (deny("{nodes: {}}", ""), "172.18.0.2|TCP|6443", by),
        (deny("{networks: [192.0.2.0/24, '2001:db8::/32']}", ""), "2001:db8::1|ICMP|0", by),
    ] {
        let accepted = accepted(&[&object]);
        let all: Vec<_> = accepted.policies().collect();
        assert_eq!(said(&all, &format!("@{tried}")), expected, "{object} {tried}");
    }
}

/// A name that is accepted reaches what is denied after it, and nothing that is denied before.
#[test]
fn names_are_accepted_in_their_turn() {
    let to = |action: &str, to: &str| format!("{{action: {action}, to: [{to}]}}");
    let names = |names: &str| to("Accept", &format!("{{domainNames: [{names}]}}"));
    let (all, net) =
        (to("Deny", "{networks: [0.0.0.0/0, '::/0']}"), to("Deny", "{networks: [192.0.2.0/24]}"));
    let np = "NP web: {podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}".to_owned();
    let admin = |rules: &[&str]| policy("a", "Admin", 1, &rules.join(", "));
    let allowed = "allow by ClusterNetworkPolicy a egress[0]";
    let denied = "deny by ClusterNetworkPolicy a egress[1]";
    for (objects, tried, expected) in [
        (vec![admin(&[&names("a.test"), &all])], "a.test@192.0.2.1", allowed),
        (vec![admin(&[&names("a.test"), &all])], "b.test@192.0.2.1", denied),
        (vec![admin(&[&names("a.test"), &all])], "@192.0.2.1", denied),
        (vec![admin(&[&names("A.test."), &all])], "a.test@2001:db8::1", allowed),
        // One label or more, and not the name itself.
        (vec![admin(&[&names("'*.test'"), &all])], "x.a.test@192.0.2.1", allowed),
        (vec![admin(&[&names("'*.a.test'"), &all])], "a.test@192.0.2.1", denied),
        // Denied before.
        (
            vec![admin(&[&net, &names("a.test")])],
            "a.test@192.0.2.1",
            "deny by ClusterNetworkPolicy a egress[0]",
        ),
        (
            vec![admin(&[&net, &names("a.test"), &all])],
            "a.test@198.51.100.1",
            "allow by ClusterNetworkPolicy a egress[1]",
        ),
        // Passed on before, to a policy that isolates.
        (
            vec![admin(&[&to("Pass", "{networks: [192.0.2.0/24]}"), &names("a.test")]), np.clone()],
            "a.test@192.0.2.1",
            "deny by NetworkPolicy shop/web egress",
        ),
        (vec![admin(&[&names("a.test")]), np.clone()], "a.test@192.0.2.1", allowed),
        (
            vec![policy("a", "Baseline", 1, &names("a.test")), np],
            "a.test@192.0.2.1",
            "deny by NetworkPolicy shop/web egress",
        ),
        (
            vec![policy("a", "Baseline", 1, &[names("a.test"), all.clone()].join(", "))],
            "a.test@192.0.2.1",
            allowed,
        ),
    ] {
        let objects: Vec<_> = objects.iter().map(String::as_str).collect();
        let accepted = accepted(&objects);
        let all: Vec<_> = accepted.policies().collect();
        assert_eq!(said(&all, &format!("{tried}|TCP|443")), expected, "{objects:?}");
    }
}

#[test]
fn a_name_is_reached_that_both_layers_allow() {
    let names = "{action: Accept, to: [{domainNames: [a.test, b.test, c.test]}]}";
    let all = "{action: Deny, to: [{networks: [0.0.0.0/0]}]}";
    let upstream = accepted(&[&policy("a", "Admin", 1, &format!("{names}, {all}"))]);
    for (own, tried, expected) in [
        ("allow: [{to: [{fqdn: a.test}]}]", "a.test", "allow by n/p0 allow[0]"),
        ("allow: [{to: [{fqdn: '*.test'}]}]", "a.test", "allow by n/p0 allow[0]"),
        ("allow: [{to: [{fqdn: '*.test'}]}]", "d.test", "deny by ClusterNetworkPolicy a egress[1]"),
        ("allow: [{to: [{fqdn: a.test}]}]", "b.test", "deny default-deny"),
        ("allow: [{to: [{cidr: 192.0.2.0/24}]}]", "b.test", "allow by n/p0 allow[0]"),
        ("allow: [{to: [{cidr: 192.0.2.0/24}]}]", "d.test", "deny by ClusterNetworkPolicy a egress[1]"),
        ("deny: [{to: [{cidr: 192.0.2.0/24}]}]", "b.test", "deny by n/p0 deny[0]"),
        ("deny: [{to: [{cidr: 198.51.100.0/24}]}]", "b.test", "allow by ClusterNetworkPolicy a egress[0]"),
    ] {
        let own = policies(&[&format!("mode: Enforce, scope: all, {own}")]);
        let all: Vec<_> = upstream.policies().chain(&own).collect();
        assert_eq!(said(&all, &format!("{tried}@192.0.2.1|TCP|80")), expected, "{own:?} {tried}");
    }
}

#[test]
fn what_is_not_understood_fails_closed() {
    let accept = "{action: Accept, to: [{networks: [0.0.0.0/0]}]}";
    let spec =
        |tier: &str, rules: &str| format!("ClusterNetworkPolicy a: {{{tier}, {HEAD}, egress: [{rules}]}}");
    let admin = "tier: Admin, priority: 1";
    let denied = "deny by ClusterNetworkPolicy a egress[0]";
    for (object, expected) in [
        // One that accepts covers nothing, and the next one counts.
        (
            spec(admin, &format!("{{action: Accept, to: [{{later: {{}}}}]}}, {accept}")),
            "allow by ClusterNetworkPolicy a egress[1]",
        ),
        (spec(admin, &format!("{{action: Deny, to: [{{domainNames: [b.test]}}]}}, {accept}")), denied),
        (spec(admin, &format!("{{action: Pass, to: [{{domainNames: [b.test]}}]}}, {accept}")), denied),
        (spec(admin, &format!("{{action: Deny, to: [{{later: {{}}}}]}}, {accept}")), denied),
        (spec(admin, &format!("{{action: Pass, to: [{{nodes: {{}}, pods: {{}}}}]}}, {accept}")), denied),
        (spec(admin, &format!("{{action: Ask, to: [{{networks: [192.0.2.0/24]}}]}}, {accept}")), denied),
        (spec(admin, &format!("{{action: Deny, to: []}}, {accept}")), denied),
        (spec(admin, &format!("{{action: Deny, to: [{{networks: [192.0.2/24]}}]}}, {accept}")), denied),
        (
            spec(
                admin,
                &format!(
                    "{{action: Deny, to: [{{networks: [10.0.0.0/8]}}], protocols: [{{icmp: {{}}}}]}}, {accept}"
                ),
            ),
            denied,
        ),
        (spec("tier: Later, priority: 1", "{action: Deny, to: [{networks: [0.0.0.0/0]}]}"), denied),
        // A name that verdicts cannot tell is none.
        (spec(admin, "{name: module/x, action: Deny, to: [{networks: [0.0.0.0/0]}]}"), denied),
    ] {
        let accepted = accepted(&[&object]);
        let all: Vec<_> = accepted.policies().collect();
        assert_eq!(said(&all, "a.test@192.0.2.1|TCP|80"), expected, "{object}");
    }
    let none = accepted(&[
        "ClusterNetworkPolicy a: {tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: []}",
    ]);
    assert_eq!(none.policies().count(), 0, "nothing of egress");
}
