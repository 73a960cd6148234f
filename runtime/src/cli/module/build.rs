//! `egret module build`: from a crate to a `.wasm`.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use egret_module_build::{BuildError, Options};
use serde::Serialize;

use super::super::exit::Failure;
use super::super::output::{OutputArg, print};
use super::super::quantity::bytes;
use super::super::{Exit, Output};
use super::load;
use crate::wasm::{Engine, Grants, Manifest, Module};

const EXAMPLE: &str = "\
Exit codes: 0 built, 1 it does not compile or is no module, 2 there is no crate, 4 no compiler here builds for Wasm.

Example:
  egret module build
  egret module build working-hours --out modules/working-hours.wasm";

/// Build a policy module from its crate, and say what it imports
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// The folder of the crate
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// Where to put the module; else NAME.wasm in the folder of the crate
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArg,
}

/// What was built.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Built {
    file: PathBuf,
    digest: String,
    bytes: usize,
    imports: Vec<&'static str>,
    inputs: Vec<&'static str>,
    seconds: f64,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let start = Instant::now();
    let options = Options { target: None, quiet: args.output.output == Output::Json };
    let built = egret_module_build::build(&args.dir, &options).map_err(failure)?;
    let name = built.name.replace('_', "-");
    let file = args.out.clone().unwrap_or_else(|| args.dir.join(format!("{name}.wasm")));
    let module = check(&load::engine(false)?, &name, &built.component)?;
    fs::write(&file, &built.component)
        .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", file.display())))?;
    let told = Built {
        file,
        digest: module.digest().to_owned(),
        bytes: built.component.len(),
        imports: module.imports(),
        inputs: module.description().inputs.iter().map(|input| input.word()).collect(),
        seconds: start.elapsed().as_secs_f64(),
    };
    match args.output.output {
        Output::Json => load::json(&told)?,
        Output::Table => print(&render(&told))?,
    }
    Ok(Exit::Done)
}

/// It is loaded with every grant: whether it gets them is the operator's business.
fn check(engine: &Engine, name: &str, component: &[u8]) -> Result<std::sync::Arc<Module>, Failure> {
    let manifest =
        Manifest { grants: Grants { log: true, counters: true, clock: true }, ..Manifest::default() };
    engine.load(name, component, &manifest).map_err(|refused| Failure::new(Exit::Failed, refused))
}

fn failure(error: BuildError) -> Failure {
    let exit = match error {
        BuildError::Missing(_) => Exit::Unsupported,
        BuildError::NoCrate(_) | BuildError::NoPlace => Exit::Usage,
        _ => Exit::Failed,
    };
    Failure::new(exit, error)
}

fn render(built: &Built) -> String {
    let words = |words: &[&str]| if words.is_empty() { "nothing".to_owned() } else { words.join(", ") };
    format!(
        "{}: {}, imports {}, depends on {}\nsha256:{}\n",
        built.file.display(),
        bytes(built.bytes as u64),
        words(&built.imports),
        words(&built.inputs),
        built.digest
    )
}
