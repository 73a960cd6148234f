//! `egret compile-module`: the compiler of policy modules, a process within limits. An agent starts it; a person may, too.

use std::process::ExitCode;

use crate::wasm;

const EXAMPLE: &str = "\
Exit codes: 0 compiled, 1 the module is bad, 2 the compiler failed.

Example:
  egret compile-module <module.wasm >module.cwasm";

/// Compile a policy module from standard input to standard output, as an agent has it done
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// The code counts its work
    #[arg(long)]
    counts_work: bool,
}

pub(super) fn run(args: &Args) -> ExitCode {
    wasm::compiler_main(args.counts_work)
}
