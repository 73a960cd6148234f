//! For any policies and attempts: the compiled ruleset answers what the plain evaluator answers, and the order of
//! objects does not matter.

use std::sync::Arc;

use ipnet::IpNet;
use proptest::prelude::*;

use super::super::{Ranges, compile, evaluate, explain};
use crate::model::{
    Action, Attempt, Block, Ceiling, Found, Kind, Mode, Modules, Name, OnDeny, Origin, Pattern, Policy,
    PolicyId, PolicyKind, PortRange, Protocol, Rule, Scope, Selector, Spot, Target, Tier, Upstream,
    UpstreamAction, UpstreamRule, Verdict, Verdicts,
};

/// Some imply one another, some meet and do not, some never meet.
const PATTERNS: [&str; 11] = [
    "a.test",
    "b.test",
    "*.test",
    "**.test",
    "x.a.test",
    "*.a.test",
    "x*.a.test",
    "x.*.test",
    "**.a.test",
    "y.*.a.test",
    "*.x.a.test",
];
const NAMES: [&str; 6] = ["a.test", "b.test", "x.a.test", "xy.a.test", "y.x.a.test", "c.example"];
const PROTOCOLS: [Protocol; 4] = [Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol::ICMP];

/// Few addresses and ports, so that rules meet: all of 10.0.0.0/28 and fd00::/124, edges of the port range.
fn address() -> impl Strategy<Value = std::net::IpAddr> {
    (any::<bool>(), 0u8..16).prop_map(|(v6, low)| match v6 {
        false => std::net::Ipv4Addr::new(10, 0, 0, low).into(),
        true => std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, low.into()).into(),
    })
}

fn net() -> impl Strategy<Value = IpNet> {
    (address(), 0u8..=5, any::<bool>()).prop_map(|(address, up, all)| {
        let longest = IpNet::from(address).prefix_len();
        IpNet::new(address, if all && up == 5 { 0 } else { longest - up }).expect("a length").trunc()
    })
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![1u16..20, Just(443), 1020u16..1030, 65530u16..=65535]
}

fn ports() -> impl Strategy<Value = PortRange> {
    (prop::sample::select(&PROTOCOLS[..]), prop::option::of((port(), port()))).prop_map(
        |(protocol, ports)| {
            let ports = ports.filter(|_| protocol.has_ports()).map(|(a, b)| a.min(b)..=a.max(b));
            PortRange { protocol, ports }
        },
    )
}

fn target() -> impl Strategy<Value = Target> {
    let name = prop::sample::select(&PATTERNS[..])
        .prop_map(|text| Target::Fqdn(Pattern::parse(text).expect("a pattern")));
    prop_oneof![name, net().prop_map(Target::Cidr)]
}

/// What services and pods come to, whichever they are.
fn spot() -> impl Strategy<Value = Spot> {
    let addresses = prop::collection::btree_set(address(), 1..4);
    (addresses, prop::collection::vec(ports(), 0..3))
        .prop_map(|(addresses, ports)| Spot { addresses: addresses.into_iter().collect(), ports })
}

fn rules(prefix: &'static str, target: impl Strategy<Value = Target>) -> impl Strategy<Value = Vec<Rule>> {
    let spots = prop::option::weighted(0.4, prop::collection::vec(spot(), 0..3));
    let found = spots.prop_map(|spots| spots.map(|spots| Found { spots, ..Found::default() }));
    let rule = (prop::collection::vec(target, 1..4), prop::collection::vec(ports(), 0..3), found);
    prop::collection::vec(rule, 0..4).prop_map(move |rules| {
        let rule = |(n, (to, ports, found))| Rule {
            name: format!("{prefix}[{n}]"),
            to,
            ports,
            origin: origin(),
            found,
        };
        rules.into_iter().enumerate().map(rule).collect()
    })
}

fn origin() -> Origin {
    Origin { file: Arc::from("test"), line: 1, column: 1 }
}

fn policy() -> impl Strategy<Value = Policy> {
    let deny = rules("deny", net().prop_map(Target::Cidr));
    let modes = prop::sample::select(vec![Mode::Observe, Mode::Enforce]);
    let scopes = prop::sample::select(vec![Scope::Internet, Scope::All]);
    let ceiling = prop::option::weighted(0.4, rules("ceiling", target()));
    (modes, scopes, any::<bool>(), rules("allow", target()), deny, ceiling).prop_map(
        |(mode, scope, default_deny, allow, deny, ceiling)| Policy {
            id: if ceiling.is_none() { PolicyId::of_namespace("n", "") } else { PolicyId::of_cluster("") },
            origin: origin(),
            namespace_selector: Selector::default(),
            pod_selector: Selector::default(),
            mode,
            scope,
            on_deny: OnDeny::Reject,
            default_deny,
            allow,
            deny,
            ceiling: ceiling.map(|entries| Ceiling { entries, origin: origin() }),
            modules: Vec::new(),
            upstream: None,
        },
    )
}

/// A rule of Kubernetes: with names only where it accepts, and of what it found of services some may be covered in part.
fn upstream_rule() -> impl Strategy<Value = UpstreamRule> {
    let block = (net(), prop::collection::vec(net(), 0..3))
        .prop_map(|(range, except)| Target::Block(Block { range, except }));
    let to = prop::collection::vec(prop_oneof![2 => target(), 1 => block], 0..3);
    let (spots, partly) = (prop::collection::vec(spot(), 0..2), prop::collection::vec(spot(), 0..2));
    let actions =
        prop::sample::select(vec![UpstreamAction::Accept, UpstreamAction::Deny, UpstreamAction::Pass]);
    (actions, to, prop::collection::vec(ports(), 0..3), prop::option::weighted(0.4, (spots, partly)))
        .prop_map(|(action, mut to, ports, found)| {
            to.retain(|to| action == UpstreamAction::Accept || !matches!(to, Target::Fqdn(_)));
            (action, to, ports, found)
        })
        .prop_map(|(action, to, ports, found)| UpstreamRule {
            action,
            rule: Rule {
                name: String::new(),
                to,
                ports,
                origin: origin(),
                found: found.map(|(spots, partly)| Found { spots, partly, notes: Vec::new() }),
            },
        })
}

/// A policy of Kubernetes.
fn upstream() -> impl Strategy<Value = Policy> {
    let tiers = prop::sample::select(vec![Tier::Admin, Tier::NetworkPolicy, Tier::Baseline]);
    (tiers, 0u16..3, prop::collection::vec(upstream_rule(), 0..4)).prop_map(|(tier, priority, mut rules)| {
        for (place, upstream) in rules.iter_mut().enumerate() {
            upstream.rule.name = format!("egress[{place}]");
            if tier == Tier::NetworkPolicy {
                upstream.action = UpstreamAction::Accept;
            }
        }
        let kind = match tier {
            Tier::NetworkPolicy => PolicyKind::NetworkPolicy,
            Tier::Admin | Tier::Baseline => PolicyKind::ClusterNetworkPolicy,
        };
        Policy {
            id: PolicyId::of(kind, "n", ""),
            origin: origin(),
            namespace_selector: Selector::default(),
            pod_selector: Selector::default(),
            mode: Mode::Enforce,
            scope: Scope::All,
            on_deny: OnDeny::Reject,
            default_deny: false,
            allow: Vec::new(),
            deny: Vec::new(),
            ceiling: None,
            modules: Vec::new(),
            upstream: Some(Upstream { tier, priority, rules }),
        }
    })
}

/// Egret's policies of a namespace and of the cluster, those of the cluster with a ceiling or without.
pub(super) fn own_policies() -> impl Strategy<Value = Vec<Policy>> {
    let one = (policy(), prop::bool::weighted(0.2)).prop_map(|(policy, no_ceiling)| match no_ceiling {
        true => Policy { id: PolicyId::of_cluster(policy.id.name), ceiling: None, ..policy },
        false => policy,
    });
    prop::collection::vec(one, 0..5).prop_map(named)
}

/// The same, and policies of Kubernetes.
pub(crate) fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let upstream = prop_oneof![Just(Vec::new()), prop::collection::vec(upstream(), 1..4)];
    (own_policies(), upstream).prop_map(|(own, upstream)| named(own.into_iter().chain(upstream).collect()))
}

fn named(mut policies: Vec<Policy>) -> Vec<Policy> {
    policies.iter_mut().enumerate().for_each(|(n, policy)| policy.id.name = format!("p{n}"));
    policies
}

pub(crate) fn attempt() -> impl Strategy<Value = Attempt> {
    let names = prop::sample::subsequence(NAMES.to_vec(), 0..3);
    let protocol = prop::sample::select(&PROTOCOLS[..]);
    (names, address(), protocol, port()).prop_map(|(names, address, protocol, port)| Attempt {
        names: names.into_iter().map(|name| Name::parse(name).expect("a name")).collect(),
        address: Some(address),
        port: if protocol.has_ports() { port } else { 0 },
        protocol,
    })
}

pub(crate) fn ranges() -> impl Strategy<Value = Ranges> {
    let nets = || prop::collection::vec(net(), 0..3);
    (nets(), nets()).prop_map(|(cluster, node)| Ranges { cluster, node })
}

/// Whether `compiled` names a rule that would allow the attempt if it were the only allow. Where a name and an address
/// class both allow, the kernel may name either; everything else is the same to the letter.
fn same(
    compiled: &Verdict,
    plain: &Verdict,
    of: fn(Verdicts) -> Verdict,
    policies: &[Policy],
    attempt: &Attempt,
    kind: Kind,
) -> bool {
    let alike = (compiled.action, compiled.reason) == (plain.action, plain.reason);
    if compiled.action == Action::Deny || compiled.rule.is_none() {
        return alike && compiled == plain;
    }
    let mut alone = policies.to_vec();
    for policy in &mut alone {
        let is_named = compiled.policy == Some(policy.id.to_string());
        policy.allow.retain(|rule| is_named && compiled.rule.as_ref() == Some(&rule.name));
    }
    let all: Vec<_> = alone.iter().collect();
    alike && of(evaluate(&all, attempt, kind)) == *compiled
}

proptest! {
    #[test]
    fn a_compiled_ruleset_answers_like_the_plain_evaluator(
        policies in policies(),
        ranges in ranges(),
        attempts in prop::collection::vec(attempt(), 1..24),
    ) {
        let all: Vec<_> = policies.iter().collect();
        let reversed: Vec<_> = policies.iter().rev().collect();
        let ruleset = compile(&all, &ranges, &Modules::new()).expect("a small ruleset");
        prop_assert_eq!(&ruleset, &compile(&reversed, &ranges, &Modules::new()).expect("a small ruleset"));
        for attempt in &attempts {
            let address = attempt.address.expect("an address");
            let kind = ranges.kind_of(address);
            let plain = evaluate(&all, attempt, kind);
            let fast = ruleset.look_up(&attempt.names, address, attempt.protocol, attempt.port);
            prop_assert!(same(&fast.applied, &plain.applied, |v| v.applied, &policies, attempt, kind), "{attempt:?} {fast:?} {plain:?}");
            prop_assert!(same(&fast.observed, &plain.observed, |v| v.observed, &policies, attempt, kind), "{attempt:?} {fast:?} {plain:?}");
            prop_assert_eq!(&plain, &evaluate(&reversed, attempt, kind));
        }
    }

    #[test]
    fn an_explanation_has_one_deciding_step_for_each_verdict_and_it_names_the_rule(
        policies in policies(),
        ranges in ranges(),
        attempt in attempt(),
    ) {
        let all: Vec<_> = policies.iter().collect();
        let kind = ranges.kind_of(attempt.address.expect("an address"));
        let explanation = explain(&all, &attempt, kind);
        for (verdict, decides) in [
            (&explanation.verdicts.applied, explanation.steps.iter().filter(|s| s.decides_applied).collect::<Vec<_>>()),
            (&explanation.verdicts.observed, explanation.steps.iter().filter(|s| s.decides_observed).collect()),
        ] {
            prop_assert_eq!(decides.len(), 1, "{:?}", &explanation);
            prop_assert_eq!(&decides[0].rule, &verdict.rule);
            if verdict.policy.is_some() {
                prop_assert_eq!(&decides[0].policy, &verdict.policy);
            }
        }
    }
}
