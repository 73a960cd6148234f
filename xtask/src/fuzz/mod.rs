//! `cargo xtask fuzz`: builds the targets of `tests/fuzz` instrumented, runs each for a while, and says what came of it.
//!
//! Plain libFuzzer, on the compiler that builds everything else: what guides it is code that LLVM adds, which a stable
//! compiler does too; only the sanitizers want a nightly, and there is next to no `unsafe` for them to look at.

mod build;
mod output;
mod run;

use std::process::ExitCode;

use anyhow::{Result, ensure};

use crate::setup;
use run::{Bound, Ran};

/// What to fuzz, and for how long.
#[derive(clap::Args)]
pub struct Options {
    /// Only this target; else all of them, one after the other.
    target: Option<String>,
    /// How long each target runs; 0 runs its seeds and what earlier runs found, and nothing new.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Try this many inputs on each target, the same ones each time, instead.
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    executions: Option<u32>,
    /// Run one input, a crash that was found, instead.
    #[arg(long, value_name = "FILE", requires = "target", conflicts_with_all = ["seconds", "executions"])]
    replay: Option<std::path::PathBuf>,
    /// How to print what came of it.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Exit 0 only where every target ran, guided by coverage, and none crashed.
pub fn task(options: &Options) -> Result<ExitCode> {
    setup::prepare(setup::Need::Test)?;
    let targets = build::targets(options.target.as_deref())?;
    let built = build::build(&targets)?;
    if let Some(input) = &options.replay {
        let status = std::process::Command::new(built.program(&targets[0])).arg(input).status()?;
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let bound = options.executions.map_or(Bound::Seconds(options.seconds), Bound::Executions);
    let mut all = Vec::new();
    for target in targets {
        let ran = run::run(&built, &target, bound)?;
        for crash in &ran.crashes {
            eprintln!(
                "error: {target} crashed. Again: cargo xtask fuzz {target} --replay {}",
                crash.display()
            );
        }
        all.push(ran);
    }
    print(&all, options.output)?;
    let blind: Vec<_> = all.iter().filter(|ran| ran.coverage == 0).map(|ran| ran.target.as_str()).collect();
    ensure!(
        blind.is_empty(),
        "coverage does not guide {}: it was built without its instruments",
        blind.join(", ")
    );
    Ok(if all.iter().all(Ran::is_well) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(all: &[Ran], format: Format) -> Result<()> {
    if format == Format::Json {
        let rows: Vec<_> = all.iter().map(Ran::json).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    let row = |cells: [&str; 6]| {
        let [target, seconds, executions, rate, coverage, crashes] = cells;
        println!("{target:<16}{seconds:>8}{executions:>14}{rate:>10}{coverage:>10}{crashes:>9}");
    };
    row(["TARGET", "SECONDS", "EXECUTIONS", "PER S", "COVERAGE", "CRASHES"]);
    for ran in all {
        let numbers = [ran.seconds, ran.executions, ran.rate(), ran.coverage, ran.crashes.len() as u64];
        let [seconds, executions, rate, coverage, crashes] = numbers.map(|number| number.to_string());
        row([&ran.target, &seconds, &executions, &rate, &coverage, &crashes]);
    }
    Ok(())
}
