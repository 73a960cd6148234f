//! The files and the command line of an agent that does not run yet, or not any more.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Agent, PATIENCE};
use crate::dial::program_beside_us;
use crate::eventually;
use crate::netns::Netns;
use crate::world::{POD_RANGES, Pod, RESOLVER, Surroundings, World};

/// An agent, configured for a world.
#[derive(Clone, Debug)]
pub struct Setup {
    program: PathBuf,
    node: Netns,
    directory: PathBuf,
    bpffs: PathBuf,
    state: String,
    socket: String,
    described: Vec<Value>,
    namespaces: Vec<Value>,
    more: Vec<String>,
    patience: Duration,
}

/// What the workloads file says of `pod`: its namespace, name, label `app` and network namespace.
#[must_use]
pub fn described(pod: &Pod) -> Value {
    json!({"namespace": pod.namespace(), "name": pod.name(), "labels": {"app": pod.name()},
           "netns": pod.netns().name()})
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
            state: "state".to_owned(),
            socket: "egret.sock".to_owned(),
            described: world.pods().iter().map(described).collect(),
            namespaces: Vec::new(),
            more: match world.surroundings() {
                Surroundings::Filtered => vec!["--hooks=clsact".to_owned()],
                // Whatever a resolver might take off a name, the agent looks for.
                Surroundings::Held => vec!["--search-domains=nobody.invalid".to_owned()],
                _ => Vec::new(),
            },
            patience: PATIENCE,
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
        for workload in &mut self.described {
            workload["resolvers"] = json!(resolvers);
        }
        self
    }

    /// With these entries, and no others, in the workloads file; see [`described`].
    #[must_use]
    pub fn describing(self, described: Vec<Value>) -> Self {
        Self { described, ..self }
    }

    /// With this namespace, labelled `tier: TIER`, in the workloads file; others stay undescribed.
    #[must_use]
    pub fn tier(mut self, namespace: &str, tier: &str) -> Self {
        self.namespaces.retain(|known| known["name"] != namespace);
        self.namespaces.push(json!({"name": namespace, "labels": {"tier": tier}}));
        self
    }

    /// With a state folder of this name, beside the usual one.
    #[must_use]
    pub fn with_state(self, name: &str) -> Self {
        Self { state: name.to_owned(), ..self }
    }

    /// With its pins in a folder of this name, beside the usual one.
    #[must_use]
    pub fn with_pins(self, name: &str) -> Self {
        let bpffs = format!("{}-{name}", self.bpffs.display()).into();
        Self { bpffs, ..self }
    }

    /// With a socket of this name, beside the usual one.
    #[must_use]
    pub fn with_socket(self, name: &str) -> Self {
        Self { socket: name.to_owned(), ..self }
    }

    /// Which may take this long to be ready.
    #[must_use]
    pub fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Makes what an agent pinned that of another version of the layouts whose name begins with this: `v` for what judges,
    /// `learned` for what was looked up.
    ///
    /// # Errors
    /// What cannot be renamed.
    pub fn age_pins(&self, kind: &str) -> Result<()> {
        for pins in fs::read_dir(&self.bpffs)? {
            let pins = pins?;
            let mut other = pins.file_name();
            if other.to_string_lossy().starts_with(kind) {
                other.push("0");
                fs::rename(pins.path(), self.bpffs.join(other)).context("cannot rename the pins")?;
            }
        }
        Ok(())
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// With this argument more.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.more.push(argument.to_owned());
        self
    }

    /// Without the arguments that begin with this.
    #[must_use]
    pub fn without(mut self, argument: &str) -> Self {
        self.more.retain(|more| !more.starts_with(argument));
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
    /// It does not come to that within [`PATIENCE`]; its log is in the message.
    pub fn start(self) -> Result<Agent> {
        let agent = self.start_with_gaps()?;
        agent.wait_for_coverage()?;
        Ok(agent)
    }

    /// Starts the agent and waits until it is ready, whatever it could not cover.
    ///
    /// # Errors
    /// As [`Setup::start`].
    pub fn start_with_gaps(self) -> Result<Agent> {
        let mut agent = self.spawn()?;
        agent.wait_until_ready()?;
        Ok(agent)
    }

    pub(super) fn spawn(self) -> Result<Agent> {
        self.write_workloads(&self.described)?;
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = self.command(&[]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("cannot run nsenter; install util-linux")?;
        Ok(Agent { setup: Some(self), child })
    }

    /// Runs an agent that is expected to end by itself within [`PATIENCE`], by way of the command `through`, which may take
    /// privileges away, and tells how it ended. The files are left as they are.
    ///
    /// # Errors
    /// It did not end.
    pub fn run_through(&self, through: &[&str]) -> Result<Output> {
        let mut command = self.command(through);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let ended = eventually("the agent ends by itself", PATIENCE, || Ok(child.try_wait()?));
        if ended.is_err() {
            child.kill()?;
        }
        let output = child.wait_with_output()?;
        ended.map(|_| output)
    }

    pub(super) fn write_own_workloads(&self) -> Result<()> {
        self.write_workloads(&self.described)
    }

    pub(super) fn write_workloads(&self, described: &[Value]) -> Result<()> {
        // JSON is YAML.
        let text =
            serde_json::to_string_pretty(&json!({"namespaces": self.namespaces, "workloads": described}))?;
        fs::write(self.workloads(), text).context("cannot write the workloads file")
    }

    fn command(&self, through: &[&str]) -> Command {
        let words: Vec<&OsStr> =
            through.iter().map(OsStr::new).chain([self.program.as_os_str(), "agent".as_ref()]).collect();
        let mut command = self.node.command(words[0]);
        command
            .args(&words[1..])
            .args([Path::new("--workloads"), &self.workloads(), Path::new("--policies"), &self.policies()])
            .arg(format!("--resolvers={},{}", RESOLVER.0, RESOLVER.1))
            .arg(format!("--cluster-ranges={}", POD_RANGES.join(",")))
            .args([Path::new("--state-dir"), &self.directory.join(&self.state)])
            .args([Path::new("--bpffs"), &self.bpffs])
            .args([Path::new("--socket"), &self.socket()])
            .args(&self.more);
        command
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
        self.directory.join(&self.socket)
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
