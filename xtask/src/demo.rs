//! `cargo xtask demo`: builds the agent and the show, then becomes the show.

use std::{os::unix::process::CommandExt as _, process::Command, process::ExitCode};

use anyhow::{Context as _, Result, ensure};

use crate::{cargo, require_root, setup, test};

/// How to show it.
#[derive(clap::Args)]
pub struct Options {
    /// Print JSON, for machines.
    #[arg(long)]
    json: bool,
    /// Leave everything running, to look at it.
    #[arg(long)]
    keep: bool,
}

/// Does not come back where the show starts: xtask becomes it, so that Ctrl-C and the exit code are the show's own.
pub fn task(options: &Options) -> Result<ExitCode> {
    require_root("demo")?;
    setup::prepare(setup::Need::Demo)?;
    // All of the workspace, as the tests do: with less of it, cargo would build the large crates once more.
    let built = cargo().args(["build", "--quiet", "--bins", "--workspace"]).status()?;
    ensure!(built.success(), "the demo did not build");
    let mut show = Command::new(test::built("egret-demo")?);
    show.args(options.json.then_some("--json")).args(options.keep.then_some("--keep"));
    show.env("EGRET_BIN", test::built("egret")?);
    Err(show.exec()).context("egret-demo did not start")
}
