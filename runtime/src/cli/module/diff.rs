//! `egret module diff`: what a new version of a module would decide otherwise, of flows that were captured.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use egret_contract::cases::Sketch;
use owo_colors::{OwoColorize, Style};
use serde::Serialize;
use serde_json::Value;

use super::super::exit::Failure;
use super::super::output::{OutputArg, print};
use super::super::quantity::of;
use super::super::table::{Cell, Column, table};
use super::super::{Exit, Output};
use super::captured::{self, Captured};
use super::load;
use crate::wasm::{Answer, Decision, Engine, Module, Policy, Scope};

const EXAMPLE: &str = "\
Flows are lines of `egret flows -o json`, or a file of cases, of which the attempts count and not what they expect. Both
versions are asked about each, in the order of the file; each keeps counters of its own, and has the manifest beside it.
A flow changes where its answer changes, or for what else or how long that counts.
Exit codes: 0 nothing changes, 5 something changes, 1 a module cannot be loaded, or neither version answers some flow,
2 a file cannot be read.

Example:
  egret flows -o json > flows.json
  egret module diff working-hours.wasm new/working-hours.wasm --flows flows.json --settings settings.yaml";

/// The settings where there are none.
const NONE: &Value = &Value::Null;

/// Say what a new version of a policy module would decide otherwise, of flows that were captured
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// The version in use, or the folder it was built in
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The new version, or the folder it was built in
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// The flows, or cases; `-` is standard input
    #[arg(long, value_name = "FILE")]
    flows: PathBuf,
    /// The settings of both versions; else those of the cases, or none
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The settings of the new version, where it takes others
    #[arg(long, value_name = "FILE")]
    new_settings: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArg,
}

/// One version, with what settings make of it.
struct Version {
    module: Arc<Module>,
    /// In place of those that come with a flow.
    settings: Option<Value>,
    configured: HashMap<String, Result<Arc<Policy>, String>>,
}

/// What a version says of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Said {
    Answer(Told),
    Fault { fault: String },
}

/// An answer, and for what it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    answer: &'static str,
    reason: Option<String>,
    scope: Scope,
    ttl_seconds: u64,
}

/// A flow that changes, or that neither version answers.
#[derive(Debug, Serialize)]
struct Row {
    flow: String,
    attempt: Sketch,
    changes: bool,
    from: Said,
    to: Said,
}

/// What came of all of them.
#[derive(Debug, Serialize)]
struct Report {
    /// How many flows there are.
    flows: usize,
    /// How many change.
    changed: usize,
    /// How many neither version answers, for the same reason.
    unanswered: usize,
    rows: Vec<Row>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let flows = captured::read(&args.flows)?;
    let settings = |path: &Option<PathBuf>| path.as_deref().map(load::yaml::<Value>).transpose();
    let of_both = settings(&args.settings)?;
    let of_new = settings(&args.new_settings)?.or_else(|| of_both.clone());
    let engine = load::engine(false)?;
    let mut old = Version::load(&engine, &args.old, of_both)?;
    let mut new = Version::load(&engine, &args.new, of_new)?;
    let report = compare(flows, |flow| (old.ask(flow), new.ask(flow)));
    match args.output.output {
        Output::Json => load::json(&report)?,
        Output::Table => print(&render(&report))?,
    }
    Ok(match (report.changed, report.unanswered) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Failed,
        _ => Exit::Changed,
    })
}

impl Version {
    fn load(engine: &Engine, path: &Path, settings: Option<Value>) -> Result<Self, Failure> {
        let module = load::module(engine, &load::wasm(path)?)?;
        Ok(Self { module, settings, configured: HashMap::new() })
    }

    fn ask(&mut self, flow: &Captured) -> Said {
        let settings = self.settings.as_ref().or(flow.settings.as_ref()).unwrap_or(NONE);
        let module = &self.module;
        let policy = self
            .configured
            .entry(settings.to_string())
            .or_insert_with(|| module.configure(settings).map_err(|fault| fault.to_string()));
        let decision = policy.as_ref().map_err(Clone::clone).and_then(|policy| {
            policy.decide(&flow.attempt.attempt().into()).map_err(|fault| fault.to_string())
        });
        decision.map_or_else(|fault| Said::Fault { fault }, Said::from)
    }
}

impl From<Decision> for Said {
    fn from(decision: Decision) -> Self {
        let answer = decision.answer.word();
        let reason = match decision.answer {
            Answer::Deny(reason) => Some(reason),
            Answer::Allow | Answer::Next => None,
        };
        let (scope, ttl_seconds) = (decision.scope, decision.ttl.as_secs());
        Self::Answer(Told { answer, reason, scope, ttl_seconds })
    }
}

impl Said {
    /// Whether it comes to the same. Another reason for the same answer is no change; another fault is one.
    fn is_same(&self, other: &Self) -> bool {
        let counted = |told: &Told| (told.answer, told.scope, told.ttl_seconds);
        match (self, other) {
            (Self::Answer(one), Self::Answer(other)) => counted(one) == counted(other),
            _ => self == other,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Answer(told) => told.answer,
            Self::Fault { .. } => "fault",
        }
    }

    /// In one line, for a person.
    fn text(&self) -> String {
        let told = match self {
            Self::Fault { fault } => return format!("fault: {fault}"),
            Self::Answer(told) => told,
        };
        let counts = match told.scope {
            Scope::Flow => String::new(),
            Scope::Address => format!(" by address for {} s", told.ttl_seconds),
            Scope::Name => format!(" by name for {} s", told.ttl_seconds),
        };
        let reason = told.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("{}{counts}{reason}", told.answer)
    }
}

fn compare(flows: Vec<Captured>, mut ask: impl FnMut(&Captured) -> (Said, Said)) -> Report {
    let mut report = Report { flows: flows.len(), changed: 0, unanswered: 0, rows: Vec::new() };
    for flow in flows {
        let (from, to) = ask(&flow);
        let changes = !from.is_same(&to);
        match (changes, &from) {
            (true, _) => report.changed += 1,
            (false, Said::Fault { .. }) => report.unanswered += 1,
            (false, Said::Answer(_)) => continue,
        }
        report.rows.push(Row { flow: flow.name, attempt: flow.attempt, changes, from, to });
    }
    report
}

fn render(report: &Report) -> String {
    let column = |title| Column { title, width: 0, number: false };
    let columns = [column("FLOW"), column("FROM"), column("TO")];
    let cell = |said: &Said| Cell::styled(said.text(), style(said));
    let rows: Vec<Vec<Cell>> =
        report.rows.iter().map(|row| vec![Cell::plain(&row.flow), cell(&row.from), cell(&row.to)]).collect();
    let listed = if rows.is_empty() { String::new() } else { format!("{}\n", table(&columns, &rows)) };
    format!("{listed}{}\n", summary(report).bold())
}

fn style(said: &Said) -> Style {
    match said.word() {
        "allow" => Style::new().green(),
        "next" => Style::new(),
        _ => Style::new().red(),
    }
}

/// `2 of 7 flows change: 1 next -> deny, 1 deny -> deny`.
fn summary(report: &Report) -> String {
    let all = of(report.flows as u64, "flow", "flows");
    let mut text = match report.changed {
        0 => format!("none of {all} changes"),
        1 => format!("1 of {all} changes: "),
        many => format!("{many} of {all} change: "),
    };
    let mut turns: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for row in report.rows.iter().filter(|row| row.changes) {
        *turns.entry((row.from.word(), row.to.word())).or_default() += 1;
    }
    let turns: Vec<_> =
        turns.into_iter().map(|((from, to), count)| format!("{count} {from} -> {to}")).collect();
    text += &turns.join(", ");
    if report.unanswered > 0 {
        text += &format!("; neither version answers {}", of(report.unanswered as u64, "flow", "flows"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answer: &'static str, reason: Option<&str>, scope: Scope, ttl_seconds: u64) -> Said {
        Said::Answer(Told { answer, reason: reason.map(Into::into), scope, ttl_seconds })
    }

    fn report(pairs: Vec<(Said, Said)>) -> Report {
        let flow = |at: usize| Captured {
            name: format!("shop/web to 192.0.2.{at}:443/TCP"),
            settings: None,
            attempt: Sketch::default(),
        };
        let flows = (0..pairs.len()).map(flow).collect();
        let mut pairs = pairs.into_iter();
        compare(flows, |_| pairs.next().expect("a pair for each flow"))
    }

    #[test]
    fn what_counts_otherwise_changes_and_what_is_only_said_otherwise_does_not() {
        let next = || told("next", None, Scope::Flow, 0);
        let denied = |reason, ttl| told("deny", Some(reason), Scope::Address, ttl);
        let fault = |text: &str| Said::Fault { fault: text.into() };
        let report = report(vec![
            (next(), next()),
            (next(), denied("closed", 60)),
            (denied("closed", 60), denied("shut", 60)),
            (denied("closed", 60), denied("closed", 300)),
            (denied("a", 60), told("deny", Some("a"), Scope::Name, 60)),
            (fault("trapped"), next()),
            (fault("trapped"), fault("slow")),
            (fault("trapped"), fault("trapped")),
        ]);
        assert_eq!((report.flows, report.changed, report.unanswered), (8, 5, 1));
        let text = anstream::adapter::strip_str(&render(&report)).to_string();
        let expected = "\
FLOW                           FROM                              TO
shop/web to 192.0.2.1:443/TCP  next                              deny by address for 60 s: closed
shop/web to 192.0.2.3:443/TCP  deny by address for 60 s: closed  deny by address for 300 s: closed
shop/web to 192.0.2.4:443/TCP  deny by address for 60 s: a       deny by name for 60 s: a
shop/web to 192.0.2.5:443/TCP  fault: trapped                    next
shop/web to 192.0.2.6:443/TCP  fault: trapped                    fault: slow
shop/web to 192.0.2.7:443/TCP  fault: trapped                    fault: trapped

5 of 8 flows change: 2 deny -> deny, 1 fault -> fault, 1 fault -> next, 1 next -> deny; neither version answers 1 flow
";
        assert_eq!(text, expected);
    }

    #[test]
    fn where_nothing_changes_there_is_no_table() {
        let next = || told("next", None, Scope::Flow, 0);
        let text = render(&report(vec![(next(), next())]));
        assert_eq!(anstream::adapter::strip_str(&text).to_string(), "none of 1 flow changes\n");
    }
}
