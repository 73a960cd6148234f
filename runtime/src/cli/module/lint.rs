//! `egret module lint`: what works and is better otherwise.

use std::path::PathBuf;

use egret_contract::Input;
use serde::Serialize;

use super::super::exit::Failure;
use super::super::output::{OutputArg, print};
use super::super::quantity::bytes;
use super::super::{Exit, Output};
use super::load;
use crate::wasm::{Module, folder};

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
    let advice = advice(&module, size);
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

fn render(advice: &[Advice]) -> String {
    if advice.is_empty() {
        return "Nothing to say.\n".to_owned();
    }
    advice.iter().map(|advice| format!("{:<9} {}\n", advice.about, advice.text)).collect()
}
