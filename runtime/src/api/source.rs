//! What the API asks of the agent.

use tokio::sync::broadcast;

use crate::model::{FlowRecord, WorkloadId};

use super::{Dest, FlowFilter, Status, WorkloadRow};

/// The agent, as the API sees it. Every method answers from memory and returns at once: it runs on the thread that
/// serves the connection.
pub trait Source: Send + Sync + 'static {
    /// All is well, or what is not.
    fn status(&self) -> Status;

    /// Every workload the agent was told of, covered or not.
    fn workloads(&self) -> Vec<WorkloadRow>;

    /// The records that `filter` admits, in any order.
    fn flows(&self, filter: &FlowFilter) -> Vec<FlowRecord>;

    /// Every record from now on, each time it is made or changes, with its totals so far.
    fn follow(&self) -> broadcast::Receiver<FlowRecord>;

    /// How the policies judge an attempt of `workload`: the steps and both verdicts.
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

/// Why an attempt cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The agent was never told of it.
    #[error("this agent knows no workload `{0}`")]
    UnknownWorkload(WorkloadId),
    /// The agent knows it and cannot judge; the text says why.
    #[error("{0}")]
    Unavailable(String),
}

/// What the agent waits for before its rules are in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not ready: {0}")]
pub struct NotReady(pub String);
