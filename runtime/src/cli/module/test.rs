//! `egret module test`: the cases of a module on its `.wasm`, with what each decision took.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use egret_contract::cases::{Asked, Budget, Case, Cases, Expect, Seen};
use owo_colors::{OwoColorize, Style};
use serde::Serialize;

use super::super::exit::Failure;
use super::super::output::{OutputArg, print};
use super::super::quantity::{count, of};
use super::super::table::{Cell, Column, table};
use super::super::{Exit, Output};
use super::load;
use crate::wasm::{Decision, Fault, Measured, Module, Policy};

const EXAMPLE: &str = "\
Exit codes: 0 all cases are answered as they say and within the budget, 1 some are not, 2 a file cannot be read.

Example:
  egret module test
  egret module test working-hours.wasm --cases cases.yaml -o json";

/// Run the cases of a policy module on its .wasm, and say what each decision took
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// The module, or the folder it was built in
    #[arg(default_value = ".", value_name = "FILE")]
    module: PathBuf,
    /// The cases; else cases.yaml beside the module
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArg,
}

/// What became of a case. Of several steps, the numbers are the largest.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    name: String,
    ok: bool,
    /// What was wrong.
    problem: Option<String>,
    fuel: Option<u64>,
    microseconds: Option<u64>,
    memory_kib: Option<u64>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let file = load::wasm(&args.module)?;
    let cases_file = args.cases.clone().unwrap_or_else(|| beside(&file));
    let cases = Cases::parse(&load::text(&cases_file)?)
        .map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", cases_file.display())))?;
    let module = load::module(&load::engine(true)?, &file)?;
    let lines: Vec<Line> = cases.cases.iter().map(|case| line(&module, &cases, case)).collect();
    match args.output.output {
        Output::Json => load::json(&lines)?,
        Output::Table => print(&render(&lines))?,
    }
    Ok(if lines.iter().all(|line| line.ok) { Exit::Done } else { Exit::Failed })
}

fn beside(module: &Path) -> PathBuf {
    module.with_file_name("cases.yaml")
}

fn line(module: &Arc<Module>, cases: &Cases, case: &Case) -> Line {
    module.forget_counters();
    let mut measured = Vec::new();
    let problem = ask(module, cases, case, &mut measured).err();
    let largest = |of: fn(&Measured) -> Option<u64>| measured.iter().filter_map(of).max();
    Line {
        name: case.name.clone(),
        ok: problem.is_none(),
        problem,
        fuel: largest(|measured| measured.fuel),
        microseconds: largest(|measured| u64::try_from(measured.time.as_micros()).ok()),
        memory_kib: largest(|measured| Some(measured.memory >> 10)),
    }
}

/// Asks all that a case asks, in order, until something is wrong.
fn ask(module: &Arc<Module>, cases: &Cases, case: &Case, measured: &mut Vec<Measured>) -> Result<(), String> {
    let policy = match (module.configure(cases.settings_of(case)), &case.refused) {
        (Ok(_), Some(_)) => return Err("the settings were not refused".to_owned()),
        (Err(Fault::Settings(text)), Some(part)) if text.contains(part) => return Ok(()),
        (Err(fault), _) => return Err(fault.to_string()),
        (Ok(policy), None) => policy,
    };
    for (at, (asked, expect)) in cases.steps_of(case).into_iter().enumerate() {
        let step = |why: String| match case.steps.is_empty() {
            true => why,
            false => format!("step {}: {why}", at + 1),
        };
        measured.extend(one(&policy, asked, &expect, &cases.budget).map_err(step)?);
    }
    Ok(())
}

/// What it took, where it is a decision.
fn one(policy: &Policy, asked: Asked, expect: &Expect, budget: &Budget) -> Result<Option<Measured>, String> {
    let attempt = match asked {
        Asked::Attempt(attempt) => attempt.into(),
        Asked::DnsAnswer(answer) => {
            let said = policy.on_answer(&answer.clone().into()).map_err(|fault| fault.to_string())?;
            let said = said.ok_or("the module exports no on-answer, so that it is told of no DNS answers")?;
            return expect.check_opinion(&answer.name, &said).map(|()| None);
        }
    };
    let (decision, measured) = policy.measure(&attempt).map_err(|fault| fault.to_string())?;
    let Decision { answer, scope, ttl, .. } = decision.map_err(|fault| fault.to_string())?;
    let ttl = u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX);
    expect.check(&Seen { answer: &answer, scope, ttl })?;
    within(&measured, budget)?;
    Ok(Some(measured))
}

fn within(measured: &Measured, budget: &Budget) -> Result<(), String> {
    if let (Some(fuel), Some(most)) = (measured.fuel, budget.fuel)
        && fuel > most
    {
        return Err(format!("it took {fuel} of fuel, the budget is {most}"));
    }
    if let Some(most) = budget.milliseconds
        && measured.time > Duration::from_millis(most)
    {
        return Err(format!("it took {} µs, the budget is {most} ms", measured.time.as_micros()));
    }
    match budget.memory_kib {
        Some(most) if measured.memory >> 10 > most => {
            Err(format!("it had {} KiB of memory, the budget is {most}", measured.memory >> 10))
        }
        _ => Ok(()),
    }
}

fn render(lines: &[Line]) -> String {
    let column = |title, number| Column { title, width: 0, number };
    let columns = [
        column("CASE", false),
        column("FUEL", true),
        column("µS", true),
        column("KIB", true),
        column("RESULT", false),
    ];
    let number = |number: Option<u64>| Cell::plain(number.map_or_else(|| "-".to_owned(), count));
    let rows: Vec<Vec<Cell>> = lines
        .iter()
        .map(|line| {
            let result = match &line.problem {
                None => Cell::styled("ok", Style::new().green()),
                Some(problem) => Cell::styled(problem, Style::new().red()),
            };
            let numbers = [line.fuel, line.microseconds, line.memory_kib].map(number);
            [Cell::plain(&line.name)].into_iter().chain(numbers).chain([result]).collect()
        })
        .collect();
    let failed = lines.iter().filter(|line| !line.ok).count() as u64;
    let passed = of(lines.len() as u64 - failed, "case", "cases");
    let end = format!("{passed} passed, {failed} failed");
    let end = if failed == 0 { end.green().to_string() } else { end.red().to_string() };
    format!("{}\n{end}\n", table(&columns, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_that_is_exceeded_fails_the_case() {
        let measured = Measured { fuel: Some(1_000), time: Duration::from_micros(1_500), memory: 2 << 20 };
        let budget = |fuel, milliseconds, memory_kib| Budget { fuel, milliseconds, memory_kib };
        for (budget, told) in [
            (budget(None, None, None), None),
            (budget(Some(1_000), Some(2), Some(2_048)), None),
            (budget(Some(999), None, None), Some("it took 1000 of fuel, the budget is 999")),
            (budget(None, Some(1), None), Some("it took 1500 µs, the budget is 1 ms")),
            (budget(None, None, Some(2_047)), Some("it had 2048 KiB of memory, the budget is 2047")),
        ] {
            assert_eq!(within(&measured, &budget).err().as_deref(), told);
        }
    }
}
