//! The languages that modules are written in.

use std::fmt;
use std::path::Path;

/// A language that modules are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A crate; the SDK is for it.
    Rust,
    /// A project that componentize-py makes a component of.
    Python,
    /// A package that componentize-js makes a component of.
    JavaScript,
}

impl Language {
    /// All, in the order in which a folder is looked at.
    pub const ALL: [Self; 3] = [Self::Rust, Self::Python, Self::JavaScript];

    /// The language of the module in `dir`, by the file that says what the folder is.
    #[must_use]
    pub fn of(dir: &Path) -> Option<Self> {
        Self::ALL.into_iter().find(|language| dir.join(language.file()).is_file())
    }

    /// The file that says what a folder is.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Python => "pyproject.toml",
            Self::JavaScript => "package.json",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
        })
    }
}
