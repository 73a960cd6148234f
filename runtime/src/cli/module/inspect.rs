//! `egret module inspect`: what a module says of itself, and what an operator says about it.

use std::path::PathBuf;

use serde::Serialize;

use super::super::exit::Failure;
use super::super::output::{OutputArg, print};
use super::super::quantity::bytes;
use super::super::table::clean;
use super::super::{Exit, Output};
use super::load;
use crate::wasm::{Description, Manifest, Module};

const EXAMPLE: &str = "\
Exit codes: 0 it is a module, 1 it is refused, 2 a file cannot be read.

Example:
  egret module inspect modules/working-hours.wasm
  egret module inspect modules/working-hours.wasm -o json | jq .settings";

/// Show what a policy module is: its contract, imports, inputs, settings, limits and digest
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// The module, or the folder it was built in
    #[arg(default_value = ".", value_name = "FILE")]
    module: PathBuf,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    name: &'a str,
    contract: &'static str,
    digest: String,
    #[serde(flatten)]
    description: &'a Description,
    imports: Vec<&'static str>,
    /// Whether it is told of DNS answers.
    on_answer: bool,
    manifest: &'a Manifest,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let module = load::module(&load::engine(false)?, &load::wasm(&args.module)?)?;
    let told = told(&module);
    match args.output.output {
        Output::Json => load::json(&told)?,
        Output::Table => print(&render(&told))?,
    }
    Ok(Exit::Done)
}

fn told(module: &Module) -> Told<'_> {
    Told {
        name: module.name(),
        contract: "egret:policy/module@0.1",
        digest: format!("sha256:{}", module.digest()),
        description: module.description(),
        imports: module.imports(),
        on_answer: module.is_told_of_answers(),
        manifest: module.manifest(),
    }
}

fn render(told: &Told<'_>) -> String {
    let words = |words: Vec<&str>| if words.is_empty() { "nothing".to_owned() } else { words.join(", ") };
    let Manifest { limits, grants, failure_policy, reuse, .. } = told.manifest;
    let granted = [(grants.log, "log"), (grants.counters, "counters"), (grants.clock, "clock")];
    let granted = granted.into_iter().filter_map(|(granted, word)| granted.then_some(word)).collect();
    let inputs = told.description.inputs.iter().map(|input| input.word()).collect();
    let settings = match &told.description.settings {
        Some(schema) => serde_json::to_string_pretty(schema).unwrap_or_default(),
        None => "none".to_owned(),
    };
    let lines = [
        ("module", format!("{} {}", told.name, told.description.version)),
        ("summary", told.description.summary.clone()),
        ("contract", told.contract.to_owned()),
        ("digest", told.digest.clone()),
        ("depends on", words(inputs)),
        ("imports", words(told.imports.clone())),
        ("answers", if told.on_answer { "is told of DNS answers" } else { "is told of none" }.to_owned()),
        ("granted", words(granted)),
        (
            "limits",
            format!(
                "{} ms, {} of memory, {} of a reason",
                limits.time.as_millis(),
                bytes(limits.memory),
                bytes(limits.output)
            ),
        ),
        ("failing", format!("{failure_policy:?}").to_lowercase()),
        ("reuse", format!("{reuse} decisions of one instance")),
    ];
    let mut text: String =
        lines.iter().map(|(word, value)| format!("{word:<11}{}\n", clean(value))).collect();
    text += "settings\n";
    text.extend(settings.lines().map(|line| format!("  {}\n", clean(line))));
    text
}
