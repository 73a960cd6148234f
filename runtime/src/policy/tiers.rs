//! What the policies of Kubernetes say of an attempt, by looking at every rule in turn: tier after tier, the first match
//! decides. Slow and obviously right, as [`super::evaluate`], which asks it.

use std::net::IpAddr;

use crate::model::{Attempt, Kind, LINK_LOCAL, Policy, Rule, Tier, Upstream, UpstreamAction, UpstreamRule};

use super::evaluate::{covers, covers_in_part};

/// What they say together.
#[derive(Clone, Copy)]
pub(super) enum Outcome<'a> {
    /// Nothing: none selects the workload, or where the attempt leads is not known.
    Nothing,
    /// No rule is against it.
    Open,
    /// A rule accepts it.
    Accepted(&'a Policy, &'a Rule),
    /// A rule denies it.
    Denied(&'a Policy, &'a Rule),
    /// A NetworkPolicy selects the workload, the first of maybe several, and no rule of any accepts it.
    Isolated(&'a Policy),
}

/// What `policies`, those that select the workload, say of `attempt`; `kind` is that of its destination.
pub(super) fn outcome<'a>(policies: &[&'a Policy], attempt: &Attempt, kind: Kind) -> Outcome<'a> {
    let Some(address) = attempt.address.filter(|_| policies.iter().any(|policy| policy.upstream.is_some()))
    else {
        return Outcome::Nothing;
    };
    // Else it is passed on, or nobody speaks.
    if let Some(decided @ (Outcome::Accepted(..) | Outcome::Denied(..))) =
        first_match(policies, Tier::Admin, attempt)
    {
        return decided;
    }
    let isolating = of_tier(policies, Tier::NetworkPolicy);
    if let Some((first, _)) = isolating.first() {
        return match first_match(policies, Tier::NetworkPolicy, attempt) {
            Some(accepted) => accepted,
            None if is_own_node(address, kind) => Outcome::Open,
            None => Outcome::Isolated(first),
        };
    }
    first_match(policies, Tier::Baseline, attempt).unwrap_or(Outcome::Open)
}

/// The policies of a tier, in the order in which they are asked.
pub(super) fn of_tier<'a>(policies: &[&'a Policy], tier: Tier) -> Vec<(&'a Policy, &'a Upstream)> {
    let all = policies.iter().filter_map(|policy| Some((*policy, policy.upstream.as_ref()?)));
    let mut of_tier: Vec<_> = all.filter(|(_, upstream)| upstream.tier == tier).collect();
    of_tier.sort_by_key(|(policy, upstream)| (upstream.priority, &policy.id));
    of_tier
}

/// What the first rule of `tier` that covers `attempt` says; [`Outcome::Open`] where it passes it on.
fn first_match<'a>(policies: &[&'a Policy], tier: Tier, attempt: &Attempt) -> Option<Outcome<'a>> {
    let of_tier = of_tier(policies, tier).into_iter();
    let mut rules =
        of_tier.flat_map(|(policy, upstream)| upstream.rules.iter().map(move |rule| (policy, rule)));
    rules.find_map(|(policy, rule)| {
        Some(match says(rule, attempt)? {
            UpstreamAction::Accept => Outcome::Accepted(policy, &rule.rule),
            UpstreamAction::Deny => Outcome::Denied(policy, &rule.rule),
            UpstreamAction::Pass => Outcome::Open,
        })
    })
}

/// What a rule says of `attempt`. Of an address of a service some of what is behind it may be covered, and not all: then it is
/// denied, unless the rule only accepts, which then accepts nothing.
pub(super) fn says(upstream: &UpstreamRule, attempt: &Attempt) -> Option<UpstreamAction> {
    let UpstreamRule { action, rule } = upstream;
    if covers(rule, attempt) {
        return Some(*action);
    }
    (*action != UpstreamAction::Accept && covers_in_part(rule, attempt)).then_some(UpstreamAction::Deny)
}

/// Whether `address`, of this kind, is the node's own: Kubernetes says that a pod and its node may always talk. Whose a
/// link-local address is depends on the link.
fn is_own_node(address: IpAddr, kind: Kind) -> bool {
    let is_link_local = matches!(address, IpAddr::V6(address) if LINK_LOCAL.contains(&address));
    kind == Kind::Node && !is_link_local
}
