//! `/v1/status`: all is well, or what is not.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::kernel::Door;

/// The agent, its policies and its workloads in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The agent's version.
    pub version: String,
    /// The name of the node.
    pub node: String,
    /// The release of the running kernel, as `uname -r` says it.
    pub kernel: String,
    /// Whether every covered workload has its rules in force.
    pub ready: bool,
    /// When the agent started.
    pub since: Timestamp,
    /// 1: every hook of the design; 2: what an older kernel can do.
    pub tier: u8,
    /// Where what comes to workloads is looked at: `host`, or `pod`, where one with NET_ADMIN can forge it.
    pub door: Door,
    /// What was read from the policy files.
    pub policies: PolicyStatus,
    /// What is enforced on, and what is not.
    pub workloads: WorkloadTotals,
    /// Counters by name since the maps were made: packets, answers, whatever was lost and why.
    pub counters: BTreeMap<String, u64>,
    /// The resolvers trusted by default.
    pub resolvers: Vec<IpAddr>,
    /// Where this API listens.
    pub api: ApiPlaces,
}

/// What was read from the policy files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// How many policies are in force.
    pub accepted: u64,
    /// What was refused; where a good version was read before, that one stays in force.
    pub problems: Vec<PolicyProblem>,
}

/// Something wrong in a policy file. Lines and columns start at 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyProblem {
    /// The file.
    pub file: String,
    /// The line; 0 where the problem is the file as a whole.
    pub line: u32,
    /// The column; 0 where the problem is the file as a whole.
    pub column: u32,
    /// Where in the object, where it is one of Kubernetes: `spec.allow[0].to[0].fqdn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What is wrong.
    pub reason: String,
    /// What to write instead.
    pub fix: Option<String>,
}

/// What is enforced on, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadTotals {
    /// All that the agent was told of.
    pub total: u64,
    /// Those whose every packet passes the hooks.
    pub covered: u64,
    /// Those in the node's own network, which are judged at their sockets, and what is not seen there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sockets: Vec<AtSockets>,
    /// Every other one.
    pub not_covered: Vec<NotCovered>,
}

/// A workload that is judged at its sockets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AtSockets {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What is not seen there.
    pub unseen: String,
}

/// A workload that is not enforced on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotCovered {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Why, and what to do about it.
    pub reason: String,
}

/// Where the API listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiPlaces {
    /// The path of the unix socket.
    pub socket: String,
    /// The loopback address, where one was asked for.
    pub address: Option<SocketAddr>,
    /// Where metrics and health alone are told, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
}
