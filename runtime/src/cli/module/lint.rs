//! `egret module lint`: what works and is better otherwise.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use egret_contract::Input;
use egret_contract::cases::{Asked, Case, Cases};
use serde::Serialize;

use super::super::exit::Failure;
use super::super::output::{OutputArg, print};
use super::super::quantity::bytes;
use super::super::{Exit, Output};
use super::load;
use crate::wasm::{Attempt, Decision, DnsAnswer, Module, Opinion, Who, folder};

const EXAMPLE: &str = "\
Exit codes: 0 nothing to say, 1 something is better otherwise, or the module is refused, 2 a file cannot be read.

Example:
  egret module lint modules/working-hours.wasm";

/// Say what of a policy module works and is better otherwise
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// The module, or the folder it was built in
    #[arg(default_value = ".", value_name = "FILE")]
    module: PathBuf,
    /// Cases, which tell what decisions depend on; else cases.yaml beside the module, if it is there
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArg,
}

/// One thing that is better otherwise.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Advice {
    about: &'static str,
    text: String,
}

/// A module of this size is compiled in seconds, not milliseconds.
const LARGE: usize = 4 << 20;

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let file = load::wasm(&args.module)?;
    let size = folder::read_one(&file).map(|source| source.bytes.len()).unwrap_or(0);
    let module = load::module(&load::engine(false)?, &file)?;
    let mut advice = advice(&module, size);
    let cases = args.cases.clone().unwrap_or_else(|| file.with_file_name("cases.yaml"));
    if args.cases.is_some() || cases.exists() {
        let told = Cases::parse(&load::text(&cases)?);
        let told =
            told.map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", cases.display())))?;
        advice.extend(unused(&module, &told).into_iter().map(|input| Advice {
            about: "inputs",
            text: format!("no case's answer depends on `{}`: take it out, or add a case", input.word()),
        }));
    }
    match args.output.output {
        Output::Json => load::json(&advice)?,
        Output::Table => print(&render(&advice))?,
    }
    Ok(if advice.is_empty() { Exit::Done } else { Exit::Failed })
}

fn advice(module: &Module, size: usize) -> Vec<Advice> {
    let description = module.description();
    let grants = module.manifest().grants;
    let imports = module.imports();
    let mut all = Vec::new();
    let mut say = |about, text: String| all.push(Advice { about, text });
    if description.summary.is_empty() {
        say("summary", "it has no summary: write a `description` in its Cargo.toml".to_owned());
    }
    if description.settings.is_none() {
        say(
            "settings",
            "it carries no schema of its settings, so a mistake in them is found late".to_owned(),
        );
    }
    if description.inputs.contains(&Input::Counters) && !imports.contains(&"counters") {
        let text =
            "it declares the input `counters` and never counts: its verdicts are asked for at each flow";
        say("inputs", text.to_owned());
    }
    if description.inputs.is_empty() {
        say("inputs", "it depends on nothing, so it answers the same to everything".to_owned());
    }
    for (granted, word) in [(grants.log, "log"), (grants.counters, "counters"), (grants.clock, "clock")] {
        if granted && !imports.contains(&word) {
            say("grants", format!("it was granted {word} and does not import it"));
        }
    }
    if imports.contains(&"wasi") {
        say("imports", "it imports WASI, of which it gets an empty one".to_owned());
    }
    if size > LARGE {
        say("size", format!("it has {}; compiling it takes long", bytes(size as u64)));
    }
    if module.manifest().digest.is_none() {
        let text = format!("its manifest says no digest: `digest: sha256:{}`", module.digest());
        say("digest", text);
    }
    all
}

/// The inputs that are declared, and without which every case is answered as it is with them. Counters are left out: what
/// is counted cannot be taken away.
fn unused(module: &Arc<Module>, cases: &Cases) -> Vec<Input> {
    let answers = |without: Option<Input>| -> Vec<Vec<Option<Said>>> {
        cases.cases.iter().map(|case| answers(module, cases, case, without)).collect()
    };
    let usual = answers(None);
    let declared = module.description().inputs.iter().copied().filter(|input| *input != Input::Counters);
    declared.filter(|input| answers(Some(*input)) == usual).collect()
}

fn answers(module: &Arc<Module>, cases: &Cases, case: &Case, without: Option<Input>) -> Vec<Option<Said>> {
    module.forget_counters();
    let Ok(policy) = module.configure(cases.settings_of(case)) else { return Vec::new() };
    let asked = cases.steps_of(case).into_iter();
    asked
        .map(|(asked, _)| match asked {
            Asked::Attempt(attempt) => {
                policy.decide(&blanked(attempt.into(), without)).ok().map(Said::Decision)
            }
            Asked::DnsAnswer(answer) => {
                policy.on_answer(&blanked_answer(answer.into(), without)).ok().flatten().map(Said::Opinion)
            }
        })
        .collect()
}

#[derive(PartialEq)]
enum Said {
    Decision(Decision),
    Opinion(Opinion),
}

fn blanked_answer(mut answer: DnsAnswer, input: Option<Input>) -> DnsAnswer {
    match input {
        Some(Input::Workload) => answer.workload = Arc::new(Who::default()),
        Some(Input::Address) => answer.addresses.clear(),
        Some(Input::Names) => answer.name.clear(),
        Some(Input::Time) => answer.time = 0,
        Some(Input::Port | Input::Counters) | None => {}
    }
    answer
}

fn blanked(mut attempt: Attempt, input: Option<Input>) -> Attempt {
    let to = &mut attempt.destination;
    match input {
        Some(Input::Workload) => attempt.workload = Arc::new(Who::default()),
        Some(Input::Address) => to.address = IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Some(Input::Names) => to.names.clear(),
        Some(Input::Port) => (to.port, to.protocol) = (0, 0),
        Some(Input::Time) => attempt.time = 0,
        Some(Input::Counters) | None => {}
    }
    attempt
}

fn render(advice: &[Advice]) -> String {
    if advice.is_empty() {
        return "Nothing to say.\n".to_owned();
    }
    advice.iter().map(|advice| format!("{:<9} {}\n", advice.about, advice.text)).collect()
}
