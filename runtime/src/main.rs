//! The `egret` program: see [`egret::cli`].

use std::process::ExitCode;

use egret::agent::{AgentError, Config};

fn main() -> ExitCode {
    egret::cli::main(run)
}

fn run(_: Config) -> Result<(), AgentError> {
    Err(AgentError::Failed("this build of egret has no agent".into()))
}
