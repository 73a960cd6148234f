//! `egret module run`: one attempt or captured flow, and what the module says to it.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::super::exit::Failure;
use super::super::output::{OutputArg, print};
use super::super::{Exit, Output};
use super::{captured, load};
use crate::wasm::{Answer, Decision, Fault, Measured, Scope};

const EXAMPLE: &str = "\
An attempt is YAML or JSON; what it leaves out is filled in: workload: {namespace, name, labels, serviceAccount, node},
address, port, protocol, names, time. A flow is a line of `egret flows -o json`, or a case of `egret flows --as-case`.
Exit codes: 0 the module answered, 1 it failed, 2 a file cannot be read.

Example:
  egret module run working-hours.wasm --attempt attempt.yaml --settings settings.yaml
  echo '{names: [github.com], port: 22}' | egret module run working-hours.wasm --settings settings.yaml
  egret flows --denied -o json | tail -n 1 | egret module run working-hours.wasm --flow - --settings settings.yaml";

/// Ask a policy module about one attempt, or one captured flow
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// The module, or the folder it was built in
    #[arg(default_value = ".", value_name = "FILE")]
    module: PathBuf,
    /// The attempt or the flow; `-` is standard input
    #[arg(long, visible_alias = "flow", default_value = "-", value_name = "FILE")]
    attempt: PathBuf,
    /// The settings; else those of the case, if it is one, or none
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArg,
}

/// What the module said.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    answer: &'static str,
    reason: Option<String>,
    scope: Scope,
    ttl_seconds: u64,
    /// The agent cut scope or time to what the module's inputs allow.
    capped: bool,
    fuel: Option<u64>,
    microseconds: u64,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let failed = |fault: Fault| Failure::new(Exit::Failed, fault);
    let flow = captured::read_one(&args.attempt)?;
    let given = args.settings.as_deref().map(load::yaml).transpose()?;
    let settings = given.or(flow.settings).unwrap_or_default();
    let module = load::module(&load::engine(true)?, &load::wasm(&args.module)?)?;
    let policy = module.configure(&settings).map_err(failed)?;
    let (decision, measured) = policy.measure(&flow.attempt.attempt().into()).map_err(failed)?;
    let told = told(decision.map_err(failed)?, measured);
    match args.output.output {
        Output::Json => load::json(&told)?,
        Output::Table => print(&render(&told))?,
    }
    Ok(Exit::Done)
}

fn told(decision: Decision, measured: Measured) -> Told {
    let answer = decision.answer.word();
    let reason = match decision.answer {
        Answer::Deny(reason) => Some(reason),
        Answer::Allow | Answer::Next => None,
    };
    Told {
        answer,
        reason,
        scope: decision.scope,
        ttl_seconds: decision.ttl.as_secs(),
        capped: decision.capped,
        fuel: measured.fuel,
        microseconds: u64::try_from(measured.time.as_micros()).unwrap_or(u64::MAX),
    }
}

fn render(told: &Told) -> String {
    let reason = told.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let counts = match told.scope {
        Scope::Flow => "this flow alone".to_owned(),
        Scope::Address => counted(told, "this workload, address, protocol and port"),
        Scope::Name => counted(told, "the application and these names, protocol and port"),
    };
    let capped = if told.capped { "; the module asked for more" } else { "" };
    let fuel = told.fuel.map(|fuel| format!(", {fuel} of fuel")).unwrap_or_default();
    format!("{}{reason}\ncounts for {counts}{capped}\n{} µs{fuel}\n", told.answer, told.microseconds)
}

fn counted(told: &Told, what: &str) -> String {
    format!("{what}, for {:?}", Duration::from_secs(told.ttl_seconds))
}
