//! What an agent needs of this machine: looked at, tried out, and told line by line with what to do.
//!
//! In: where the agent would pin its programs. Out: [`Finding`]s, in an order in which each makes sense of the next.
//! [`probe`] finds facts, [`trial`] tries what only trying tells, and [`judge`] words them without looking at anything.
//! Called by `egret doctor`; the agent itself checks less, at its start (`preflight`).

mod judge;
mod probe;
mod trial;

use std::path::Path;

use serde::Serialize;

pub use judge::judge;
pub use probe::{Bpffs, Facts};
pub use trial::{Trial, Tried};

/// One line of the diagnosis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// What came of it.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it must be.
    Ok,
    /// An agent runs with it; still, someone should know.
    Note,
    /// Not there, and without it no agent runs.
    Missing,
    /// Could not be looked at, for the lack of something that is missing.
    Unknown,
}

impl Finding {
    /// All is as it must be.
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, state: State::Ok, found: found.into(), fix: None }
    }

    /// To be known.
    pub fn note(check: &'static str, found: impl Into<String>, fix: Option<String>) -> Self {
        Self { check, state: State::Note, found: found.into(), fix }
    }

    /// Missing, and what to do.
    pub fn missing(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, state: State::Missing, found: found.into(), fix: Some(fix.into()) }
    }
}

/// Looks at this machine, for an agent that would pin its programs in `bpffs`. Changes nothing: what is tried out goes
/// away with the trial.
#[must_use]
pub fn examine(bpffs: &Path) -> Vec<Finding> {
    judge(&probe::probe(bpffs))
}
