//! What the API answers, as far as the tests look at it: written from the contract, not from the agent's types.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::Deserialize;

use crate::world::Pod;

/// One line of `/v1/flows`.
#[derive(Clone, Debug, Deserialize)]
pub struct Flow {
    /// When the latest first packet was judged.
    pub time: Timestamp,
    /// Who.
    pub workload: Who,
    /// Where to.
    pub destination: Destination,
    /// What happened.
    pub applied: Verdict,
    /// What would have happened with every policy in mode Enforce.
    pub observed: Verdict,
    /// Packets sent.
    pub packets: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// How many flows are added up here.
    pub count: u64,
}

/// A workload in a record.
#[derive(Clone, Debug, Deserialize)]
pub struct Who {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Who {
    /// Whether it is `pod`.
    #[must_use]
    pub fn is(&self, pod: &Pod) -> bool {
        self.namespace == pod.namespace() && self.name == pod.name()
    }
}

/// Where a flow went.
#[derive(Clone, Debug, Deserialize)]
pub struct Destination {
    /// The name most likely dialled.
    pub name: Option<String>,
    /// All names bound to the address.
    pub names: Vec<String>,
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// TCP, UDP, SCTP, ICMP or a number.
    pub protocol: String,
}

/// A verdict.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct Verdict {
    /// `allow` or `deny`.
    pub action: String,
    /// One word.
    pub reason: String,
    /// The rule that decided.
    pub rule: Option<String>,
    /// The policy that decided.
    pub policy: Option<String>,
    /// The module that decided.
    pub module: Option<String>,
    /// What the module says of it.
    pub message: Option<String>,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}", self.action, self.reason)?;
        if let Some(rule) = &self.rule {
            write!(f, " {rule}")?;
        }
        write!(f, ")")
    }
}

/// What a module said for an explanation.
#[derive(Clone, Debug, Deserialize)]
pub struct AskedNow {
    /// The module.
    pub module: String,
    /// `allow`, `deny` or `next`.
    pub answer: String,
    /// Why it denies.
    pub reason: Option<String>,
    /// Why it gave no answer.
    pub fault: Option<String>,
}

/// `/v1/explain`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// What happens.
    pub applied: Verdict,
    /// What would happen with every policy in mode Enforce.
    pub observed: Verdict,
    /// What modules said when they were asked for this explanation.
    #[serde(default)]
    pub asked_now: Vec<AskedNow>,
    /// Why none was.
    pub not_asked: Option<String>,
    /// What was looked at.
    pub steps: Vec<Step>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Deserialize)]
pub struct Step {
    /// At which point of the decision.
    pub stage: String,
    /// A sentence.
    pub text: String,
    /// Where what it is about is written.
    pub origin: Option<Origin>,
}

/// A place in a file.
#[derive(Clone, Debug, Deserialize)]
pub struct Origin {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

/// One workload of `/v1/workloads`.
#[derive(Clone, Debug, Deserialize)]
pub struct WorkloadRow {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `Observe`, `Enforce` or `unmanaged`.
    pub mode: String,
}
