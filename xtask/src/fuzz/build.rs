//! The targets, and their instrumented programs.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{cargo, test};

/// What libFuzzer reads while a target runs: a counter for each branch, where it is in the program, and both sides of
/// each comparison, so that it can write into an input what it is compared with.
const INSTRUMENTS: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Where everything is.
pub struct Built {
    programs: PathBuf,
    sources: PathBuf,
    findings: PathBuf,
}

impl Built {
    /// The program of `target`.
    pub fn program(&self, target: &str) -> PathBuf {
        self.programs.join(target)
    }

    /// The committed inputs of `target`.
    pub fn seeds(&self, target: &str) -> PathBuf {
        self.sources.join("seeds").join(target)
    }

    /// The words that inputs of `target` are made of, where they are listed.
    pub fn dictionary(&self, target: &str) -> Option<PathBuf> {
        let path = self.sources.join("dictionaries").join(target).with_extension("dict");
        path.exists().then_some(path)
    }

    /// A folder outside the checkout for inputs that were found: `corpus`, `brief` or `crashes`.
    pub fn found(&self, what: &str, target: &str) -> Result<PathBuf> {
        let folder = self.findings.join(what).join(target);
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(folder)
    }

    /// The same, with nothing in it.
    pub fn emptied(&self, what: &str, target: &str) -> Result<PathBuf> {
        let folder = self.found(what, target)?;
        fs::remove_dir_all(&folder)?;
        self.found(what, target)
    }
}

/// All targets, or the one that is asked for.
pub fn targets(only: Option<&str>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(sources().join("src/bin"))? {
        names.extend(entry?.path().file_stem().and_then(|name| name.to_str()).map(str::to_owned));
    }
    names.sort();
    if let Some(only) = only {
        ensure!(
            names.iter().any(|name| name == only),
            "`{only}` is no target; there are {}",
            names.join(", ")
        );
        names.retain(|name| name == only);
    }
    Ok(names)
}

/// Builds the programs of `targets`.
pub fn build(targets: &[String]) -> Result<Built> {
    let host = host()?;
    let mut build = cargo();
    // With `--target`, even that of the host, the flags stay away from build scripts and macros.
    build.args(["build", "--quiet", "--profile", "fuzz", "--package", "egret-fuzz"]);
    build.args(["--features", "libfuzzer", "--target", &host]);
    build.args(targets.iter().flat_map(|target| ["--bin", target]));
    build.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", INSTRUMENTS.join("\x1f"));
    eprintln!("Building {} with instruments.", targets.join(", "));
    ensure!(build.status()?.success(), "the fuzz targets did not build");
    let beside = test::built("xtask")?;
    let target = beside.parent().and_then(Path::parent).context("no target directory")?;
    Ok(Built {
        programs: target.join(host).join("fuzz"),
        sources: sources(),
        findings: target.join("fuzzing"),
    })
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("tests").join("fuzz")
}

/// The triple of the machine that we run on.
fn host() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = String::from_utf8(Command::new(rustc).arg("-vV").output()?.stdout)?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}
