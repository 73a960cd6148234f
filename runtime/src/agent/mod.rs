//! The agent: every part wired together.
//!
//! [`run`] is the composition root, to be read from top to bottom. One task owns all that changes ([`reconcile`]); two
//! threads serve the rings of the kernel ([`answers`], [`events`]), some serve packets on hold ([`holds`]), one sends probes ([`probes`]); the API reads what they share ([`node`]).

mod addresses;
mod answers;
mod config;
mod coverage;
mod error;
mod events;
mod explain;
mod holds;
mod lessons;
mod locate;
mod lookups;
mod memory;
mod node;
mod plugin;
mod probes;
mod reconcile;
mod remembered;
mod report;
mod run;
mod settings;
mod source;
mod starts;
mod succession;
mod threads;
mod tighten;
mod traffic;
mod watch;

pub use config::{Config, ConfigErrors, ConfigProblem, DEFAULT_BPFFS, DEFAULT_SOCKET, Inputs};
pub use error::AgentError;
pub use run::run;
pub use settings::Settings;
