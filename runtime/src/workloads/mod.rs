//! Who is on this node: the workloads that the operator lists, and whose DNS answers each may learn from.
//!
//! In comes the workloads file ([`mod@file`]) and, per workload, what says who its resolvers are ([`resolvers`]). Out go
//! `model` types, or every mistake of the file with its place and what to write instead. Called by `agent` at start
//! and when the file changes.

pub mod file;
pub mod problem;
pub mod resolvers;
mod words;

pub use file::{WorkloadsFile, parse, read};
pub use problem::{Problem, WorkloadsError};
pub use resolvers::{ResolversError, resolvers_of};
