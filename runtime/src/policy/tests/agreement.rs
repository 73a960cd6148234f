//! For any policies and attempts: the compiled ruleset answers what the plain evaluator answers, and the order of
//! objects does not matter.

use std::sync::Arc;

use ipnet::IpNet;
use proptest::prelude::*;

use super::super::evaluate::{covers_destination, covers_port};
use super::super::{Ranges, compile, evaluate, explain};
use crate::model::{
    Action, Attempt, EgressPolicy, Mode, Name, OnDeny, Origin, Pattern, PolicyId, PortRange, Protocol, Rule,
    Scope, Selector, Target, Verdict,
};

const PATTERNS: [&str; 7] = ["a.test", "b.test", "*.test", "**.test", "x.a.test", "*.a.test", "x*.a.test"];
const NAMES: [&str; 5] = ["a.test", "b.test", "x.a.test", "y.x.a.test", "c.example"];
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

fn rules(prefix: &'static str, target: impl Strategy<Value = Target>) -> impl Strategy<Value = Vec<Rule>> {
    let rule = (prop::collection::vec(target, 1..4), prop::collection::vec(ports(), 0..3));
    prop::collection::vec(rule, 0..4).prop_map(move |rules| {
        let numbered = rules.into_iter().enumerate();
        numbered
            .map(|(n, (to, ports))| Rule { name: format!("{prefix}[{n}]"), to, ports, origin: origin() })
            .collect()
    })
}

fn origin() -> Origin {
    Origin { file: Arc::from("test"), line: 1, column: 1 }
}

fn policy() -> impl Strategy<Value = EgressPolicy> {
    let deny = rules("deny", net().prop_map(Target::Cidr));
    let modes = prop::sample::select(vec![Mode::Observe, Mode::Enforce]);
    let scopes = prop::sample::select(vec![Scope::Internet, Scope::All]);
    (modes, scopes, any::<bool>(), rules("allow", target()), deny).prop_map(
        |(mode, scope, default_deny, allow, deny)| EgressPolicy {
            id: PolicyId { namespace: "n".into(), name: String::new() },
            origin: origin(),
            pod_selector: Selector::default(),
            mode,
            scope,
            on_deny: OnDeny::Reject,
            default_deny,
            allow,
            deny,
        },
    )
}

pub(crate) fn policies() -> impl Strategy<Value = Vec<EgressPolicy>> {
    prop::collection::vec(policy(), 0..4).prop_map(|mut policies| {
        policies.iter_mut().enumerate().for_each(|(n, policy)| policy.id.name = format!("p{n}"));
        policies
    })
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

/// Whether `verdict` names a rule that covers the attempt. Where a name and an address class both allow, the kernel
/// may name either; everything else is the same to the letter.
fn same(compiled: &Verdict, plain: &Verdict, policies: &[EgressPolicy], attempt: &Attempt) -> bool {
    let alike = (compiled.action, compiled.reason) == (plain.action, plain.reason);
    let (Some(policy), Some(rule)) = (&compiled.policy, &compiled.rule) else {
        return alike && compiled == plain;
    };
    if compiled.action == Action::Deny {
        return compiled == plain;
    }
    let named = policies.iter().find(|p| p.id.to_string() == *policy).expect("a policy of these");
    let named = named.allow.iter().find(|r| r.name == *rule).expect("a rule of it");
    alike && covers_destination(named, attempt) && covers_port(named, attempt)
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
        let ruleset = compile(&all, &ranges).expect("a small ruleset");
        prop_assert_eq!(&ruleset, &compile(&reversed, &ranges).expect("a small ruleset"));
        for attempt in &attempts {
            let address = attempt.address.expect("an address");
            let kind = ranges.kind_of(address);
            let plain = evaluate(&all, attempt, kind);
            let fast = ruleset.look_up(&attempt.names, address, attempt.protocol, attempt.port);
            prop_assert!(same(&fast.applied, &plain.applied, &policies, attempt), "{attempt:?} {fast:?} {plain:?}");
            prop_assert!(same(&fast.observed, &plain.observed, &policies, attempt), "{attempt:?} {fast:?} {plain:?}");
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
