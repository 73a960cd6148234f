//! The agent: every part wired together.

mod config;
mod error;

pub use config::{Config, ConfigErrors, ConfigProblem, DEFAULT_SOCKET, Settings};
pub use error::AgentError;
