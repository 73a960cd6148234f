//! Why an agent cannot run.

use std::error::Error;

/// Why the agent did not start, or stopped of itself.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A privilege or a feature of the kernel is missing.
    #[error("{missing}")]
    Unsupported {
        /// What is missing.
        missing: String,
        /// What to do about it.
        fix: String,
    },
    /// Anything else.
    #[error(transparent)]
    Failed(#[from] Box<dyn Error + Send + Sync>),
}
