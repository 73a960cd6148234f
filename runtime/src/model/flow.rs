//! What is told about a flow.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Labels, Name, Protocol, Verdict, Workload, WorkloadId};

/// A workload in a record: all that a module is told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Its service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// The node it runs on; empty where nobody said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
}

impl WorkloadRef {
    /// That of `workload`, which runs on `node`.
    #[must_use]
    pub fn new(workload: &Workload, node: String) -> Self {
        let Workload { id, labels, service_account, .. } = workload.clone();
        Self { namespace: id.namespace, name: id.name, labels, service_account, node }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> WorkloadId {
        WorkloadId { namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

/// Where a flow went.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Destination {
    /// The name that the workload most likely dialled: the latest looked up of `names`.
    pub name: Option<Name>,
    /// All names that the workload's own look-ups gave for the address and that are live.
    pub names: Vec<Name>,
    /// The address.
    pub address: IpAddr,
    /// The port dialled; 0 for a protocol without ports.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// One line of `egret flows` and `/v1/flows`: all first packets alike, added up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRecord {
    /// When the latest first packet was judged.
    pub time: Timestamp,
    /// Who.
    pub workload: WorkloadRef,
    /// Where to.
    pub destination: Destination,
    /// What happened.
    pub applied: Verdict,
    /// What would have happened with every policy in mode Enforce.
    pub observed: Verdict,
    /// Packets sent by the workload.
    pub packets: u64,
    /// Bytes sent by the workload, headers included.
    pub bytes: u64,
    /// How many flows (first packets) this record adds up.
    pub count: u64,
}

/// Something a workload might try: what `explain` is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its names, as the workload looked them up; empty for a bare address.
    pub names: Vec<Name>,
    /// The address, where known.
    pub address: Option<IpAddr>,
    /// The port; 0 for a protocol without ports.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
}
