//! `egret module ...`: a policy module from an empty folder to a tested `.wasm`. Needs no agent.

mod bench;
mod build;
mod captured;
mod diff;
mod inspect;
mod lint;
mod load;
mod new;
mod run;
mod test;

use super::Exit;
use super::exit::Failure;

/// Write, test and examine policy modules; needs no agent
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    New(new::Args),
    Build(build::Args),
    Test(test::Args),
    Run(run::Args),
    Diff(diff::Args),
    Bench(bench::Args),
    Inspect(inspect::Args),
    Lint(lint::Args),
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::New(args) => new::run(args),
        Command::Build(args) => build::run(args),
        Command::Test(args) => test::run(args),
        Command::Run(args) => run::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Lint(args) => lint::run(args),
    }
}
