//! What the API asks of the agent.

use tokio::sync::broadcast;

use crate::flows::FirstPackets;
use crate::model::{FlowRecord, WorkloadId};

use super::{Dest, FlowFilter, Names, Policies, Status, WorkloadRow};

/// The agent, as the API sees it. Every method but [`Source::explain`] answers from memory and returns at once: it runs on
/// the thread that serves the connection.
pub trait Source: Send + Sync + 'static {
    /// All is well, or what is not.
    fn status(&self) -> Status;

    /// Every workload the agent was told of, covered or not.
    fn workloads(&self) -> Vec<WorkloadRow>;

    /// What the look-ups of `workload`, or of all, gave and is live: at most `most` pairs of a name and an address, by
    /// workload, in each the latest looked-up name first.
    ///
    /// # Errors
    /// [`UnknownWorkload`].
    fn names(&self, workload: Option<&WorkloadId>, most: usize) -> Result<Names, UnknownWorkload>;

    /// The policies in force and the problems of policy files.
    fn policies(&self) -> Policies;

    /// How many first packets there were, by namespace.
    fn first_packets(&self) -> Vec<FirstPackets>;

    /// The records that `filter` admits, in any order.
    fn flows(&self, filter: &FlowFilter) -> Vec<FlowRecord>;

    /// Every record from now on, each time it is made or changes, with its totals so far.
    fn follow(&self) -> broadcast::Receiver<FlowRecord>;

    /// How the policies judge an attempt of `workload`: the steps and both verdicts. It asks modules, aside, and takes
    /// what they take: it runs on a thread of its own, one call at a time.
    ///
    /// # Errors
    /// [`ExplainError`] where there is nothing to judge by.
    fn explain(&self, workload: &WorkloadId, destination: &Dest) -> Result<serde_json::Value, ExplainError>;

    /// Whether every covered workload has its rules in force.
    ///
    /// # Errors
    /// [`NotReady`] says what is waited for.
    fn ready(&self) -> Result<(), NotReady>;
}

/// The agent was never told of this workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this agent knows no workload `{0}`")]
pub struct UnknownWorkload(pub WorkloadId);

/// Why an attempt cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The agent was never told of who tries.
    #[error(transparent)]
    UnknownWorkload(#[from] UnknownWorkload),
    /// The agent knows it and cannot judge; the text says why.
    #[error("{0}")]
    Unavailable(String),
}

/// What the agent waits for before its rules are in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not ready: {0}")]
pub struct NotReady(pub String);
