//! The command line: what a person types, and what they see.
//!
//! In: arguments, and the agent's API on its unix socket. Out: tables for people, JSON for programs, and an exit code
//! that says how it ended ([`Exit`]). `egret agent` hands its checked configuration to the function that `main` gives.
//! Called by `main` alone.

use std::ffi::OsString;
use std::future::Future;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::agent::{AgentError, Config};

mod agent;
mod case;
mod client;
mod compile_module;
mod completions;
mod doctor;
mod exit;
mod explain;
mod flows;
mod kubectl;
mod man;
mod module;
mod names;
mod output;
mod policies;
mod policy;
mod quantity;
mod status;
mod table;
mod workloads;

pub use exit::Exit;
pub use output::Output;

use exit::Failure;

/// Runs an agent until it ends. It makes its own threads and runtime.
pub type RunAgent = fn(Config) -> Result<(), AgentError>;

const EXAMPLE: &str = "Example:
  egret agent --workloads workloads.yaml --policies policies/ --resolvers 10.96.0.10
  egret status
  egret flows --denied

Exit codes:
  0  done
  1  the check failed
  2  the command line or the configuration is wrong
  3  the agent cannot be reached
  4  a privilege or a kernel feature is missing
  5  a new version of a module decides otherwise (egret module diff)";

/// An egress firewall for Kubernetes nodes: every pod reaches the names, protocols and ports its policies allow
#[derive(Parser)]
#[command(name = "egret", version, arg_required_else_help = true, after_help = EXAMPLE)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Agent(Box<agent::Args>),
    Status(status::Args),
    Workloads(workloads::Args),
    Names(names::Args),
    Policies(policies::Args),
    Flows(flows::Args),
    Explain(explain::Args),
    Policy(policy::Args),
    Module(module::Args),
    Doctor(doctor::Args),
    Kubectl(kubectl::Args),
    Completions(completions::Args),
    Man(man::Args),
    #[command(hide = true)]
    CompileModule(compile_module::Args),
}

/// Does what the command line says, with `run_agent` for `egret agent`, and tells how it ended.
pub fn main(run_agent: RunAgent) -> ExitCode {
    let done = match CommandLine::parse_from(arguments(std::env::args_os())).command {
        Command::Agent(args) => agent::run(*args, run_agent),
        Command::Status(args) => ask(status::run(args)),
        Command::Workloads(args) => ask(workloads::run(args)),
        Command::Names(args) => ask(names::run(args)),
        Command::Policies(args) => ask(policies::run(args)),
        Command::Flows(args) => ask(flows::run(args)),
        Command::Explain(args) => ask(explain::run(args)),
        Command::Policy(args) => policy::run(&args),
        Command::Module(args) => module::run(&args),
        Command::Doctor(args) => ask(doctor::run(args)),
        Command::Kubectl(args) => kubectl::run(args),
        Command::Completions(args) => completions::run(&args, CommandLine::command()),
        Command::Man(args) => man::run(&args, CommandLine::command()),
        Command::CompileModule(args) => return compile_module::run(&args),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => failure.tell().into(),
    }
}

/// Called as a plugin of kubectl, it is that command.
fn arguments(mut given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let program = given.next().unwrap_or_default();
    let is_plugin = Path::new(&program).file_name().is_some_and(|name| name == kubectl::PLUGIN);
    let command = is_plugin.then(|| "kubectl".into());
    [program].into_iter().chain(command).chain(given).collect()
}

/// Runs a question to the agent on this thread.
fn ask(question: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?.block_on(question)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_plugin_of_kubectl_is_known_by_its_name() {
        let read = |words: &[&str]| arguments(words.iter().map(|&word| word.into()));
        assert_eq!(read(&["/usr/bin/egret", "status"]), ["/usr/bin/egret", "status"]);
        assert_eq!(
            read(&["/usr/local/bin/kubectl-egret", "status"]),
            ["/usr/local/bin/kubectl-egret", "kubectl", "status"]
        );
        assert_eq!(read(&[]), [""]);
    }

    /// In all that `--help` says, of commands within commands too.
    fn without_example(command: &clap::Command) -> Vec<String> {
        let groups = command.has_subcommands() && command.get_name() != "egret";
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let told = help.contains("Example:\n  egret ");
        let mut missing: Vec<_> = command.get_subcommands().flat_map(without_example).collect();
        if !told && !groups {
            missing.push(command.get_name().to_owned());
        }
        missing
    }

    #[test]
    fn every_command_shows_an_example() {
        assert_eq!(without_example(&CommandLine::command()), Vec::<String>::new());
    }
}
