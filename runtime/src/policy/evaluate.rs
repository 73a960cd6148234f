//! The plain evaluator: what the rules of policies say of an attempt, by looking at every rule in turn. Slow and obviously right;
//! `explain` builds on it, and the compiled ruleset is tested against it.
//!
//! Egret's policies and those of Kubernetes are two layers, and both must allow; the second one is [`super::tiers`].
//!
//! A ceiling must cover an attempt the same way as the allow below it: by the same name, or by the address alone
//! ([`ways`]). Else a name that the ceiling lets pass would carry one that it does not, where both lead to one address.

use crate::model::{
    Action, Attempt, Ceiling, Kind, ModuleStage, Policy, PolicyId, PolicyKind, PortRange, Reason, Rule, Spot,
    Target, Verdict, Verdicts,
};

use super::asked::Which;
use super::compile::ISOLATION;
use super::tiers::{Outcome, outcome};

/// Both verdicts on `attempt` by the rules and defaults of `policies`, those that select the workload, in any order;
/// modules have their say in [`super::consult()`]. `kind` is that of the destination. An attempt without an address is
/// judged by its names alone.
#[must_use]
pub fn evaluate(policies: &[&Policy], attempt: &Attempt, kind: Kind) -> Verdicts {
    let policies = in_order(policies);
    if policies.is_empty() {
        let unmanaged = Verdict::of(Action::Allow, Reason::Unmanaged);
        return Verdicts { applied: unmanaged.clone(), observed: unmanaged };
    }
    Verdicts {
        applied: judge(&counting(&policies, Which::Applied), attempt, kind),
        observed: judge(&policies, attempt, kind),
    }
}

/// The order in which rules are looked at: that of their policies' ids, those of the cluster first, then their own.
pub(super) fn in_order<'a>(policies: &[&'a Policy]) -> Vec<&'a Policy> {
    let mut policies = policies.to_vec();
    policies.sort_by_key(|policy| &policy.id);
    policies
}

/// Those that count in a verdict.
pub(super) fn counting<'a>(policies: &[&'a Policy], which: Which) -> Vec<&'a Policy> {
    policies.iter().copied().filter(|policy| which.counts(policy.mode)).collect()
}

fn judge(policies: &[&Policy], attempt: &Attempt, kind: Kind) -> Verdict {
    let by = |action, policy: &Policy, rule: &str| Verdict {
        rule: Some(rule.to_owned()),
        policy: Some(policy.id.to_string()),
        ..Verdict::of(action, Reason::Rule)
    };
    if let Some((policy, rule)) = deciding(policies, Action::Deny, attempt) {
        return by(Action::Deny, policy, &rule.name);
    }
    let upstream = outcome(policies, attempt, kind);
    match upstream {
        Outcome::Denied(policy, rule) => return by(Action::Deny, policy, &rule.name),
        Outcome::Isolated(policy) => return by(Action::Deny, policy, ISOLATION),
        Outcome::Nothing | Outcome::Open | Outcome::Accepted(..) => {}
    }
    if let Some((policy, rule)) = deciding(policies, Action::Allow, attempt) {
        return by(Action::Allow, policy, &rule.name);
    }
    if policies.iter().any(|policy| default_denies(policy, kind)) {
        return Verdict::of(Action::Deny, Reason::DefaultDeny);
    }
    match upstream {
        // Not where a module may say something else.
        Outcome::Accepted(policy, rule) if !asks_unmatched(policies, kind) => {
            by(Action::Allow, policy, &rule.name)
        }
        _ => Verdict::of(Action::Allow, Reason::NotEnforced),
    }
}

/// Whether a module of `policies` is asked about destinations of `kind` of which no rule speaks.
pub(super) fn asks_unmatched(policies: &[&Policy], kind: Kind) -> bool {
    let in_scope = policies.iter().filter(|policy| policy.scope.covers(kind));
    in_scope.flat_map(|policy| &policy.modules).any(|module| module.stage == ModuleStage::Unmatched)
}

/// The first rule of `action` that covers `attempt` and that no ceiling of `policies` keeps from it.
pub(super) fn deciding<'a>(
    policies: &[&'a Policy],
    action: Action,
    attempt: &Attempt,
) -> Option<(&'a Policy, &'a Rule)> {
    let mut all = policies.iter().flat_map(|policy| rules(policy, action).iter().map(|rule| (*policy, rule)));
    all.find(|(policy, rule)| match action {
        Action::Deny => covers(rule, attempt),
        Action::Allow => allows(policies, policy, rule, attempt),
    })
}

/// Whether `rule`, an allow of `policy`, covers `attempt` in a way that every ceiling above it covers too.
pub(super) fn allows(policies: &[&Policy], policy: &Policy, rule: &Rule, attempt: &Attempt) -> bool {
    within_ceilings(policies, &policy.id, attempt, |way| covers(rule, way))
}

/// Whether an allow of the policy `id` covers `attempt` in a way, of those that it `covers`, in which every ceiling above it
/// does too.
pub(super) fn within_ceilings(
    policies: &[&Policy],
    id: &PolicyId,
    attempt: &Attempt,
    covers: impl Fn(&Attempt) -> bool,
) -> bool {
    let ceilings = ceilings_above(policies, id);
    ways(attempt).iter().any(|way| covers(way) && ceilings.iter().all(|(_, ceiling)| is_within(ceiling, way)))
}

/// The ceilings of `policies` that bind the policy `id`: those of the cluster bind those of namespaces, not one another.
pub(super) fn ceilings_above<'a>(policies: &[&'a Policy], id: &PolicyId) -> Vec<(&'a Policy, &'a Ceiling)> {
    if id.kind == PolicyKind::EgressPolicy { ceilings(policies) } else { Vec::new() }
}

/// All ceilings of `policies`.
pub(super) fn ceilings<'a>(policies: &[&'a Policy]) -> Vec<(&'a Policy, &'a Ceiling)> {
    policies.iter().filter_map(|policy| Some((*policy, policy.ceiling.as_ref()?))).collect()
}

/// The ways in which an attempt is known: by each of its names, and by its address alone.
pub(super) fn ways(attempt: &Attempt) -> Vec<Attempt> {
    let by_name = attempt.names.iter().map(|name| vec![name.clone()]);
    by_name.chain([Vec::new()]).map(|names| Attempt { names, ..attempt.clone() }).collect()
}

/// Whether an entry of `ceiling` covers `way`.
pub(super) fn is_within(ceiling: &Ceiling, way: &Attempt) -> bool {
    ceiling.entries.iter().any(|entry| covers(entry, way))
}

/// The rules of `policy` that say `action`.
pub(super) fn rules(policy: &Policy, action: Action) -> &[Rule] {
    match action {
        Action::Allow => &policy.allow,
        Action::Deny => &policy.deny,
    }
}

/// Whether the default of `policy` denies destinations of `kind`.
pub(super) fn default_denies(policy: &Policy, kind: Kind) -> bool {
    policy.denies_by_default() && policy.scope.covers(kind)
}

/// Whether `rule` covers where `attempt` goes and on which port.
pub(super) fn covers(rule: &Rule, attempt: &Attempt) -> bool {
    covers_plainly(rule, attempt) && covers_port(rule, attempt)
        || spots_of(rule, attempt).any(|spot| in_ranges(&spot.ports, attempt))
}

/// Whether `rule` covers some of what is behind the address of a service where `attempt` goes, and not all.
pub(super) fn covers_in_part(rule: &Rule, attempt: &Attempt) -> bool {
    let partly = rule.found.iter().flat_map(|found| &found.partly);
    let mut there = partly.filter(|spot| attempt.address.is_some_and(|address| spot.holds(address)));
    there.any(|spot| in_ranges(&spot.ports, attempt))
}

/// Whether a destination of `rule` is where `attempt` goes, on some port.
pub(super) fn covers_destination(rule: &Rule, attempt: &Attempt) -> bool {
    covers_plainly(rule, attempt) || spots_of(rule, attempt).next().is_some()
}

/// Whether a name or a range of `rule` is where `attempt` goes.
fn covers_plainly(rule: &Rule, attempt: &Attempt) -> bool {
    rule.to.iter().any(|target| match target {
        Target::Fqdn(pattern) => attempt.names.iter().any(|name| pattern.matches(name)),
        Target::Cidr(net) => attempt.address.is_some_and(|address| net.contains(&address)),
        Target::Block(block) => attempt.address.is_some_and(|address| block.holds(address)),
        Target::Service(_) | Target::Pods(_) | Target::PodPort(..) | Target::Nodes(_) => false,
    })
}

/// What of the destinations of `rule` in the cluster has the address of `attempt`.
pub(super) fn spots_of<'r>(rule: &'r Rule, attempt: &Attempt) -> impl Iterator<Item = &'r Spot> {
    let address = attempt.address;
    let all = rule.found.iter().flat_map(|found| &found.spots);
    all.filter(move |spot| address.is_some_and(|address| spot.holds(address)))
}

/// Whether `rule` names the protocol and port of `attempt`. A service has ports of its own besides.
pub(super) fn covers_port(rule: &Rule, attempt: &Attempt) -> bool {
    in_ranges(&rule.ports, attempt)
}

fn in_ranges(ranges: &[PortRange], attempt: &Attempt) -> bool {
    let holds = |range: &PortRange| {
        range.protocol == attempt.protocol
            && range.ports.as_ref().is_none_or(|ports| ports.contains(&attempt.port))
    };
    ranges.is_empty() || ranges.iter().any(holds)
}
