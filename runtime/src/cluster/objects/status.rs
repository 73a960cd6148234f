//! What is told of a policy on the policy itself.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What came of a policy: totals, and the nodes where something is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// The `metadata.generation` that the rest is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted`: it is understood. `Enforced`: it is in force for every pod that it selects. `Degraded`: it is not what it
    /// says somewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Pods that it selects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workloads: Option<i32>,
    /// First packets of these that were denied in the last hour, by it or by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied_last_hour: Option<i64>,
    /// Nodes where it is not in force as it should be, ten at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub failing_nodes: Vec<String>,
}

/// One thing that is so, or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: ConditionStatus,
    /// A word for programs.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// Words for people.
    #[schemars(length(max = 32768))]
    pub message: String,
    /// Since when.
    pub last_transition_time: Time,
    /// The `metadata.generation` that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Whether it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "their names say it")]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}
