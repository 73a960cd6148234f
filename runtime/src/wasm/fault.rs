//! Why a module did not answer.

use std::time::Duration;

/// Why a module did not answer: the exact cause, in one clear line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It did what Wasm forbids, or gave up itself (a panic).
    #[error("the module trapped: {message}, in {place}")]
    Trap {
        /// What it did.
        message: String,
        /// The function it did it in.
        place: String,
    },
    /// It ran out of time.
    #[error("the module took longer than its limit of {} ms ({})", limit.as_millis(), doing)]
    Timeout {
        /// The limit.
        limit: Duration,
        /// What it was to do: `decide`, `configure` or `start`.
        doing: &'static str,
    },
    /// It wanted more memory than it may have.
    #[error("the module wanted more {what} than its limit of {limit}")]
    Memory {
        /// Of what.
        what: &'static str,
        /// The limit, with its unit.
        limit: String,
    },
    /// What it answered, or told the agent, breaks the contract.
    #[error("the module's output is wrong: {0}")]
    BadOutput(String),
    /// It refused the settings, with this text.
    #[error("the module refuses the settings: {0}")]
    Settings(String),
    /// All instances that the agent has room for are in use.
    #[error("no instance can be made: {0}")]
    NoRoom(String),
}

impl Fault {
    /// A word for each cause, for metrics and events.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Trap { .. } => "trap",
            Self::Timeout { .. } => "timeout",
            Self::Memory { .. } => "memory",
            Self::BadOutput(_) => "bad-output",
            Self::Settings(_) => "settings",
            Self::NoRoom(_) => "no-room",
        }
    }
}
