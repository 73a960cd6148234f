//! `egret module bench`: how many decisions a second.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use egret_contract::cases::{Asked, Cases, Sketch};
use serde::Serialize;

use super::super::exit::Failure;
use super::super::output::{OutputArg, print};
use super::super::table::{Cell, Column, table};
use super::super::{Exit, Output};
use super::load;
use crate::wasm::{Attempt, Compiler, Engine, Manifest, Policy, folder};

const EXAMPLE: &str = "\
One thread asks. `reused`: instances that decided before, as with `reuse` in the manifest. `fresh`: each decision has an
instance of its own, which was ready. `prepared`: making an instance. `loaded`: compiling the module and looking at it.
Exit codes: 0 measured, 1 the module failed, 2 a file cannot be read.

Example:
  egret module bench working-hours.wasm --cases cases.yaml --seconds 2";

/// Measure how many decisions a policy module makes in a second
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// The module, or the folder it was built in
    #[arg(default_value = ".", value_name = "FILE")]
    module: PathBuf,
    /// Takes the settings and attempts of these cases; else cases.yaml beside the module
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// How long each measurement takes
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    seconds: f64,
    #[command(flatten)]
    output: OutputArg,
}

/// One measurement.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    what: &'static str,
    per_second: f64,
    median_microseconds: f64,
    p99_microseconds: f64,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let file = load::wasm(&args.module)?;
    let cases = args.cases.clone().unwrap_or_else(|| file.with_file_name("cases.yaml"));
    let (settings, attempts) = asked(&cases)?;
    let source = folder::read_one(&file).map_err(|problem| Failure::new(Exit::Usage, problem))?;
    let length =
        Duration::try_from_secs_f64(args.seconds.clamp(0.01, 600.0)).unwrap_or(Duration::from_secs(1));
    let engine = load::engine(false)?;
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, error);
    let policy = |reuse| -> Result<Arc<Policy>, Failure> {
        let manifest = Manifest { reuse, ..source.manifest.clone() };
        let module = engine.load("bench", &source.bytes, &manifest).map_err(|refused| failed(&refused))?;
        module.configure(&settings).map_err(|fault| failed(&fault))
    };
    let fresh = policy(1)?;
    let mut lines = vec![
        line("reused", length, &*policy(u32::MAX)?, &attempts)?,
        line("fresh", length, &fresh, &attempts)?,
        prepared(&fresh, length)?,
    ];
    lines.push(compiled(&source.bytes, &source.manifest)?);
    match args.output.output {
        Output::Json => load::json(&lines)?,
        Output::Table => print(&render(&lines))?,
    }
    Ok(Exit::Done)
}

/// The settings and the attempts of all cases that are not about bad settings.
fn asked(path: &std::path::Path) -> Result<(serde_json::Value, Vec<Attempt>), Failure> {
    if !path.exists() {
        return Ok((serde_json::Value::Null, vec![Sketch::default().attempt().into()]));
    }
    let cases = Cases::parse(&load::text(path)?)
        .map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", path.display())))?;
    let usual = cases.cases.iter().filter(|case| case.refused.is_none() && case.settings.is_none());
    let mut attempts: Vec<Attempt> =
        usual.flat_map(|case| cases.steps_of(case)).filter_map(|(asked, _)| attempt(asked)).collect();
    if attempts.is_empty() {
        attempts.push(cases.attempt.attempt().into());
    }
    Ok((cases.settings, attempts))
}

fn attempt(asked: Asked) -> Option<Attempt> {
    match asked {
        Asked::Attempt(attempt) => Some(attempt.into()),
        Asked::DnsAnswer(_) => None,
    }
}

fn line(
    what: &'static str,
    length: Duration,
    policy: &Policy,
    attempts: &[Attempt],
) -> Result<Line, Failure> {
    let failed = |fault| Failure::new(Exit::Failed, fault);
    for attempt in attempts {
        let _ = policy.decide(attempt).map_err(failed)?;
    }
    let start = Instant::now();
    let mut times = Vec::new();
    'enough: loop {
        for attempt in attempts {
            // Making them is measured on its own.
            policy.tidy();
            while policy.ready() == 0 {
                std::thread::yield_now();
            }
            let before = Instant::now();
            let _ = policy.decide(attempt).map_err(failed)?;
            times.push(before.elapsed());
            if start.elapsed() >= length {
                break 'enough;
            }
        }
    }
    Ok(summed(what, times))
}

/// Making instances, one after another.
fn prepared(policy: &Policy, length: Duration) -> Result<Line, Failure> {
    let start = Instant::now();
    let mut times = Vec::new();
    while start.elapsed() < length || times.is_empty() {
        times.push(policy.time_to_prepare().map_err(|fault| Failure::new(Exit::Failed, fault))?);
    }
    Ok(summed("prepared", times))
}

/// Of times that are not empty.
fn summed(what: &'static str, mut times: Vec<Duration>) -> Line {
    times.sort_unstable();
    let in_all: Duration = times.iter().sum();
    let at = |part: usize| micros(times[(times.len() * part / 100).min(times.len() - 1)]);
    Line {
        what,
        per_second: times.len() as f64 / in_all.as_secs_f64(),
        median_microseconds: at(50),
        p99_microseconds: at(99),
    }
}

/// Compiling, once, by the compiler's process.
fn compiled(bytes: &[u8], manifest: &Manifest) -> Result<Line, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, error);
    let engine = Engine::with(None, Compiler::this_program(), false).map_err(|error| failed(&error))?;
    let start = Instant::now();
    engine.load("bench", bytes, manifest).map_err(|refused| failed(&refused))?;
    Ok(summed("loaded", vec![start.elapsed()]))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn render(lines: &[Line]) -> String {
    let column = |title, number| Column { title, width: 0, number };
    let columns = [
        column("WHAT", false),
        column("PER SECOND", true),
        column("MEDIAN µS", true),
        column("P99 µS", true),
    ];
    let rows: Vec<Vec<Cell>> = lines
        .iter()
        .map(|line| {
            let numbers = [
                format!("{:.0}", line.per_second),
                format!("{:.2}", line.median_microseconds),
                format!("{:.2}", line.p99_microseconds),
            ];
            [Cell::plain(line.what)].into_iter().chain(numbers.map(Cell::plain)).collect()
        })
        .collect();
    table(&columns, &rows)
}
