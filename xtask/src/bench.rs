//! `cargo xtask bench`: builds the benchmarks optimised, then becomes them.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command, process::ExitCode};

use anyhow::{Context as _, Result, ensure};

use crate::{cargo, require_root, setup, test};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// Which benchmark, `fastpath`, `modules`, `away` or `scale`, and its options: `fastpath --only packets --output json --plots DIR`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, default_value = "fastpath")]
    bench: Vec<OsString>,
}

/// Does not come back where the benchmark starts: the exit code is its own.
pub fn task(options: &Options) -> Result<ExitCode> {
    require_root("bench")?;
    setup::prepare(setup::Need::Test)?;
    let packages = ["egret", "egret-tests", "egret-bench"].map(|package| ["--package", package]);
    let built =
        cargo().args(["build", "--quiet", "--release", "--bins"]).args(packages.as_flattened()).status()?;
    ensure!(built.success(), "the benchmarks did not build");
    let beside = test::built("xtask")?;
    let target = beside.parent().and_then(|profile| profile.parent()).context("no target directory")?;
    let release = target.join("release");
    let mut bench = Command::new(release.join("egret-bench"));
    bench.args(&options.bench).env("EGRET_BIN", release.join("egret"));
    Err(bench.exec()).context("egret-bench did not start")
}
