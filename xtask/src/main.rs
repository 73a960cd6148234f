//! `cargo xtask setup|demo|test|fuzz|bench|cluster|image|chart`: the tasks of this repository, each of which prepares the machine for itself.

mod bench;
mod chart;
mod cluster;
mod counts;
mod demo;
mod fuzz;
mod helm;
mod image;
mod log;
mod setup;
mod test;
mod vm;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser;

/// The tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Install what building and testing need, and say by which way.
    Setup(setup::Options),
    /// Three applications, their policies, what each may reach: a show in network namespaces. Needs root.
    Demo(demo::Options),
    /// Every test, the end-to-end ones on the real kernel too. Needs root. Ends with `N passed, N failed`.
    Test(test::Options),
    /// Bytes that libFuzzer makes up, guided by coverage, through every parser that faces a workload, the wire or a file.
    Fuzz(fuzz::Options),
    /// What a packet costs, as ratios measured side by side in one run. Needs root.
    Bench(bench::Options),
    /// A real Kubernetes of one node, in a network namespace of its own: up, down, kubectl, status. Needs root.
    Cluster(cluster::Options),
    /// The agent as a container image, made without a container engine. Needs root.
    Image(image::Options),
    /// Lint the Helm chart, and render deploy/egret.yaml of it.
    Chart(chart::Options),
}

fn main() -> ExitCode {
    let ended = match Task::parse() {
        Task::Setup(options) => setup::task(&options),
        Task::Demo(options) => demo::task(&options),
        Task::Test(options) => test::task(&options),
        Task::Fuzz(options) => fuzz::task(&options),
        Task::Bench(options) => bench::task(&options),
        Task::Cluster(options) => cluster::task(&options),
        Task::Image(options) => image::task(&options),
        Task::Chart(options) => chart::task(&options),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// The cargo that runs us, else the one on PATH.
fn cargo() -> std::process::Command {
    std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn require_root(task: &str) -> Result<()> {
    ensure!(
        is_root(),
        "`cargo xtask {task}` needs root: it makes network namespaces and loads eBPF. \
         Try: sudo -E env PATH=\"$PATH\" cargo xtask {task}"
    );
    Ok(())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
