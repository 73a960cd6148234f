//! `cargo xtask cluster bench`: Egret built optimised, and measured where its users have it.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};

use super::{place::Cluster, status, while_up};
use crate::{cargo, image, setup, test};

/// The exit code is that of the benchmark, which installs Egret itself.
pub fn bench(cluster: &Cluster, options: &[OsString]) -> Result<ExitCode> {
    setup::prepare(setup::Need::Cluster)?;
    let built = cargo().args(["build", "--quiet", "--release", "--bins", "--workspace"]).status()?;
    ensure!(built.success(), "the benchmarks did not build");
    let xtask = test::built("xtask")?;
    let target = xtask.parent().and_then(|profile| profile.parent()).context("no target directory")?;
    let release = target.join("release");
    let archive = release.join("egret-image.tar");
    image::make(&image::default_name(), &archive, false)?;
    let measured = while_up(cluster, || {
        let mut bench = Command::new(release.join("egret-bench"));
        bench.arg("kubernetes").args(options).env("EGRET_CLUSTER", status(cluster).to_string());
        bench.env("EGRET_XTASK", &xtask).env("EGRET_IMAGE", &archive).env("EGRET_BIN", release.join("egret"));
        bench.status().context("egret-bench did not start")
    })?;
    Ok(if measured.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
