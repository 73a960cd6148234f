//! `cargo xtask bench`: builds the benchmarks optimised, then becomes them.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command, process::ExitCode};

use anyhow::{Context as _, Result, ensure};

use crate::{cargo, require_root, setup, test};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// Which benchmark, and its options: `fastpath --rounds 15 --json FILE`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, default_value = "fastpath")]
    bench: Vec<OsString>,
}

/// Does not come back where the benchmark starts: the exit code is its own.
pub fn task(options: &Options) -> Result<ExitCode> {
    require_root("bench")?;
    setup::prepare(setup::Need::Demo)?;
    let built = cargo().args(["build", "--quiet", "--release", "--package", "egret-bench"]).status()?;
    ensure!(built.success(), "the benchmarks did not build");
    let beside = test::built("xtask")?;
    let target = beside.parent().and_then(|profile| profile.parent()).context("no target directory")?;
    Err(Command::new(target.join("release/egret-bench")).args(&options.bench).exec())
        .context("egret-bench did not start")
}
