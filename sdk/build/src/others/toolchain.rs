//! Finds what builds a module in another language. Files alone are looked at, never a network.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::language::Language;

/// What builds a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Toolchain {
    /// The program to run.
    pub program: PathBuf,
    /// The virtual environment of Python, or the folder that has `node_modules`.
    pub home: Option<PathBuf>,
    /// The lock file by which `cargo xtask setup` installed it. `None`: it came another way, and there may be packages
    /// beside it that nobody here knows of.
    pub lock: Option<Vec<u8>>,
}

/// There is no toolchain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Absent {
    /// None for Python.
    #[error(
        "no componentize-py here, which makes modules of Python. In the folder of the module: `python3 -m venv .venv && \
         .venv/bin/pip install componentize-py==0.25.1`. In a checkout of Egret: `cargo xtask setup`"
    )]
    Python,
    /// None for JavaScript.
    #[error(
        "no componentize-js here, which makes modules of JavaScript. In the folder of the module: `npm install \
         --save-dev --save-exact @bytecodealliance/componentize-js@0.23.0`. In a checkout of Egret: `cargo xtask setup`"
    )]
    JavaScript,
    /// Nothing that runs JavaScript.
    #[error(
        "no node on PATH, which makes modules of JavaScript: install Node.js 18 or later (on Debian: nodejs)"
    )]
    Node,
}

const LIBRARY: &str = "node_modules/@bytecodealliance/componentize-js/package.json";

/// Where `cargo xtask setup` puts toolchains of other languages: `languages/python` and `languages/javascript` under
/// `$EGRET_TOOLS`, else under `~/.cache/egret/tools`. `None` without a home.
#[must_use]
pub fn languages_dir() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let tools = set("EGRET_TOOLS").or_else(|| Some(set("HOME")?.join(".cache/egret/tools")));
    Some(tools?.join("languages"))
}

impl Toolchain {
    /// The module's own, before any other.
    pub fn find(language: Language, dir: &Path) -> Result<Self, Absent> {
        let path = env::var_os("PATH").unwrap_or_default();
        let on_path = |program: &str| {
            env::split_paths(&path).map(|dir| dir.join(program)).find(|program| program.is_file())
        };
        Self::among(language, dir, languages_dir().as_deref(), on_path)
    }

    fn among(
        language: Language,
        dir: &Path,
        languages: Option<&Path>,
        on_path: impl Fn(&str) -> Option<PathBuf>,
    ) -> Result<Self, Absent> {
        let installed = |name| {
            let home = languages?.join(name);
            let lock = fs::read(home.join("installed")).ok()?;
            Some((home, Some(lock)))
        };
        if language == Language::JavaScript {
            let program = on_path("node").ok_or(Absent::Node)?;
            let own = Some((dir.to_owned(), None)).filter(|_| dir.join(LIBRARY).is_file());
            let (home, lock) = own.or_else(|| installed("javascript")).ok_or(Absent::JavaScript)?;
            return Ok(Self { program, home: Some(home), lock });
        }
        let of_home = |(home, lock): (PathBuf, _)| {
            let program = home.join("bin/componentize-py");
            program.is_file().then_some(Self { program, home: Some(home), lock })
        };
        of_home((dir.join(".venv"), None))
            .or_else(|| {
                let program = on_path("componentize-py")?;
                Some(Self { program, home: None, lock: None })
            })
            .or_else(|| installed("python").and_then(of_home))
            .ok_or(Absent::Python)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modules_own_toolchain_goes_before_the_one_on_the_path_and_that_before_ours() {
        let root = tempfile::tempdir().expect("a folder");
        let touch = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("in the folder")).expect("made");
            fs::write(path, "lock").expect("written");
        };
        let at = |path: &str| root.path().join(path);
        let (dir, languages) = (at("m"), at("l"));
        let none = |_: &str| None;
        let some = |program: &str| Some(PathBuf::from("/path").join(program));
        let python = |on_path: &dyn Fn(&str) -> Option<PathBuf>| {
            let found = Toolchain::among(Language::Python, &dir, Some(&languages), on_path);
            found.map(|found| (found.program, found.lock.is_some()))
        };
        let javascript = |on_path: &dyn Fn(&str) -> Option<PathBuf>| {
            let found = Toolchain::among(Language::JavaScript, &dir, Some(&languages), on_path);
            found.map(|found| (found.home.expect("a home"), found.lock.is_some()))
        };
        assert_eq!(python(&none), Err(Absent::Python));
        assert_eq!((javascript(&none), javascript(&some)), (Err(Absent::Node), Err(Absent::JavaScript)));
        for file in ["l/python/bin/componentize-py", "l/python/installed", "l/javascript/installed"] {
            touch(file);
        }
        assert_eq!(python(&none), Ok((at("l/python/bin/componentize-py"), true)));
        assert_eq!(javascript(&some), Ok((at("l/javascript"), true)));
        assert_eq!(python(&some), Ok(("/path/componentize-py".into(), false)));
        touch("m/.venv/bin/componentize-py");
        touch(&format!("m/{LIBRARY}"));
        assert_eq!(python(&some), Ok((at("m/.venv/bin/componentize-py"), false)));
        assert_eq!(javascript(&some), Ok((dir.clone(), false)));
    }

    #[test]
    fn what_is_absent_is_installed_in_the_version_that_we_have() {
        let python = include_str!("../../toolchains/python/requirements.txt");
        let javascript = include_str!("../../toolchains/javascript/package.json");
        let version = |text: String, start: &str| {
            let rest = text.split_once(start).map(|(_, rest)| rest.to_owned()).expect("a version");
            rest.split(['`', ' ', '"', '\n']).next().map(str::to_owned)
        };
        assert_eq!(
            version(Absent::Python.to_string(), "componentize-py=="),
            version(python.to_owned(), "componentize-py==")
        );
        assert_eq!(
            version(Absent::JavaScript.to_string(), "componentize-js@"),
            version(javascript.to_owned(), "componentize-js\": \"")
        );
    }
}
