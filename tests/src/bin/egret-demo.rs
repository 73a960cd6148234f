//! The demo: three applications, their policies, a small node and a small internet. Needs root, and nothing else.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use egret_tests::demo::{Options, run};

/// Shows three applications and what their egress policies do, with real packets between network namespaces.
#[derive(Parser)]
struct Arguments {
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
    /// Leave everything running, and say how to look at it, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

fn main() -> Result<ExitCode> {
    let Arguments { json, keep } = Arguments::parse();
    let as_expected = run(Options { json, keep })?;
    Ok(if as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
