//! What a restart needs, on disk: which numbers stand for what in the maps that stay in the kernel.
//!
//! `agent` writes a [`Snapshot`] whenever a number is given out, before `enforce` puts it into a map, and reads it at
//! start to adopt the maps. What cannot be read whole is refused ([`StateError`]); the agent then logs why and starts
//! clean. Only [`snapshot`] knows the format.

pub mod file;
pub mod snapshot;

pub use file::{StateError, read, write};
pub use snapshot::{ClassNumber, Damage, NextNumbers, PolicyText, RuleNumber, Snapshot, WorkloadNumber};
