//! What the commands have in common: a module from its file, with the manifest beside it; YAML from a file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::Exit;
use super::super::exit::Failure;
use super::super::output::print_json;
use crate::wasm::{Compiler, Engine, EngineError, Module, folder};

/// The most bytes of a file of settings, an attempt or cases.
const MAX_TEXT: u64 = 1 << 20;

/// An engine; one that counts the work of modules where `counts_work` says so. What it compiles is kept for the next
/// command, where there is a folder for that: an interpreter takes ten seconds.
pub(super) fn engine(counts_work: bool) -> Result<Engine, Failure> {
    let with = |cache: Option<&Path>| Engine::with(cache, Compiler::this_program(), counts_work);
    let engine = with(compiled().as_deref()).or_else(|error| match error {
        EngineError::Cache(_) => with(None),
        other => Err(other),
    });
    engine.map_err(|error| Failure::new(Exit::Unsupported, error))
}

/// `~/.cache/egret/compiled`.
fn compiled() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(Path::new(&home).join(".cache/egret/compiled"))
}

/// The module in `path`.
pub(super) fn module(engine: &Engine, path: &Path) -> Result<Arc<Module>, Failure> {
    let source = folder::read_one(path).map_err(|problem| Failure::new(Exit::Usage, problem))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    engine
        .load(&name, &source.bytes, &source.manifest)
        .map_err(|refused| Failure::new(Exit::Failed, format!("{}: {refused}", path.display())))
}

/// The `.wasm` that `given` names, or the one that `egret module build` leaves in the folder `given`.
pub(super) fn wasm(given: &Path) -> Result<PathBuf, Failure> {
    if !given.is_dir() {
        return Ok(given.to_owned());
    }
    let unreadable = |error: io::Error| Failure::new(Exit::Usage, format!("{}: {error}", given.display()));
    let mut found = Vec::new();
    for entry in given.read_dir().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            found.push(path);
        }
    }
    match &found[..] {
        [path] => Ok(path.clone()),
        [] => Err(Failure::with_fix(
            Exit::Usage,
            format!("{} has no .wasm", given.display()),
            format!("egret module build {}", given.display()),
        )),
        _ => Err(Failure::new(Exit::Usage, format!("{} has several .wasm; name one", given.display()))),
    }
}

/// The text of a file, or of standard input for `-`.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    text_of(path, MAX_TEXT)
}

/// The same, of at most `most` bytes.
pub(super) fn text_of(path: &Path, most: u64) -> Result<String, Failure> {
    let unreadable = |error: io::Error| Failure::new(Exit::Usage, format!("{}: {error}", path.display()));
    let mut text = String::new();
    let from: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(File::open(path).map_err(unreadable)?),
    };
    from.take(most + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > most {
        return Err(unreadable(io::Error::other(format!("it has more than {most} bytes"))));
    }
    Ok(text)
}

/// YAML or JSON from a file.
pub(super) fn yaml<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let text = text(path)?;
    serde_saphyr::from_str(&text).map_err(|error| {
        Failure::new(Exit::Usage, format!("{}: {}", path.display(), error.without_snippet()))
    })
}

/// JSON for a program.
pub(super) fn json(answer: &impl Serialize) -> Result<(), Failure> {
    print_json(&serde_json::to_vec(answer).map_err(|error| Failure::new(Exit::Failed, error))?)
}
