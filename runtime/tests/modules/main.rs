//! Policy modules as their authors have them: made, built and tested by `egret module`, and compiled by the process that
//! an agent has them compiled by.

#![allow(missing_docs, reason = "a test file has no reader of its documentation")]

mod author;
mod compiler;
mod flows;
#[allow(dead_code, reason = "what tests of the API need of it, these do not")]
#[path = "../answers/memory.rs"]
mod memory;
mod shipped;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}

fn egret(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    command.args(arguments).current_dir(dir).env("COLUMNS", "100").env("NO_COLOR", "1");
    command.output().expect("egret runs")
}

/// Standard output of a command that has to succeed.
fn told(dir: &Path, arguments: &[&str]) -> String {
    let output = egret(dir, arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}\n{err}");
    out.into_owned()
}
