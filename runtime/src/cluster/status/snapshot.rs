//! What an agent knows of its node, in plain words.

use crate::model::{PolicyId, WorkloadId};

/// All that is told of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// How many workloads there are.
    pub workloads: usize,
    /// Those that are not covered, and why.
    pub not_covered: Vec<(WorkloadId, String)>,
    /// Every policy of Egret's that the API server has.
    pub policies: Vec<PolicyHere>,
    /// Policies of Kubernetes' own kinds that cannot be read whole; some, where they are many.
    pub refused_upstream: Vec<RefusedUpstream>,
}

/// A policy of one of Kubernetes' own kinds, not all of which can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedUpstream {
    /// Which.
    pub id: PolicyId,
    /// Its UID.
    pub uid: String,
    /// The generation that was read last.
    pub generation: i64,
    /// What cannot be read.
    pub refusal: Refusal,
}

/// A policy on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyHere {
    /// Which.
    pub id: PolicyId,
    /// The generation that was read last.
    pub generation: i64,
    /// Why it is refused.
    pub refusal: Option<Refusal>,
    /// How many workloads it selects.
    pub workloads: usize,
    /// How many of them are covered, and judged by it.
    pub in_force: usize,
    /// One of the others, and why.
    pub not_in_force: Option<String>,
    /// First packets denied in the last hour.
    pub denied: u64,
}

/// Why a policy is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where in the object.
    pub path: Option<String>,
    /// What is wrong, and what to write instead.
    pub reason: String,
    /// An earlier version is good, and in force.
    pub has_last_good: bool,
}
