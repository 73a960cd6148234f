//! The plain evaluator: what policies say of an attempt, by looking at every rule in turn. Slow and obviously right;
//! `explain` builds on it, and the compiled ruleset is tested against it.

use crate::model::{
    Action, Attempt, EgressPolicy, Kind, Mode, PortRange, Protocol, Reason, Rule, Scope, Target, Verdict,
    Verdicts,
};

/// Both verdicts on `attempt` by `policies`, those that select the workload, in any order. `kind` is that of the
/// destination. An attempt without an address is judged by its names alone.
#[must_use]
pub fn evaluate(policies: &[&EgressPolicy], attempt: &Attempt, kind: Kind) -> Verdicts {
    let policies = in_order(policies);
    if policies.is_empty() {
        let unmanaged = Verdict::of(Action::Allow, Reason::Unmanaged);
        return Verdicts { applied: unmanaged.clone(), observed: unmanaged };
    }
    Verdicts {
        applied: judge(&enforced(&policies), attempt, kind),
        observed: judge(&policies, attempt, kind),
    }
}

/// The order in which rules are looked at: that of their policies' ids, then their own.
pub(super) fn in_order<'a>(policies: &[&'a EgressPolicy]) -> Vec<&'a EgressPolicy> {
    let mut policies = policies.to_vec();
    policies.sort_by_key(|policy| &policy.id);
    policies
}

/// Those in mode Enforce.
pub(super) fn enforced<'a>(policies: &[&'a EgressPolicy]) -> Vec<&'a EgressPolicy> {
    policies.iter().copied().filter(|policy| policy.mode == Mode::Enforce).collect()
}

fn judge(policies: &[&EgressPolicy], attempt: &Attempt, kind: Kind) -> Verdict {
    for action in [Action::Deny, Action::Allow] {
        if let Some((policy, rule)) = deciding(policies, action, attempt) {
            return Verdict {
                rule: Some(rule.name.clone()),
                policy: Some(policy.id.to_string()),
                ..Verdict::of(action, Reason::Rule)
            };
        }
    }
    if policies.iter().any(|policy| default_denies(policy, kind)) {
        Verdict::of(Action::Deny, Reason::DefaultDeny)
    } else {
        Verdict::of(Action::Allow, Reason::NotEnforced)
    }
}

/// The first rule of `action` that covers `attempt`.
pub(super) fn deciding<'a>(
    policies: &[&'a EgressPolicy],
    action: Action,
    attempt: &Attempt,
) -> Option<(&'a EgressPolicy, &'a Rule)> {
    let mut all = policies.iter().flat_map(|policy| rules(policy, action).iter().map(|rule| (*policy, rule)));
    all.find(|(_, rule)| covers(rule, attempt))
}

/// The rules of `policy` that say `action`.
pub(super) fn rules(policy: &EgressPolicy, action: Action) -> &[Rule] {
    match action {
        Action::Allow => &policy.allow,
        Action::Deny => &policy.deny,
    }
}

/// Whether the default of `policy` denies destinations of `kind`.
pub(super) fn default_denies(policy: &EgressPolicy, kind: Kind) -> bool {
    policy.denies_by_default() && (policy.scope == Scope::All || kind == Kind::Internet)
}

fn covers(rule: &Rule, attempt: &Attempt) -> bool {
    covers_destination(rule, attempt) && covers_port(rule, attempt)
}

/// Whether a target of `rule` is where `attempt` goes.
pub(super) fn covers_destination(rule: &Rule, attempt: &Attempt) -> bool {
    rule.to.iter().any(|target| match target {
        Target::Fqdn(pattern) => attempt.names.iter().any(|name| pattern.matches(name)),
        Target::Cidr(net) => attempt.address.is_some_and(|address| net.contains(&address)),
    })
}

/// Whether `rule` covers the protocol and port of `attempt`.
pub(super) fn covers_port(rule: &Rule, attempt: &Attempt) -> bool {
    rule.ports.is_empty() || rule.ports.iter().any(|range| in_range(range, attempt.protocol, attempt.port))
}

fn in_range(range: &PortRange, protocol: Protocol, port: u16) -> bool {
    range.protocol == protocol && range.ports.as_ref().is_none_or(|ports| ports.contains(&port))
}
