//! The sentences of an explanation.

use egret_contract::Scope as Counts;

use crate::model::{
    Action, Attempt, Ceiling, Kind, Mode, ModuleAnswer, ModuleStage, ModuleUse, Policy, PolicyKind,
    PortRange, Protocol, Rule, Scope, Target, Tier, Upstream,
};

use super::super::evaluate::spots_of;
use super::Finding;
use super::modules::{Answered, Turn};

/// More destinations or ports of one rule than this are counted, not listed.
const MAX_LISTED: usize = 4;

/// A policy by its kind and id.
pub(super) fn named(policy: &Policy) -> String {
    match policy.id.kind {
        PolicyKind::EgressPolicy => format!("policy {}", policy.id),
        PolicyKind::ClusterEgressPolicy => format!("cluster policy {}", policy.id),
        PolicyKind::NetworkPolicy | PolicyKind::ClusterNetworkPolicy => policy.id.to_string(),
    }
}

/// The ceiling of `policy`.
pub(super) fn ceiling(policy: &Policy) -> String {
    let trial = if policy.mode == Mode::Observe { " (mode Observe, reported only)" } else { "" };
    format!("the ceiling of {}{trial}", named(policy))
}

/// That the ceiling of `policy` lets an attempt pass, by `entry`.
pub(super) fn ceiling_allows(policy: &Policy, entry: &Rule) -> String {
    format!(
        "{} lets it pass: {} covers {} on {}",
        ceiling(policy),
        entry.name,
        targets(&entry.to),
        ports(entry)
    )
}

/// That the ceiling of `policy` does not, and what in it comes near.
pub(super) fn ceiling_denies(policy: &Policy, written: &Ceiling, near: Option<String>) -> String {
    let count = match written.entries.len() {
        0 => "it is empty".to_owned(),
        1 => "its one entry does not cover it".to_owned(),
        count => format!("none of its {count} entries covers it"),
    };
    let near = near.map(|near| format!(" ({near})")).unwrap_or_default();
    format!("{} does not allow it, whatever policies of namespaces allow: {count}{near}", ceiling(policy))
}

/// Policies of Kubernetes are about addresses.
pub(super) const UPSTREAM_WITHOUT_ADDRESS: &str = "policies of Kubernetes select the workload: without an address these cannot be judged; ask again with one";

/// None of them is against it.
pub(super) const UPSTREAM_OPEN: &str = "no policy of Kubernetes is against it";

/// What a rule of a policy of Kubernetes says.
pub(super) fn upstream_says(policy: &Policy, rule: &Rule, deny: bool) -> String {
    let verb = if deny { "denies" } else { "accepts" };
    format!("rule {} of {} {verb} {} on {}", rule.name, policy.id, targets(&rule.to), ports(rule))
}

/// That the NetworkPolicies `all` select the workload, and none of their rules accepts it.
pub(super) fn isolated(all: &[&Policy]) -> String {
    let names = listed(all, |policy| policy.id.to_string());
    format!("no rule of {names} allows it: what such a policy does not allow whom it selects is denied")
}

fn upstream(upstream: &Upstream) -> String {
    let rules = match upstream.rules.len() {
        1 => "1 rule".to_owned(),
        count => format!("{count} rules"),
    };
    match upstream.tier {
        Tier::NetworkPolicy => {
            format!("what none of its {rules} allows is denied, unless another one allows it")
        }
        Tier::Admin => format!("tier Admin, priority {}, {rules}", upstream.priority),
        Tier::Baseline => format!("tier Baseline, priority {}, {rules}", upstream.priority),
    }
}

/// How a policy treats its workloads.
pub(super) fn policy(policy: &Policy) -> String {
    if let Some(said) = &policy.upstream {
        return upstream(said);
    }
    let mode = match policy.mode {
        Mode::Observe => "mode Observe (reported only)",
        Mode::Enforce => "mode Enforce",
    };
    let default = match (policy.denies_by_default(), policy.scope) {
        (false, _) => "no default deny (it only denies)",
        (true, Scope::Internet) => "denies the internet by default",
        (true, Scope::All) => "denies everything by default",
    };
    let ceiling = if policy.ceiling.is_some() { ", has a ceiling for what namespaces allow" } else { "" };
    let modules = match policy.modules.len() {
        0 => String::new(),
        1 => ", asks a module".to_owned(),
        count => format!(", asks {count} modules"),
    };
    format!("{mode}, {default}{ceiling}{modules}")
}

/// What a rule says.
pub(super) fn says(policy: &Policy, rule: &Rule, deny: bool) -> String {
    let verb = if deny { "denies" } else { "allows" };
    format!("rule {} {} {verb} {} on {}", policy.id, rule.name, targets(&rule.to), ports(rule))
}

/// What of the destinations of `rule` in the cluster is not as one may think.
pub(super) fn notes(rule: &Rule) -> Option<String> {
    let notes = rule.notes();
    (!notes.is_empty()).then(|| listed(&notes, String::clone))
}

/// On which ports `rule` means an address that it found in the cluster: behind a service they are others than it has itself.
pub(super) fn ports_at(rule: &Rule, attempt: &Attempt) -> String {
    let mut ranges: Vec<_> = spots_of(rule, attempt).flat_map(|spot| spot.ports.clone()).collect();
    ranges.dedup();
    match ranges.is_empty() || ranges == rule.ports {
        true => String::new(),
        false => format!(" (at this address it means {})", listed(&ranges, range)),
    }
}

fn targets(targets: &[Target]) -> String {
    if targets.is_empty() { "nothing".to_owned() } else { listed(targets, Target::to_string) }
}

fn ports(rule: &Rule) -> String {
    if !rule.ports.is_empty() {
        return listed(&rule.ports, range);
    }
    let has_own = |target: &Target| matches!(target, Target::Service(_) | Target::PodPort(..));
    if rule.to.iter().all(has_own) { "all of its ports" } else { "every protocol and port" }.to_owned()
}

fn range(range: &PortRange) -> String {
    match &range.ports {
        None => range.protocol.to_string(),
        Some(ports) if ports.start() == ports.end() => format!("{} {}", range.protocol, ports.start()),
        Some(ports) => format!("{} {}-{}", range.protocol, ports.start(), ports.end()),
    }
}

fn listed<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    let mut words: Vec<_> = items.iter().take(MAX_LISTED).map(text).collect();
    let more = items.len().saturating_sub(MAX_LISTED);
    if more > 0 {
        words.push(format!("{more} more"));
    }
    words.join(", ")
}

/// The protocol and port asked about.
pub(super) fn port(protocol: Protocol, port: u16) -> String {
    if protocol.has_ports() { format!("{protocol} {port}") } else { protocol.to_string() }
}

/// No rule of this kind speaks.
pub(super) fn nothing(action: Action, count: usize) -> String {
    match (action, count) {
        (Action::Deny, 0) => "there are no deny rules".to_owned(),
        (Action::Allow, 0) => "there are no allow rules".to_owned(),
        (action, 1) => format!("the one {action} rule does not cover it"),
        (action, count) => format!("none of the {count} {action} rules covers it"),
    }
}

/// Rules that only an address can be held against.
pub(super) fn without_address(deny: bool, count: usize) -> String {
    let kind = if deny { "deny" } else { "allow" };
    format!(
        "{count} {kind} {} addresses by `cidr`, `service` or `pods`: without an address this cannot be judged; ask again with one",
        rules_name(count)
    )
}

/// Rules that only a name can be held against.
pub(super) fn without_name(count: usize) -> String {
    format!(
        "{count} allow {} destinations by `fqdn`: they count only for addresses that the workload's own look-ups gave, \
         and no such look-up is known for this one",
        rules_name(count)
    )
}

fn rules_name(count: usize) -> &'static str {
    if count == 1 { "rule names" } else { "rules name" }
}

/// What the default of `policy`, which has one, comes to.
pub(super) fn default(policy: &Policy, covered: bool, kind: Kind) -> String {
    let scope = match policy.scope {
        Scope::Internet => "the internet",
        Scope::All => "everything",
    };
    let place = place(kind);
    let covers = if covered { "covers" } else { "does not cover" };
    format!("{} denies {scope} by default: that {covers} this destination, which is {place}", named(policy))
}

/// No default denies, in these verdicts.
pub(super) fn no_default(applied: bool, observed: bool) -> &'static str {
    match (applied, observed) {
        (true, false) => {
            "no policy in mode Enforce denies it by default: it goes on, but would not were all enforced"
        }
        _ => "no default denies it: it goes on",
    }
}

/// Whether a module of `policy` is asked, in each verdict, and what of it.
pub(super) fn module(
    policy: &Policy,
    module: &ModuleUse,
    turns: [Turn; 2],
    finding: Finding,
    kind: Kind,
) -> String {
    let named = format!("module {} of {}", module.name, named(policy));
    let only = match turns.map(|turn| turn == Turn::Comes) {
        [true, false] => " for what is applied only",
        [false, true] => " for what is observed only",
        _ => "",
    };
    match (finding, module.stage) {
        (Finding::Asked, ModuleStage::Always) => format!("{named} is asked{only}: it may deny"),
        (Finding::Asked, ModuleStage::Unmatched) => {
            format!("{named} is asked{only}, for no rule speaks: it decides unless it says `next`")
        }
        (Finding::Cut, _) => {
            format!(
                "{named} is asked{only}, for no rule speaks: it may deny, but a ceiling keeps it from allowing"
            )
        }
        _ => format!("{named} is not asked: {}", not_asked(turns, kind)),
    }
}

/// What a module said when it was asked aside; `None`: it was not asked, for the answer of another decided.
pub(super) fn answered(said: Option<&Answered>) -> String {
    let Some(said) = said else { return "not asked now, for what was said before decides".to_owned() };
    let answer = match said.answer {
        ModuleAnswer::Allow => "allow",
        ModuleAnswer::Deny => "deny",
        ModuleAnswer::Next => "next",
    };
    if let Some(fault) = &said.fault {
        return format!("asked now, it fails ({fault}), and its failure policy counts: {answer}");
    }
    let reason = said.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let counts = match said.scope {
        Counts::Flow => "for this flow alone".to_owned(),
        Counts::Address => format!("for this address and port, for {} s", said.ttl_seconds),
        Counts::Name => format!("for these names and this port, for {} s", said.ttl_seconds),
    };
    format!("asked now, it says `{answer}`{reason} {counts}")
}

fn not_asked(turns: [Turn; 2], kind: Kind) -> String {
    match turns.into_iter().find(|turn| *turn != Turn::NotCounted) {
        Some(Turn::Rule(Action::Deny)) => "a rule denies it".to_owned(),
        Some(Turn::Rule(Action::Allow)) => "a rule allows it".to_owned(),
        _ => format!("its policy is about the internet, and this destination is {}", place(kind)),
    }
}

fn place(kind: Kind) -> &'static str {
    match kind {
        Kind::Internet => "on the internet",
        Kind::Cluster => "in the cluster",
        Kind::Node => "on the node",
    }
}
