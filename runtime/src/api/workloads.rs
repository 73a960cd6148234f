//! `/v1/workloads`: each workload, and what holds for it.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{Coverage, Labels, Mode};

/// One workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRow {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Its service account.
    pub service_account: Option<String>,
    /// What its policies come to.
    pub mode: EffectiveMode,
    /// Whether every packet passes the hooks.
    pub coverage: Coverage,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
    /// The resolvers it may learn from.
    pub resolvers: Vec<IpAddr>,
    /// The host side of its interface pair, where found.
    pub interface: Option<String>,
    /// The policies that select it, as `namespace/name`.
    pub policies: Vec<String>,
    /// How many live names its own look-ups gave.
    pub names: u64,
    /// How many flow records it has.
    pub flows: u64,
}

/// What the modes of all policies that select a workload come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EffectiveMode {
    /// Policies select it, and none is in force.
    Observe,
    /// At least one policy is in force.
    Enforce,
    /// No policy selects it.
    #[serde(rename = "unmanaged")]
    Unmanaged,
}

impl From<Option<Mode>> for EffectiveMode {
    /// From the strictest mode of the policies that select a workload, if any does.
    fn from(mode: Option<Mode>) -> Self {
        match mode {
            None => Self::Unmanaged,
            Some(Mode::Observe) => Self::Observe,
            Some(Mode::Enforce) => Self::Enforce,
        }
    }
}

impl fmt::Display for EffectiveMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Observe => "Observe",
            Self::Enforce => "Enforce",
            Self::Unmanaged => "unmanaged",
        })
    }
}
