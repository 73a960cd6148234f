//! `egret status`: is all well, and if not, what is not.

use std::fmt::Write as _;

use owo_colors::OwoColorize;

use crate::api::{PolicyProblem, Status, WorkloadTotals};

use super::Exit;
use super::client::SocketArg;
use super::exit::Failure;
use super::output::{OutputArg, show};
use super::quantity::of;
use super::table::clean;

/// Say whether all is well on this node, and if not, what is not
#[derive(clap::Args)]
#[command(after_help = "Example:\n  egret status -o json | jq .workloads.notCovered")]
pub(super) struct Args {
    #[command(flatten)]
    output: OutputArg,
    #[command(flatten)]
    socket: SocketArg,
}

pub(super) async fn run(args: Args) -> Result<Exit, Failure> {
    let answer = args.socket.client().get("/v1/status").await?;
    show(args.output.output, &answer, render)
}

fn render(status: &Status) -> String {
    let problems = problems(&status.policies.problems);
    [headline(status), not_covered(status), at_sockets(status), problems, totals(status)].concat()
}

/// One line that answers the question.
fn headline(status: &Status) -> String {
    let (policies, workloads) = (&status.policies, &status.workloads);
    let mut wrong = Vec::new();
    if !status.ready {
        wrong.push("the agent is not ready yet".to_owned());
    }
    if !workloads.not_covered.is_empty() {
        wrong.push(of(
            workloads.not_covered.len() as u64,
            "workload is not covered",
            "workloads are not covered",
        ));
    }
    if !policies.problems.is_empty() {
        wrong.push(of(policies.problems.len() as u64, "problem in policy files", "problems in policy files"));
    }
    if !wrong.is_empty() {
        return format!("{} {}.\n", "Not all is well:".red().bold(), wrong.join(", "));
    }
    if workloads.total == 0 {
        return format!("{} no workload is known, so nothing is filtered.\n", "Idle:".yellow().bold());
    }
    let (covered, accepted) = (
        of(workloads.covered, "workload covered", "workloads covered"),
        of(policies.accepted, "policy in force", "policies in force"),
    );
    let at_sockets = match workloads.sockets.len() {
        0 => String::new(),
        many => format!("{many} at sockets, "),
    };
    format!("{} {covered}, {at_sockets}{accepted}.\n", "All is well:".green().bold())
}

fn not_covered(status: &Status) -> String {
    let gaps = status.workloads.not_covered.iter();
    gaps_of(gaps.map(|gap| (format!("{}/{}", gap.namespace, gap.name), gap.reason.as_str())))
}

/// Which workloads are not covered, and why; nothing where all are.
pub(super) fn gaps_of<'a>(gaps: impl Iterator<Item = (String, &'a str)>) -> String {
    let mut text = String::new();
    for (id, reason) in gaps {
        if text.is_empty() {
            text = format!("\n{}\n", "Not covered, so what these send may pass unfiltered:".red());
        }
        let _ = writeln!(text, "  {}: {}", clean(&id).bold(), clean(reason));
    }
    text
}

fn at_sockets(status: &Status) -> String {
    let workloads = status.workloads.sockets.iter();
    unseen_of(workloads.map(|at| (format!("{}/{}", at.namespace, at.name), at.unseen.as_str())))
}

/// Which workloads are judged at their sockets, and what is not seen there; nothing where none is.
pub(super) fn unseen_of<'a>(workloads: impl Iterator<Item = (String, &'a str)>) -> String {
    let mut text = String::new();
    for (id, unseen) in workloads {
        if text.is_empty() {
            text = format!("\n{}\n", "In the node's own network, judged at their sockets:".yellow());
        }
        let _ = writeln!(text, "  {}: {}", clean(&id).bold(), clean(unseen));
    }
    text
}

/// What was refused of policy files; nothing where all was accepted.
pub(super) fn problems(problems: &[PolicyProblem]) -> String {
    let mut text = String::new();
    for problem in problems {
        if text.is_empty() {
            text = format!("\n{}\n", "Refused policies; what was read well before stays in force:".red());
        }
        let _ = writeln!(text, "  {}: {}", clean(&place(problem)).bold(), clean(&problem.reason));
        if let Some(fix) = &problem.fix {
            let _ = writeln!(text, "    {} {}", "fix:".cyan(), clean(fix));
        }
    }
    text
}

fn place(problem: &PolicyProblem) -> String {
    match (&problem.path, problem.line, problem.column) {
        (Some(path), ..) => format!("{}: {path}", problem.file),
        (None, 0, _) => problem.file.clone(),
        (None, line, 0) => format!("{}:{line}", problem.file),
        (None, line, column) => format!("{}:{line}:{column}", problem.file),
    }
}

fn counted(workloads: &WorkloadTotals) -> String {
    let WorkloadTotals { total, covered, sockets, .. } = workloads;
    let at_sockets =
        if sockets.is_empty() { String::new() } else { format!(", {} at sockets", sockets.len()) };
    format!("{covered} of {total} covered{at_sockets}")
}

fn totals(status: &Status) -> String {
    let (workloads, policies) = (&status.workloads, &status.policies);
    let resolvers: Vec<_> = status.resolvers.iter().map(ToString::to_string).collect();
    let mut lines = vec![
        ("agent", format!("{} on {}, since {:.0}", status.version, status.node, status.since)),
        ("kernel", format!("{}, tier {}, door {}", status.kernel, status.tier, status.door)),
        ("workloads", counted(workloads)),
        ("policies", format!("{} in force, {} refused", policies.accepted, policies.problems.len())),
        (
            "resolvers",
            if resolvers.is_empty() { "each workload's own".to_owned() } else { resolvers.join(", ") },
        ),
        ("socket", status.api.socket.clone()),
    ];
    if let Some(address) = status.api.address {
        lines.push(("api", format!("http://{address}")));
    }
    if let Some(address) = status.api.metrics {
        lines.push(("metrics", format!("http://{address}/metrics")));
    }
    let mut text = "\n".to_owned();
    for (title, line) in lines {
        let _ = writeln!(text, "{title:<11}{}", clean(&line));
    }
    let counters = status.counters.iter().filter(|(_, count)| **count > 0);
    for (index, (name, count)) in counters.enumerate() {
        let _ = writeln!(text, "{:<11}{} {count}", if index == 0 { "counters" } else { "" }, clean(name));
    }
    text
}
