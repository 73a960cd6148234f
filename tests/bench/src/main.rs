//! `egret-bench fastpath`: what a packet, a new flow and an event cost, against the least that could do the same.
//!
//! Every figure is a ratio of two medians from one run: rounds of all programs, one after the other, so that whatever
//! else the machine does falls on each alike. `cargo xtask bench` builds it optimised and runs it.

mod node;
mod packets;
mod report;
mod yardsticks;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "egret-bench")]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// The fast path: nanoseconds per packet, in the kernel
    Fastpath {
        /// Rounds; each figure is a median of as many
        #[arg(long, default_value_t = 15)]
        rounds: usize,
        /// Write the figures to this file too, as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let Bench::Fastpath { rounds, json } = Arguments::parse().bench;
    let rows = packets::measure(rounds)?;
    print!("{}", report::table(&rows));
    if let Some(file) = json {
        std::fs::write(file, serde_json::to_vec_pretty(&rows)?)?;
    }
    Ok(ExitCode::SUCCESS)
}
