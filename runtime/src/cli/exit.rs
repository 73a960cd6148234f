//! How a command ends.

use std::fmt::Display;
use std::process::ExitCode;

use owo_colors::OwoColorize;

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All was done.
    Done = 0,
    /// The check failed, or what was asked about does not exist.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// The agent cannot be reached, or is too busy or too different to answer.
    Unreachable = 3,
    /// A privilege or a feature of the kernel is missing.
    Unsupported = 4,
    /// A new version of a module decides otherwise than the old one.
    Changed = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Whoever read the output has seen enough (`egret flows | head`): nothing to tell.
    ReaderGone,
    /// To be told on standard error.
    Told {
        /// The code to end with.
        exit: Exit,
        /// What is wrong.
        error: String,
        /// What to do about it.
        fix: Option<String>,
    },
}

impl Failure {
    pub fn new(exit: Exit, error: impl Display) -> Self {
        Self::Told { exit, error: error.to_string(), fix: None }
    }

    pub fn with_fix(exit: Exit, error: impl Display, fix: impl Display) -> Self {
        Self::Told { exit, error: error.to_string(), fix: Some(fix.to_string()) }
    }

    /// Tells a person, and says how to end.
    pub fn tell(self) -> Exit {
        let Self::Told { exit, error, fix } = self else { return Exit::Done };
        anstream::eprintln!("{} {error}", "egret:".red().bold());
        if let Some(fix) = fix {
            anstream::eprintln!("{} {fix}", "  fix:".cyan());
        }
        exit
    }
}
