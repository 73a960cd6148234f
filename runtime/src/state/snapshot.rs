//! The snapshot: which numbers stand for what in the kernel's maps, and the policies last accepted.

use serde::{Deserialize, Serialize};

use super::Stored;
use crate::model::{PolicyId, WorkloadId};

/// Which numbers stand for what in the kernel's maps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The kernel's boot id: after a reboot no map is left, and the snapshot is worth nothing.
    pub boot_id: String,
    /// Classes of names.
    pub classes: Vec<ClassNumber>,
    /// Rules, as verdicts in the kernel name them.
    pub rules: Vec<RuleNumber>,
    /// Workloads with maps of their own.
    pub workloads: Vec<WorkloadNumber>,
    /// The numbers that were never given out.
    pub next: NextNumbers,
    /// The policy files last accepted, as they were: what is in force where a file is bad at the next start. They
    /// outlive a reboot.
    pub policies: Vec<PolicyText>,
}

/// An accepted policy file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyText {
    /// The file, as problems and origins name it.
    pub file: String,
    /// What it said.
    pub text: String,
}

/// A class of names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassNumber {
    /// Its canonical text: a pattern, or what is left of it under ceilings.
    pub names: String,
    /// Its number.
    pub class: u32,
}

/// The number of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleNumber {
    /// The policy.
    pub policy: PolicyId,
    /// The rule's name, or `allow[0]`.
    pub rule: String,
    /// Its number.
    pub number: u32,
}

/// The place of a workload in the maps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadNumber {
    /// The workload.
    pub id: WorkloadId,
    /// Its index in the arrays of maps.
    pub index: u32,
    /// The host side of its interface pair.
    pub ifindex: u32,
    /// Its epoch when this was written.
    pub epoch: u32,
    /// The fingerprint of the ruleset that was in force in that epoch.
    pub fingerprint: u64,
}

/// The least number of each kind that was never given out: a number of before the restart is never reused for
/// something else while an old entry may still carry it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextNumbers {
    /// Of classes.
    pub class: u32,
    /// Of rules.
    pub rule: u32,
    /// Of rulesets.
    pub ruleset: u32,
    /// Of workload indexes.
    pub workload: u32,
}

impl Stored for Snapshot {
    const WHAT: &'static str = "a snapshot";
    const MAGIC: [u8; 8] = *b"EGRETMAP";
    const VERSION: u32 = 4;
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
pub(super) mod tests;
