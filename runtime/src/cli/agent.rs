//! `egret agent`.

use std::io::IsTerminal;
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use crate::agent::{AgentError, Config, Settings};

use super::exit::Failure;
use super::{Exit, RunAgent};

const EXAMPLE: &str = "\
The file of --config holds the same words in camelCase, and flags override it:
  workloads: /etc/egret/workloads.yaml
  policies: /etc/egret/policies
  resolvers: [10.96.0.10]
  minTTL: 30
  searchDomains: ['*.svc.cluster.local', svc.cluster.local, cluster.local]
SIGHUP reads the policies and the workloads again; SIGTERM ends the agent, while the kernel goes on enforcing.
EGRET_LOG=debug says more on standard error.

Example:
  egret agent --workloads workloads.yaml --policies policies/ --resolvers 10.96.0.10
  egret agent --kubernetes --node-name worker-1 --kubeconfig /etc/kubernetes/agent.conf";

/// What is told unless `EGRET_LOG` says otherwise: what its client fails to reach the agent tells by itself, once.
const LOGGED: &str = "info,kube_client=off,kube_runtime=off";

/// Run the agent of this node, as root, in the foreground
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// A file with the settings below, YAML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn run(args: Args, run_agent: RunAgent) -> Result<Exit, Failure> {
    let config = configuration(args)?;
    log_to_stderr();
    ended(run_agent(config))
}

fn ended(run: Result<(), AgentError>) -> Result<Exit, Failure> {
    match run {
        Ok(()) => Ok(Exit::Done),
        Err(AgentError::Unsupported { missing, fix }) => {
            Err(Failure::with_fix(Exit::Unsupported, missing, fix))
        }
        Err(AgentError::Failed(error)) => {
            let mut told = error.to_string();
            let mut cause = error.source();
            while let Some(inner) = cause {
                told = format!("{told}: {inner}");
                cause = inner.source();
            }
            Err(Failure::new(Exit::Failed, told))
        }
    }
}

fn configuration(args: Args) -> Result<Config, Failure> {
    let file = match args.config {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(&path).map_err(|error| {
                Failure::new(Exit::Usage, format!("cannot read {}: {error}", path.display()))
            })?;
            Some((path.display().to_string(), text))
        }
    };
    let file = file.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
    Config::assemble(args.settings, file).map_err(|errors| {
        let error = format!("the configuration is wrong:\n{errors}");
        Failure::with_fix(Exit::Usage, error, "`egret agent --help` lists the settings")
    })
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("EGRET_LOG").unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // Fails only where a subscriber is set already, which then is whom to tell.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the state cannot be read")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn how_the_agent_ended_has_its_exit_code_and_every_cause() {
        assert_eq!(ended(Ok(())), Ok(Exit::Done));
        let unsupported = AgentError::Unsupported { missing: "no BTF".into(), fix: "boot 6.6".into() };
        assert_eq!(ended(Err(unsupported)), Err(Failure::with_fix(Exit::Unsupported, "no BTF", "boot 6.6")));
        let failed = AgentError::Failed(Box::new(Outer(std::io::Error::other("disk on fire"))));
        let told = Failure::new(Exit::Failed, "the state cannot be read: disk on fire");
        assert_eq!(ended(Err(failed)), Err(told));
    }
}
