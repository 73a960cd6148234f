//! What the agent and its CNI plugin say to each other, and how the plugin gets into a node's network. Without I/O.
//!
//! The plugin is chained behind those that make a pod's network (<https://www.cni.dev/docs/spec/>, 1.1). It tells the agent of
//! the pod and waits: what runs in the pod begins when the agent has put its policies in force, and not before.

pub mod chain;
pub mod request;

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the plugin is called, as a file and in the network's configuration.
pub const NAME: &str = "egret-cni";

/// Bytes of a message, at most.
pub const LONGEST: usize = 64 * 1024;

/// A pod whose network is made and in which nothing runs yet. Sent to the agent as one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The pod's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID, as the node's runtime has it.
    pub uid: String,
    /// The path of its network namespace.
    pub netns: PathBuf,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// What the agent says to it, as one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// Its policies are in force.
    Start,
    /// It must not start, and why.
    Wait(String),
}
