//! What a node's agent tells of itself.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Policies that one node tells of, at most.
pub const MOST_POLICIES: usize = 512;
/// Pods that one node tells of as not covered, at most.
pub const MOST_PODS: usize = 50;

/// What is in force on a node, as its agent tells. Like a Lease it has one part only, which its one writer writes whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "egret.dev",
    version = "v1alpha1",
    kind = "EgressNodeStatus",
    plural = "egressnodestatuses",
    shortname = "ens",
    category = "egret",
    doc = "What is in force on the node of the same name. Its agent writes it; who else does is overruled.",
    printcolumn(
        name = "Workloads",
        type_ = "integer",
        json_path = ".spec.workloads",
        description = "Pods of the node"
    ),
    printcolumn(
        name = "Not-Covered",
        type_ = "integer",
        json_path = ".spec.notCovered",
        description = "Pods that Egret does not see"
    ),
    printcolumn(
        name = "Failing",
        type_ = "integer",
        json_path = ".spec.policiesFailing",
        description = "Policies that are refused, or not in force for each of their pods"
    ),
    printcolumn(
        name = "Told",
        type_ = "date",
        json_path = ".spec.observedAt",
        description = "How long ago its agent told it"
    ),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.agentVersion", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct EgressNodeStatusSpec {
    /// The version of the agent.
    #[schemars(length(max = 64))]
    pub agent_version: String,
    /// When the agent told this: whenever something changed, and once a minute. After three minutes of silence it counts as
    /// away.
    pub observed_at: Time,
    /// Pods of this node.
    pub workloads: i32,
    /// How many of them Egret does not see, or not all packets of.
    pub not_covered: i32,
    /// Those, fifty at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub not_covered_workloads: Vec<PodNotCovered>,
    /// How many policies are refused, or not in force for each pod of this node that they select.
    pub policies_failing: i32,
    /// Policies that select pods of this node, and those that are refused, 512 at most: failing ones first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    pub policies: Vec<PolicyOnNode>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub policies_left_out: i32,
}

/// A pod that is not covered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PodNotCovered {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Why.
    #[schemars(length(max = 1024))]
    pub reason: String,
}

/// A policy on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyOnNode {
    /// `EgressPolicy` or `ClusterEgressPolicy`.
    #[schemars(extend("enum" = ["EgressPolicy", "ClusterEgressPolicy"]))]
    pub kind: String,
    /// Its namespace; none for a policy of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The `metadata.generation` that the agent read last.
    pub observed_generation: i64,
    /// Whether the agent understands it.
    pub accepted: bool,
    /// What is wrong with it, where it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<PolicyProblem>,
    /// Pods of this node that it selects; where it is refused, that its last good version does.
    pub workloads: i32,
    /// Those that are covered, and judged by it.
    pub in_force: i32,
    /// One of the others, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub not_in_force: Option<String>,
    /// First packets of these pods that were denied in the last hour, by it or by default.
    pub denied_last_hour: i64,
}

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyProblem {
    /// Where in the object, as in `spec.allow[0].to[0].fqdn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub path: Option<String>,
    /// What is wrong, and what to write instead.
    #[schemars(length(max = 2048))]
    pub reason: String,
    /// Whether a version before this one is good, and in force.
    pub last_good_in_force: bool,
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}
