//! What makes policy modules of Python and JavaScript: in versions that `sdk/build/toolchains` pins, with the hash of each
//! package. It is installed into `languages` among the tools, where `egret module build` finds it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::step::{Run, python, run};

/// A language whose toolchain is installed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Python,
    JavaScript,
}

impl Language {
    pub const ALL: [Self; 2] = [Self::Python, Self::JavaScript];

    /// What makes the modules.
    pub fn library(self) -> &'static str {
        match self {
            Self::Python => "componentize-py",
            Self::JavaScript => "componentize-js",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::JavaScript => "javascript",
        }
    }

    /// The file that says which versions; a copy of it is left as `installed` once they are there.
    fn lock(self) -> PathBuf {
        let file = match self {
            Self::Python => "requirements.txt",
            Self::JavaScript => "package-lock.json",
        };
        pinned(self.name()).join(file)
    }

    fn folder(self, tools: &Path) -> PathBuf {
        tools.join("languages").join(self.name())
    }

    /// Whether the versions that are asked for are there.
    pub fn is_installed(self, tools: &Path) -> bool {
        let read = |path: PathBuf| fs::read(path).ok();
        let installed = read(self.folder(tools).join("installed"));
        installed.is_some() && installed == read(self.lock())
    }

    /// The commands that install it, whatever is there.
    pub fn commands(self, tools: &Path) -> Vec<Run> {
        let folder = self.folder(tools).display().to_string();
        let lock = self.lock().display().to_string();
        match self {
            Self::Python => python(&folder, &lock),
            Self::JavaScript => {
                let package = pinned(self.name()).join("package.json").display().to_string();
                vec![
                    run("mkdir", &["-p", &folder]),
                    run("cp", &[&package, &lock, &folder]),
                    run("npm", &["ci", "--prefix", &folder, "--ignore-scripts", "--no-audit", "--no-fund"]),
                    run("cp", &[&lock, &format!("{folder}/installed")]),
                ]
            }
        }
    }
}

/// Where the versions are pinned.
fn pinned(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    root.join("sdk/build/toolchains").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolchain_counts_once_its_last_command_has_run_and_until_other_versions_are_asked_for() {
        let tools = std::env::temp_dir().join(format!("egret-languages-{}", std::process::id()));
        for language in Language::ALL {
            assert!(!language.is_installed(&tools));
            let folder = language.folder(&tools);
            fs::create_dir_all(&folder).expect("made");
            let commands = language.commands(&tools);
            let last = commands.last().expect("a command");
            assert_eq!(last.arguments[1], folder.join("installed").display().to_string());
            fs::copy(&last.arguments[0], &last.arguments[1]).expect("copied");
            assert!(language.is_installed(&tools));
            fs::write(&last.arguments[1], "other versions").expect("written");
            assert!(!language.is_installed(&tools));
        }
        let _ = fs::remove_dir_all(&tools);
    }

    #[test]
    fn every_package_is_pinned_with_its_hash() {
        let read = |language: Language| fs::read_to_string(language.lock()).expect("readable");
        let python = read(Language::Python);
        let (packages, hashes) = (python.matches("==").count(), python.matches("--hash=sha256:").count());
        assert!(packages == 1 && hashes >= 2, "{python}");
        let lock: serde_json::Value = serde_json::from_str(&read(Language::JavaScript)).expect("JSON");
        let packages = lock["packages"].as_object().expect("packages");
        for (path, package) in packages.iter().filter(|(path, _)| !path.is_empty()) {
            assert!(package["integrity"].as_str().is_some_and(|hash| hash.starts_with("sha512-")), "{path}");
        }
        assert!(packages.len() > 20, "{}", packages.len());
    }
}
