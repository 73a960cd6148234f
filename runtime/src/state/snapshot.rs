//! The snapshot and its bytes.
//!
//! A header of 24 bytes (magic, version, checksum, length of the rest; little-endian), then the content in bincode's
//! standard encoding. The checksum covers all of it but itself, so that any cut or changed byte is found.
//!
//! bincode: compact, no schema to keep, and its decoder takes a limit. It has been retired upstream; 2.0.1 is its last
//! real release, pinned for this one format, which no other program reads and which a reboot makes worthless.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::{Deserialize, Serialize};

use crate::model::{PolicyId, WorkloadId};

const MAGIC: [u8; 8] = *b"EGRETMAP";
/// Raised when [`Snapshot`] or anything in it changes: bincode's bytes do not say what they are.
const VERSION: u32 = 3;
const HEADER: usize = 24;
/// The largest content, and the most memory that its decoder claims: room for 4,096 workloads and 100,000 rules.
pub(super) const MAX_CONTENT: usize = 64 << 20;

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

/// Why bytes are not a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Shorter or longer than it says, or than any snapshot is.
    #[error("its length is not what it says")]
    Length,
    /// Another kind of file.
    #[error("it is not a snapshot of Egret")]
    Magic,
    /// Of another format.
    #[error("it has format {0}, and this program reads {VERSION}")]
    Version(u32),
    /// Changed bytes.
    #[error("its checksum is wrong")]
    Checksum,
    /// The right checksum around something else.
    #[error("its content cannot be read: {0}")]
    Content(String),
}

/// Fixed-width numbers: the length of a list cannot claim more than its bytes say.
fn format() -> Configuration<LittleEndian, Fixint, Limit<MAX_CONTENT>> {
    bincode::config::standard().with_fixed_int_encoding().with_limit()
}

impl Snapshot {
    /// The bytes of a file.
    ///
    /// # Errors
    /// [`Damage::Length`] for more than the format holds; [`Damage::Content`] for what bincode cannot write.
    pub fn encode(&self) -> Result<Vec<u8>, Damage> {
        let content = bincode::serde::encode_to_vec(self, format()).map_err(content)?;
        if content.len() > MAX_CONTENT {
            return Err(Damage::Length);
        }
        let length = content.len() as u64;
        let checksum = checksum(VERSION, length, &content);
        Ok([&MAGIC[..], &VERSION.to_le_bytes(), &checksum.to_le_bytes(), &length.to_le_bytes(), &content]
            .concat())
    }

    /// The snapshot in the bytes of a file.
    ///
    /// # Errors
    /// [`Damage`]: no cut or changed byte is taken for a snapshot, and no bytes make it panic or claim more memory
    /// than the format allows.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let (header, content) = bytes.split_first_chunk::<HEADER>().ok_or(Damage::Length)?;
        if header[..8] != MAGIC {
            return Err(Damage::Magic);
        }
        let version = u32_at(header, 8);
        if version != VERSION {
            return Err(Damage::Version(version));
        }
        let length = u64::from(u32_at(header, 16)) | u64::from(u32_at(header, 20)) << 32;
        if length != content.len() as u64 || content.len() > MAX_CONTENT {
            return Err(Damage::Length);
        }
        if u32_at(header, 12) != checksum(version, length, content) {
            return Err(Damage::Checksum);
        }
        let (snapshot, read) = bincode::serde::decode_from_slice(content, format()).map_err(self::content)?;
        if read == content.len() { Ok(snapshot) } else { Err(Damage::Length) }
    }
}

fn checksum(version: u32, length: u64, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&version.to_le_bytes());
    hasher.update(&length.to_le_bytes());
    hasher.update(content);
    hasher.finalize()
}

fn u32_at(header: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

fn content(error: impl std::fmt::Display) -> Damage {
    Damage::Content(error.to_string())
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
pub(super) mod tests;
