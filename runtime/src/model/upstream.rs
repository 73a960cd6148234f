//! What the policy objects of Kubernetes itself say of egress: NetworkPolicy, and ClusterNetworkPolicy of its network
//! policy API. Together they are a layer of their own beside Egret's policies, and both layers must allow.

use super::Rule;

/// What a policy of Kubernetes says. It has no mode: it is in force.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upstream {
    /// When it is asked.
    pub tier: Tier,
    /// Within its tier the lower one is asked first; of equal ones the first by name.
    pub priority: u16,
    /// Its rules, in their order.
    pub rules: Vec<UpstreamRule>,
}

/// When a policy is asked, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// A ClusterNetworkPolicy that nobody goes beyond.
    Admin,
    /// A NetworkPolicy: whom it selects may what the rules of all that select it accept, and nothing else.
    NetworkPolicy,
    /// A ClusterNetworkPolicy for those that no NetworkPolicy selects.
    Baseline,
}

/// A rule of such a policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamRule {
    /// What it says of what it covers.
    pub action: UpstreamAction,
    /// Where to, and on which ports; without a destination it covers nothing.
    pub rule: Rule,
}

/// What a rule says of what it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UpstreamAction {
    /// It is allowed, and nobody else is asked.
    Accept,
    /// It is denied.
    Deny,
    /// The next tier is asked.
    Pass,
}
