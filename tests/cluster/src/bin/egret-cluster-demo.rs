//! The demo on a real Kubernetes; `cargo xtask cluster demo` prepares all that it needs.

use std::process::ExitCode;

use anyhow::Result;
use egret_tests_cluster::show::{Options, run};

fn main() -> Result<ExitCode> {
    let has = |flag: &str| std::env::args().any(|argument| argument == flag);
    let as_expected = run(Options { json: has("--json"), keep: has("--keep") })?;
    Ok(if as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
