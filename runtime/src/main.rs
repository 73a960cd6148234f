//! The `egret` program: see [`egret::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    egret::cli::main(egret::agent::run)
}
