//! Plain tables and frames to judge by, without a kernel: [`world`] holds the tables, [`frame`] builds packets.
//!
//! Used by the tests of this crate and, behind the feature `testing`, by the runtime's agreement tests and the fuzz
//! targets: one picture of the maps, so that it cannot drift apart.
#![allow(missing_docs, reason = "what it builds is named in the words of the tests that read it")]
#![allow(clippy::unwrap_used, reason = "in a test, a panic that names the line is the failure report")]

pub mod frame;
pub mod lessons;
mod longest;
pub mod world;
