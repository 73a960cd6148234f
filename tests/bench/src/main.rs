//! `egret-bench fastpath`: what Egret costs, against nothing at all, the least that could do the same, and nftables.
//! `egret-bench modules`: what policy modules cost, against nothing at all and NFQUEUE.
//! `egret-bench away`: what applications notice while the agent is away.
//! `egret-bench scale`: what a large cluster costs the agent of one node.
//! `egret-bench kubernetes`: how long edits of policies take, and starts of pods, on a real cluster.
//!
//! Every ratio is of two medians from one run: rounds of all that is compared, one after the other, so that whatever
//! else the machine does falls on each alike. In: [`Effort`]. Each case gives its rows; [`report`] makes a table or JSON
//! of them, [`plot`] pictures. `cargo xtask bench` builds this optimised and runs it.

mod answers;
mod away;
mod dns;
mod growth;
mod kubernetes;
mod machine;
mod memory;
mod modules;
mod node;
mod packets;
mod plot;
mod pods;
mod report;
mod scale;
mod updates;
mod yardsticks;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use report::{Group, Report, Row};

#[derive(Parser)]
#[command(name = "egret-bench")]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// The fast path: packets, connections, look-ups, changes of policy, memory
    Fastpath(How<Case>),
    /// Policy modules: connections that wait for one, decisions a second, one decision alone
    Modules(How<modules::Case>),
    /// The agent of one node in a cluster of 5,000
    Scale(How<scale::Case>),
    /// A cluster with Egret installed: run it with `cargo xtask cluster bench`
    Kubernetes(How<kubernetes::Case>),
    /// The node without its agent: killed, stopped, killed over and over, replaced, upgraded, crowded
    Away {
        #[command(flatten)]
        how: How<away::Case>,
        /// For how long
        #[arg(long, default_value_t = 120)]
        seconds: u64,
    },
}

#[derive(Args)]
struct How<C: ValueEnum + Send + Sync + 'static> {
    /// Only this; may be given more than once
    #[arg(long, value_name = "NAME")]
    only: Vec<C>,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// Write a picture of each case into this folder too
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// Rounds; each figure is a median of as many
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// See that everything can be measured, and measure nothing well
    #[arg(long)]
    brief: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// How much to do.
#[derive(Clone, Copy)]
pub struct Effort {
    rounds: usize,
    brief: bool,
}

impl Effort {
    /// Rounds of all that is compared.
    pub fn rounds(self) -> usize {
        if self.brief { 1 } else { self.rounds }
    }

    /// `full`, or `brief` where nothing is to be measured well.
    pub fn pick<T>(self, full: T, brief: T) -> T {
        if self.brief { brief } else { full }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Case {
    /// Nanoseconds per packet, in the kernel
    Packets,
    /// Connections between two pods
    Pods,
    /// Look-ups
    Dns,
    /// Changes of policy
    Updates,
    /// Memory, and what an idle agent does
    Memory,
}

impl Case {
    fn measure(self, effort: Effort) -> Result<Group> {
        let (case, title, rows) = match self {
            Self::Packets => ("packets", "Packets, in the kernel", packets::measure(effort)),
            Self::Pods => ("pods", "Connections from pod to pod, one processor", pods::measure(effort)),
            Self::Dns => ("dns", "Look-ups, learned before they go on, one processor", dns::measure(effort)),
            Self::Updates => {
                ("updates", "Changes of policy, until a packet sees them", updates::measure(effort))
            }
            Self::Memory => ("memory", "An agent with many workloads and names", memory::measure(effort)),
        };
        let rows: Vec<Row> = rows.with_context(|| format!("the case {case}"))?;
        Ok(Group { case, title, rows })
    }
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().bench {
        Bench::Fastpath(how) => run(&how, Case::measure),
        Bench::Modules(how) => run(&how, modules::Case::measure),
        Bench::Scale(how) => run(&how, scale::Case::measure),
        Bench::Kubernetes(how) => run(&how, kubernetes::Case::measure),
        Bench::Away { how, seconds } => {
            run(&how, |case: away::Case, effort: Effort| case.measure(effort, effort.pick(seconds, 5)))
        }
    }
}

/// Measures the cases that are asked for, all where none is, and prints them.
fn run<C: ValueEnum + Send + Sync>(
    how: &How<C>,
    measure: impl Fn(C, Effort) -> Result<Group>,
) -> Result<ExitCode> {
    let cases = if how.only.is_empty() { C::value_variants() } else { &how.only };
    let mut groups = Vec::new();
    for case in cases {
        anstream::eprintln!(
            "· {}",
            case.to_possible_value().map_or_else(String::new, |name| name.get_name().to_owned())
        );
        groups.push(measure(case.clone(), Effort { rounds: how.rounds, brief: how.brief })?);
    }
    let report = Report { machine: machine::Machine::here(), groups };
    match how.output {
        Format::Table => anstream::print!("{}", report::table(&report)),
        Format::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    if let Some(folder) = &how.plots {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        for group in &report.groups {
            fs::write(folder.join(format!("{}.svg", group.case)), plot::bars(group))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
