//! `egret policy check FILE...`: what is wrong with policy files, before an agent reads them. Needs no agent.

use std::io::{self, Write};
use std::path::PathBuf;

use miette::{GraphicalReportHandler, GraphicalTheme, Report};
use serde::Serialize;

use super::exit::Failure;
use super::output::{OutputArg, print_json};
use super::{Exit, Output};
use crate::policy::{self, CheckResult, Checked, Problem};

const EXAMPLE: &str = "\
Exit codes: 0 all are good, 1 a policy is bad, 2 a file cannot be read.

Example:
  egret policy check policies/*.yaml";

/// Work with policy files; needs no agent
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Tell what is wrong with policy files, with the place and the fix
    #[command(after_help = EXAMPLE)]
    Check {
        /// Policy files, YAML or JSON
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        output: OutputArg,
    },
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let Command::Check { files, output } = &args.command;
    let report = policy::check(files);
    if output.output == Output::Json {
        let lines: Vec<_> = report.files.iter().map(Line::of).collect();
        let json = serde_json::to_vec_pretty(&lines).map_err(|error| Failure::new(Exit::Failed, error))?;
        print_json(&json)?;
    } else {
        for checked in &report.files {
            print(&mut anstream::stdout().lock(), &mut anstream::stderr().lock(), checked)
                .map_err(cannot_write)?;
        }
    }
    Ok(match report.exit_code() {
        0 => Exit::Done,
        1 => Exit::Failed,
        _ => Exit::Usage,
    })
}

fn cannot_write(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::new(Exit::Failed, format!("cannot write the answer: {error}")),
    }
}

fn print(out: &mut impl Write, err: &mut impl Write, checked: &Checked) -> io::Result<()> {
    match &checked.result {
        CheckResult::Good { policies, rules, warnings } => {
            let (policies, rules) =
                (counted(*policies, "policy", "policies"), counted(*rules, "rule", "rules"));
            writeln!(out, "ok  {}: {policies}, {rules}", checked.file)?;
            warnings.iter().try_for_each(|warning| show(err, warning))
        }
        CheckResult::Bad(problems) => problems.iter().try_for_each(|problem| show(err, problem)),
        CheckResult::Unreadable(problem) => show(err, problem),
    }
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The line at fault, underlined, with reason and fix. Colours are written always and taken out by the stream where
/// it is no terminal.
fn show(err: &mut impl Write, problem: &Problem) -> io::Result<()> {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode()).with_context_lines(1);
    let mut problem = problem.clone();
    if problem.line == 0 {
        // Without a line to show, nothing else names the file.
        problem.reason = format!("{}: {}", problem.file, problem.reason);
    }
    let mut text = String::new();
    let report = Report::new(problem);
    handler.render_report(&mut text, report.as_ref()).map_err(io::Error::other)?;
    writeln!(err, "{}", text.trim_end())
}

/// A file in JSON.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    ok: bool,
    policies: usize,
    rules: usize,
    problems: &'a [Problem],
    warnings: &'a [Problem],
}

impl<'a> Line<'a> {
    fn of(checked: &'a Checked) -> Self {
        let bad =
            Self { file: &checked.file, ok: false, policies: 0, rules: 0, problems: &[], warnings: &[] };
        match &checked.result {
            CheckResult::Good { policies, rules, warnings } => {
                Self { ok: true, policies: *policies, rules: *rules, warnings, ..bad }
            }
            CheckResult::Bad(problems) => Self { problems, ..bad },
            CheckResult::Unreadable(problem) => Self { problems: std::slice::from_ref(problem), ..bad },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(path: &str) -> (String, String) {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/policies")).join(path);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        for checked in &policy::check(&[path]).files {
            let mut err = anstream::StripStream::new(&mut err);
            print(&mut out, &mut err, checked).expect("written");
        }
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (text(out), text(err))
    }

    #[test]
    fn a_good_file_is_one_line_with_its_counts() {
        let (out, err) = printed("good/updates.yaml");
        assert!(out.ends_with("good/updates.yaml: 1 policy, 1 rule\n") && out.starts_with("ok  "), "{out}");
        assert_eq!(err, "");
    }

    #[test]
    fn a_bad_file_shows_the_line_the_reason_and_the_fix() {
        let (out, err) = printed("bad/host-bits.yaml");
        assert_eq!(out, "");
        for part in
            ["host-bits.yaml:9:17", "- to: [{cidr: 10.1.2.3/8}]", "bits set beyond", "write `10.0.0.0/8`"]
        {
            assert!(err.contains(part), "{part} is not in:\n{err}");
        }
    }

    #[test]
    fn a_place_that_the_parser_tells_by_line_and_column_only_is_shown_too() {
        let (_, err) = printed("bad/tab.yaml");
        assert!(err.contains("tab.yaml:5:2") && err.contains("mode: Enforce"), "{err}");
    }

    #[test]
    fn a_missing_file_is_named_with_the_reason() {
        let (_, err) = printed("none.yaml");
        assert!(err.contains("none.yaml: ") && err.contains("No such file"), "{err}");
    }

    #[test]
    fn json_has_an_entry_for_each_file() {
        let path =
            PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/policies/bad/host-bits.yaml"));
        let report = policy::check(&[path]);
        let line = serde_json::to_value(Line::of(&report.files[0])).expect("JSON");
        assert_eq!(
            (&line["ok"], &line["problems"][0]["line"], &line["problems"][0]["column"]),
            (&false.into(), &9.into(), &17.into())
        );
        let mut keys: Vec<_> = line["problems"][0].as_object().expect("an object").keys().cloned().collect();
        keys.sort();
        assert_eq!(keys, ["column", "file", "fix", "line", "reason"]);
    }
}
