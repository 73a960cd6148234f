//! What a restart needs, on disk: which numbers stand for what in the maps that stay in the kernel, the policies last
//! accepted, and what workloads looked up.
//!
//! `agent` writes a [`Snapshot`] whenever a number is given out, before `enforce` puts it into a map, and reads it at
//! start to adopt the maps; [`KnownNames`] now and then. What cannot be read whole is refused ([`StateError`]); the agent then
//! logs why and starts without. Only [`sealed`] knows the format.

pub mod file;
pub mod known_names;
pub mod sealed;
pub mod snapshot;

pub use file::{StateError, read, write};
pub use known_names::{KnownName, KnownNames, NamesOf};
pub use sealed::{Damage, Stored};
pub use snapshot::{ClassNumber, NextNumbers, PolicyText, RuleNumber, Snapshot, WorkloadNumber};
