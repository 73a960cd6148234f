//! Modules in languages that have a toolchain of their own: Python and JavaScript.
//!
//! In: the folder of a project. Out: the component that its toolchain makes of it and of the contract, for the world that
//! imports nothing. [`project`] reads what the folder says of itself, [`toolchain`] finds what builds it, [`kept`] keeps
//! what was built, for that takes some ten seconds.

mod kept;
mod project;
mod toolchain;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::build::{BuildError, Built};
use crate::language::Language;
use project::Project;
use toolchain::Toolchain;
pub use toolchain::{Absent, languages_dir};

/// The contract.
const WIT: &str = include_str!("../../../wit/policy.wit");
/// The world of it that these modules are of: their toolchains import all of a world, whether it is used or not.
const WORLD: &str = "pure-module";
/// What node runs: the toolchain of JavaScript is a library.
const COMPONENTIZE: &str = include_str!("componentize.mjs");

/// Builds the module in `dir`, or finds it built under `target`.
pub(crate) fn build(language: Language, dir: &Path, target: &Path, quiet: bool) -> Result<Built, BuildError> {
    let dir = &fs::canonicalize(dir).map_err(failed(dir))?;
    let mut project = Project::read(language, dir)?;
    let toolchain = Toolchain::find(language, dir)?;
    let folder = target.join("languages");
    let wit = folder.join("wit");
    fs::create_dir_all(&wit).map_err(failed(&wit))?;
    write(&wit.join("policy.wit"), WIT.as_bytes())?;

    let name = &project.name.clone();
    let key = match &toolchain.lock {
        Some(lock) => {
            Some(kept::key(dir, &[WIT.as_bytes(), COMPONENTIZE.as_bytes(), lock]).map_err(failed(dir))?)
        }
        None => None,
    };
    if let Some(component) = key.as_ref().and_then(|key| kept::find(&folder, name, key)) {
        return Ok(Built { name: name.clone(), component });
    }
    let output = part(&folder.join(format!("{name}.wasm")));
    let copy = folder.join(format!("{name}.source-{}", std::process::id()));
    if language == Language::Python {
        copied(&project.source, &copy).map_err(failed(&project.source))?;
        project.source.clone_from(&copy);
    }
    let mut command = command(language, &toolchain, &project, &wit, &output, quiet);
    let status = command
        .current_dir(toolchain.home.as_deref().filter(|_| language == Language::JavaScript).unwrap_or(dir))
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .map_err(|source| BuildError::Start { program: toolchain.program.clone(), source });
    // Only there for Python.
    let _ = fs::remove_dir_all(&copy);
    let status = status?;
    if !status.success() {
        // Half of it may be there.
        let _ = fs::remove_file(&output);
        return Err(BuildError::Failed { dir: dir.clone(), status });
    }
    let component = fs::read(&output).map_err(failed(&output))?;
    match key {
        Some(key) => kept::keep(&folder, name, &key, &output),
        None => fs::remove_file(&output),
    }
    .map_err(failed(&output))?;
    Ok(Built { name: name.clone(), component })
}

fn command(
    language: Language,
    toolchain: &Toolchain,
    project: &Project,
    wit: &Path,
    output: &Path,
    quiet: bool,
) -> Command {
    let mut command = Command::new(&toolchain.program);
    match language {
        Language::JavaScript => {
            command.args(["--input-type=module", "--eval", COMPONENTIZE, "--"]);
            command.args([&project.source, wit, Path::new(WORLD), output]);
        }
        _ => {
            if quiet {
                command.arg("--quiet");
            }
            command.arg("--wit-path").arg(wit).args(["--world", WORLD, "componentize", "--python-path"]);
            command.arg(&project.source).arg(project.python_module()).arg("--output").arg(output);
            // Else it looks for packages in whichever Python it finds.
            command.envs(toolchain.home.as_ref().map(|home| ("VIRTUAL_ENV", home)));
        }
    }
    command
}

/// Copies a source, for Python writes what it compiled beside what it was compiled of.
fn copied(source: &Path, to: &Path) -> io::Result<()> {
    for file in kept::files(source)? {
        let path = to.join(file.strip_prefix(source).unwrap_or(&file));
        fs::create_dir_all(path.parent().unwrap_or(to))?;
        fs::copy(&file, path)?;
    }
    Ok(())
}

/// Writes a file that others may be reading.
fn write(path: &Path, content: &[u8]) -> Result<(), BuildError> {
    if fs::read(path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    let part = part(path);
    fs::write(&part, content).and_then(|()| fs::rename(&part, path)).map_err(failed(path))
}

/// Where this process writes before the file is whole.
fn part(path: &Path) -> PathBuf {
    path.with_extension(format!("part-{}", std::process::id()))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    |source| BuildError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_toolchain_is_told_the_contract_the_source_and_where_to_write() {
        let project = Project { name: "a-b".to_owned(), source: "/m/src".into() };
        let toolchain = Toolchain { program: "/t/run".into(), home: Some("/t".into()), lock: None };
        let told = |language, quiet| {
            let command = command(language, &toolchain, &project, Path::new("/w"), Path::new("/o"), quiet);
            let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
            arguments.filter(|argument| argument != COMPONENTIZE).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            told(Language::Python, true),
            "--quiet --wit-path /w --world pure-module componentize --python-path /m/src a_b --output /o"
        );
        assert_eq!(
            told(Language::JavaScript, false),
            "--input-type=module --eval -- /m/src /w pure-module /o"
        );
        assert!(WIT.contains(&format!("world {WORLD} {{")));
    }
}
