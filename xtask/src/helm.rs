//! Helm, as its library: no program of it is in Debian.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use egret_ebpf_build::tools_dir;

/// Below the tools.
const FOLDER: &str = "helm";

/// What says which version.
pub fn lock() -> PathBuf {
    own().join("requirements.txt")
}

/// Whether that version is there.
pub fn is_installed(tools: &Path) -> bool {
    let installed = std::fs::read(tools.join(FOLDER).join("installed")).ok();
    installed.is_some() && installed == std::fs::read(lock()).ok()
}

/// Where it is among the tools.
pub fn folder(tools: &Path) -> PathBuf {
    tools.join(FOLDER)
}

/// `helm.py` with these arguments, after `before`, which may enter a network; what it prints.
pub fn run(before: &[String], arguments: &[&str]) -> Result<String> {
    let tools = tools_dir().context("neither EGRET_TOOLS nor HOME is set, so there is no place for tools")?;
    let python = folder(&std::path::absolute(tools)?).join("bin/python").display().to_string();
    let script = own().join("helm.py").display().to_string();
    let words: Vec<_> = before.iter().chain([&python, &script]).map(String::as_str).collect();
    let (program, first) = words.split_first().context("there is a program")?;
    let output = Command::new(program).args(first).args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "helm {} failed: {}", arguments.first().unwrap_or(&""), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("helm")
}
