//! `cargo xtask setup`: from what the machine has to what building and testing need.
//!
//! In: [`machine::look`], which looks. [`plan::plan`], pure, makes of it the steps or says why there is no way;
//! [`execute`] runs them. `demo` and `test` call [`prepare`] first, which says nothing where there is nothing to do.

mod execute;
mod languages;
mod machine;
mod plan;
mod sources;
mod step;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use egret_ebpf_build::{choose, probe, tools_dir};

pub use machine::Need;
use step::Step;

/// How far to go.
#[derive(clap::Args)]
pub struct Options {
    /// Install nothing; exit 1 if something is missing.
    #[arg(long)]
    check: bool,
    /// Install nothing; print the commands that would be run.
    #[arg(long)]
    print: bool,
    /// What `cargo xtask cluster` needs: a Kubernetes, built once.
    #[arg(long)]
    cluster: bool,
}

/// `cargo xtask setup` itself: what the tests need, or a cluster, told in full.
pub fn task(options: &Options) -> Result<ExitCode> {
    let machine = machine::look(if options.cluster { Need::Cluster } else { Need::Test });
    println!("Found   {}\n        {}", machine.found.debian, machine.found.nightly);
    for linker in &machine.found.linkers {
        println!("        bpf-linker: {linker}");
    }
    let steps = plan::plan(&machine)?;
    if steps.is_empty() {
        println!("Way     {}\nNothing to install.", choose(&machine.found)?.kind);
        return Ok(ExitCode::SUCCESS);
    }
    println!("Way     {}", plan::way(&machine));
    let tools = tools()?;
    for command in steps.iter().flat_map(|step| step.commands(&tools)) {
        println!("        {command}");
    }
    if options.check || options.print {
        return Ok(if options.check { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    install(&steps)?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the machine ready for another task; quick and silent where it is.
pub fn prepare(need: Need) -> Result<()> {
    let machine = machine::look(need);
    let steps = plan::plan(&machine)?;
    if steps.is_empty() {
        return Ok(());
    }
    eprintln!("Setting up (`cargo xtask setup --print` shows the commands).");
    install(&steps)
}

fn install(steps: &[Step]) -> Result<()> {
    execute::run(steps, &tools()?)?;
    let way = choose(&probe()).context("all was installed, yet it is not enough")?;
    eprintln!("Ready: eBPF is compiled with {}.", way.kind);
    Ok(())
}

fn tools() -> Result<PathBuf> {
    tools_dir().context("neither EGRET_TOOLS nor HOME is set, so there is no place for tools")
}
