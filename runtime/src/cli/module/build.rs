//! `egret module build`: from a folder to a `.wasm`.

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
use crate::wasm::{Engine, Grants, Limits, Manifest, Module};

const EXAMPLE: &str = "\
A folder with a Cargo.toml is a module in Rust, with a pyproject.toml in Python, with a
package.json in JavaScript. componentize-py and componentize-js compile the last two: those of the
folder itself (.venv, node_modules), of PATH, or of `cargo xtask setup`.
Exit codes: 0 built, 1 it does not compile or is no module, 2 there is nothing to build,
4 no compiler here builds it.

Example:
  egret module build
  egret module build working-hours --out modules/working-hours.wasm";

/// Build a policy module from its folder, and say what it imports
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// The folder of the crate, project or package
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// Where to put the module; else NAME.wasm in its folder
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

/// It is loaded with every grant and the most of every limit: whether it gets them is the operator's business.
fn check(engine: &Engine, name: &str, component: &[u8]) -> Result<std::sync::Arc<Module>, Failure> {
    let grants = Grants { log: true, counters: true, clock: true };
    let manifest = Manifest { grants, limits: Limits::MOST, ..Manifest::default() };
    engine.load(name, component, &manifest).map_err(|refused| Failure::new(Exit::Failed, refused))
}

fn failure(error: BuildError) -> Failure {
    let exit = match error {
        BuildError::Missing(_) | BuildError::Absent(_) => Exit::Unsupported,
        BuildError::NoModule(_) | BuildError::Project { .. } | BuildError::NoPlace => Exit::Usage,
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
