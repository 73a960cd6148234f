//! From the folder of a module to its component, in whichever language it is.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use crate::choose::Missing;
use crate::component::NotAModule;
use crate::language::Language;
use crate::others::{self, Absent};
use crate::{compile, target_dir};

/// How to build.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The folder for what is built; `None`: [`target_dir`].
    pub target: Option<PathBuf>,
    /// The compiler tells nothing but warnings and errors.
    pub quiet: bool,
}

/// A built module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The name of the crate, project or package.
    pub name: String,
    /// The component.
    pub component: Vec<u8>,
}

/// Why there is no module.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No compiler of Rust.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// No compiler of another language.
    #[error(transparent)]
    Absent(#[from] Absent),
    /// There is nothing to build.
    #[error(
        "{0} has no Cargo.toml, pyproject.toml or package.json; `egret module new NAME` makes a crate, which is a module \
         in Rust"
    )]
    NoModule(PathBuf),
    /// What the folder says of itself is no good.
    #[error("{path}: {reason}")]
    Project {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No place for what is built.
    #[error("neither EGRET_MODULE_TARGET nor HOME is set, so there is no place to build in")]
    NoPlace,
    /// A compiler did not start.
    #[error("{program} did not start: {source}")]
    Start {
        /// What was run.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The compiler refused; its own words went to stderr.
    #[error("the module in {dir} did not compile ({status}): see the compiler's words above")]
    Failed {
        /// The folder.
        dir: PathBuf,
        /// How the compiler ended.
        status: ExitStatus,
    },
    /// Cargo ended well and made no `.wasm`.
    #[error(
        "the crate in {0} makes no Wasm; write `crate-type = [\"cdylib\", \"rlib\"]` under `[lib]` in its Cargo.toml"
    )]
    NoWasm(PathBuf),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is something else.
    #[error(transparent)]
    NotAModule(#[from] NotAModule),
}

/// Builds the module in `dir`: a crate, a project of Python or a package of JavaScript. The compiler's words go to stderr.
///
/// # Errors
/// See [`BuildError`]; each says what to do.
pub fn build(dir: &Path, options: &Options) -> Result<Built, BuildError> {
    let language = Language::of(dir).ok_or_else(|| BuildError::NoModule(dir.to_owned()))?;
    let target = options.target.clone().or_else(target_dir).ok_or(BuildError::NoPlace)?;
    match language {
        Language::Rust => compile::build(dir, &target, options.quiet),
        _ => others::build(language, dir, &target, options.quiet),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_crate_or_a_project_is_no_module() {
        let error = build(Path::new("/nowhere"), &Options::default()).expect_err("nothing there");
        assert!(error.to_string().contains("egret module new"), "{error}");
    }
}
