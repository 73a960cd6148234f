//! The files and the command line of an agent that does not run yet, or not any more.

use std::fs::{self, OpenOptions};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Agent;
use crate::dial::program_beside_us;
use crate::netns::Netns;
use crate::world::{POD_RANGES, Pod, RESOLVER, World};

/// An agent, configured for a world.
#[derive(Clone, Debug)]
pub struct Setup {
    program: PathBuf,
    node: Netns,
    directory: PathBuf,
    bpffs: PathBuf,
    pods: Vec<Pod>,
    resolvers: Option<Vec<IpAddr>>,
    more: Vec<String>,
}

impl Setup {
    /// For every pod of `world`, labelled `app: NAME`, with no policies yet.
    ///
    /// # Errors
    /// `egret` was not built, or its files cannot be written.
    pub fn new(world: &World) -> Result<Self> {
        let setup = Self {
            program: find_egret()?,
            node: world.node().clone(),
            directory: world.directory(),
            bpffs: world.bpffs(),
            pods: world.pods().to_vec(),
            resolvers: None,
            more: Vec::new(),
        };
        fs::create_dir_all(setup.policies()).context("cannot make the directory of policies")?;
        Ok(setup)
    }

    /// With this policy file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn policy(self, name: &str, text: &str) -> Result<Self> {
        self.write_policy(name, text)?;
        Ok(self)
    }

    /// With these, and no others, as the resolvers of every workload, written in the workloads file.
    #[must_use]
    pub fn trusting(mut self, resolvers: &[IpAddr]) -> Self {
        self.resolvers = Some(resolvers.to_vec());
        self
    }

    /// With this argument more.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.more.push(argument.to_owned());
        self
    }

    pub(super) fn write_policy(&self, name: &str, text: &str) -> Result<()> {
        // Beside the directory and not in it: the agent must never read half a file.
        let new = self.directory.join(format!("{name}.new"));
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, self.policies().join(name)))
            .context("cannot write a policy")
    }

    /// Starts the agent and waits until it is ready and covers every pod.
    ///
    /// # Errors
    /// It is not ready within 10 s; its log is in the message.
    pub fn start(self) -> Result<Agent> {
        self.write_workloads()?;
        let mut command = self.command()?;
        let child = command.spawn().context("cannot run nsenter; install util-linux")?;
        let mut agent = Agent { setup: Some(self), child };
        agent.wait_until_ready()?;
        Ok(agent)
    }

    fn write_workloads(&self) -> Result<()> {
        let workload = |pod: &Pod| {
            let mut workload = json!({"namespace": pod.namespace(), "name": pod.name(),
                                      "labels": {"app": pod.name()}, "netns": pod.netns().name()});
            if let Some(resolvers) = &self.resolvers {
                workload["resolvers"] = json!(resolvers);
            }
            workload
        };
        let workloads: Vec<_> = self.pods.iter().map(workload).collect();
        // JSON is YAML.
        let text = serde_json::to_string_pretty(&json!({"workloads": workloads}))?;
        fs::write(self.workloads(), text).context("cannot write the workloads file")
    }

    fn command(&self) -> Result<Command> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = self.node.command(&self.program);
        command
            .arg("agent")
            .args([Path::new("--workloads"), &self.workloads(), Path::new("--policies"), &self.policies()])
            .arg(format!("--resolvers={},{}", RESOLVER.0, RESOLVER.1))
            .arg(format!("--cluster-ranges={}", POD_RANGES.join(",")))
            .args([
                Path::new("--state-dir"),
                &self.directory.join("state"),
                Path::new("--bpffs"),
                &self.bpffs,
            ])
            .args([Path::new("--socket"), &self.socket()])
            .args(&self.more)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }

    pub(super) fn node(&self) -> &Netns {
        &self.node
    }

    /// The program under test.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Where its API listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.join("egret.sock")
    }

    /// Where its policy files are.
    #[must_use]
    pub fn policies(&self) -> PathBuf {
        self.directory.join("policies")
    }

    /// Where its workloads file is.
    #[must_use]
    pub fn workloads(&self) -> PathBuf {
        self.directory.join("workloads.yaml")
    }

    /// Where it writes what it has to say.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.directory.join("agent.log")
    }
}

fn find_egret() -> Result<PathBuf> {
    let Some(given) = std::env::var_os("EGRET_BIN") else { return program_beside_us("egret") };
    let given = PathBuf::from(given);
    ensure!(given.is_file(), "EGRET_BIN is {}, and there is no such program", given.display());
    Ok(given)
}
