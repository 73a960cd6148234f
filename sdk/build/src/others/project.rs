//! What the folder of a module says of itself.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::failed;
use crate::build::BuildError;
use crate::language::Language;

/// The project in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Project {
    /// Its name, fit for the name of a file.
    pub name: String,
    /// Of Python the folder that the module is imported from; of JavaScript the file with the exports.
    pub source: PathBuf,
}

/// `pyproject.toml`, as far as it matters.
#[derive(Deserialize)]
struct PyProject {
    project: Named,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// `package.json`, likewise.
#[derive(Deserialize)]
struct Package {
    name: String,
    main: Option<PathBuf>,
}

impl Project {
    /// Reads what the folder says.
    pub fn read(language: Language, dir: &Path) -> Result<Self, BuildError> {
        let path = dir.join(language.file());
        let text = fs::read_to_string(&path).map_err(failed(&path))?;
        let wrong = |reason: String| BuildError::Project { path: path.clone(), reason };
        let project = match language {
            Language::JavaScript => javascript(dir, &text),
            _ => python(dir, &text),
        };
        project.and_then(Self::checked).map_err(wrong)
    }

    /// The module that a project of Python is: its name with `_` for what no identifier has.
    pub fn python_module(&self) -> String {
        self.name.replace(['-', '.'], "_")
    }

    fn checked(self) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name.starts_with(|c: char| c.is_ascii_alphanumeric()) && self.name.chars().all(plain) {
            return Ok(self);
        }
        Err(format!("`{}` is no name of a module; it has letters, digits, `-`, `_` and `.`", self.name))
    }
}

/// The module is in `src`, or beside the file.
fn python(dir: &Path, text: &str) -> Result<Project, String> {
    let PyProject { project: Named { name } } =
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    let mut project = Project { name, source: dir.join("src") };
    let module = project.python_module();
    let has = |source: &Path| {
        source.join(format!("{module}.py")).is_file() || source.join(&module).join("__init__.py").is_file()
    };
    if !has(&project.source) {
        project.source = dir.to_owned();
    }
    match has(&project.source) {
        true => Ok(project),
        false => Err(format!("the project `{}` has no src/{module}.py", project.name)),
    }
}

/// The name is that behind the scope, `@SCOPE/NAME`.
fn javascript(dir: &Path, text: &str) -> Result<Project, String> {
    let package: Package = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let name = package.name.rsplit('/').next().unwrap_or_default().to_owned();
    let source = dir.join(package.main.unwrap_or_else(|| "index.js".into()));
    match source.is_file() {
        true => Ok(Project { name, source }),
        false => Err(format!("`main` is {}, which is not there", source.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paths and texts.
    type Files = &'static [(&'static str, &'static str)];
    /// Name and source, or some words of the error.
    type Told = Result<(&'static str, &'static str), &'static str>;

    /// A folder with these files.
    fn folder(files: Files) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("in the folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        dir
    }

    #[test]
    fn a_project_is_read_or_says_what_is_wrong_with_it() {
        let cases: [(Files, Told); 9] = [
            (
                &[("pyproject.toml", "[project]\nname = \"two-words\"\n"), ("src/two_words.py", "")],
                Ok(("two-words", "src")),
            ),
            (&[("pyproject.toml", "[project]\nname = 'one'\n"), ("one/__init__.py", "")], Ok(("one", ""))),
            (&[("pyproject.toml", "[project]\nname = 'one'\n")], Err("has no src/one.py")),
            (&[("pyproject.toml", "[project]\n")], Err("name")),
            (&[("pyproject.toml", "project")], Err("TOML parse error")),
            (
                &[("package.json", r#"{"name": "@us/a", "main": "src/a.js"}"#), ("src/a.js", "")],
                Ok(("a", "src/a.js")),
            ),
            (&[("package.json", r#"{"name": "a"}"#)], Err("index.js, which is not there")),
            (&[("package.json", r#"{"name": "../a b"}"#), ("index.js", "")], Err("is no name of a module")),
            (&[("package.json", "{}")], Err("name")),
        ];
        for (files, expected) in cases {
            let dir = folder(files);
            let language = Language::of(dir.path()).expect("a language");
            match (Project::read(language, dir.path()), expected) {
                (Ok(project), Ok((name, source))) => {
                    assert_eq!((project.name.as_str(), project.source), (name, dir.path().join(source)));
                }
                (Err(error), Err(words)) => {
                    let error = error.to_string();
                    assert!(error.contains(words) && error.contains(language.file()), "{error}");
                }
                (told, expected) => panic!("{files:?}: {told:?}, not {expected:?}"),
            }
        }
    }
}
