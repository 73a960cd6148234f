//! The agent on the cluster's node.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_tests::eventually;
use serde_json::Value;

use crate::cluster::{Cluster, Pod};

/// Where it pins programs and maps.
const BPFFS: &str = "/sys/fs/bpf/egret-cluster";
const PATIENCE: Duration = Duration::from_secs(20);

/// An agent that takes workloads and policies from Kubernetes. When it goes, so does all that it pinned.
pub struct Agent {
    process: Child,
    folder: tempfile::TempDir,
    cluster: (PathBuf, String, egret_tests::netns::Netns),
    flags: Vec<String>,
}

impl Agent {
    /// Starts it, and waits until it is ready.
    ///
    /// # Errors
    /// It does not become ready; its log is in the error.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        Self::start_at(cluster, None)
    }

    /// The same with these flags besides.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(cluster: &Cluster, flags: &[&str]) -> Result<Self> {
        Self::started(cluster, None, flags)
    }

    /// The same with the API server elsewhere, as in `https://127.0.0.1:6443`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_at(cluster: &Cluster, server: Option<&str>) -> Result<Self> {
        Self::started(cluster, server, &[])
    }

    fn started(cluster: &Cluster, server: Option<&str>, flags: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let kubeconfig = folder.path().join("kubeconfig");
        fs::write(&kubeconfig, cluster.kubeconfig_of_agents(server)?)?;
        let cluster = (kubeconfig, cluster.node_name.clone(), cluster.node.clone());
        let flags: Vec<_> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let process = spawn(&cluster, folder.path(), &flags)?;
        let agent = Self { process, folder, cluster, flags };
        agent.wait()?;
        Ok(agent)
    }

    /// Kills it, and starts it again on what it left.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        self.process = spawn(&self.cluster, self.folder.path(), &self.flags)?;
        self.wait()
    }

    fn wait(&self) -> Result<()> {
        eventually("the agent is not ready", PATIENCE, || {
            let is_ready = self.log().lines().last().is_some() && self.log().contains("ready");
            Ok((is_ready && self.status().is_ok()).then_some(()))
        })
        .with_context(|| self.log())
    }

    /// What it told people since it last started.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// `egret status`.
    ///
    /// # Errors
    /// It does not answer.
    pub fn status(&self) -> Result<Value> {
        self.json(&["status"])
    }

    /// The row of a pod in `egret workloads`.
    ///
    /// # Errors
    /// The agent does not know it.
    pub fn workload(&self, id: &str) -> Result<Value> {
        let rows = self.json(&["workloads"])?;
        let rows = rows.as_array().or_else(|| rows["workloads"].as_array()).context("no rows")?.clone();
        let (namespace, name) = id.split_once('/').context("an id")?;
        let is_it = |row: &&Value| row["namespace"] == namespace && row["name"] == name;
        rows.iter().find(is_it).cloned().with_context(|| format!("{id} is not in {rows:?}"))
    }

    /// Waits until a pod is covered and of this mode.
    ///
    /// # Errors
    /// It does not become so.
    pub fn wait_for(&self, pod: &Pod, mode: &str) -> Result<()> {
        let what = format!("{} is not covered and of mode {mode}", pod.id);
        let is_so = |row: &Value| row["mode"] == mode && row["coverage"]["state"] == "covered";
        let waited = eventually(&what, PATIENCE, || Ok(self.workload(&pod.id).ok().filter(is_so).map(drop)));
        waited.with_context(|| format!("{:?}\n{}", self.workload(&pod.id), self.log()))
    }

    /// What the command prints as JSON.
    ///
    /// # Errors
    /// It fails.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let told = self.told(args)?;
        serde_json::from_str(&told).with_context(|| told)
    }

    /// `egret flows`, one record each.
    ///
    /// # Errors
    /// It does not answer.
    pub fn flows(&self) -> Result<Vec<Value>> {
        let told = self.told(&["flows"])?;
        told.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    fn told(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(program()?);
        command.args(args).args(["-o", "json", "--socket"]).arg(self.folder.path().join("socket"));
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.stdout.is_empty(), "egret {}: {said}", args.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(BPFFS);
    }
}

fn spawn(
    (kubeconfig, node, netns): &(PathBuf, String, egret_tests::netns::Netns),
    folder: &Path,
    flags: &[String],
) -> Result<Child> {
    fs::create_dir_all(BPFFS).context(BPFFS)?;
    let log = File::create(folder.join("log"))?;
    let at = |name: &str| folder.join(name).display().to_string();
    let mut command = netns.command(program()?);
    command.args(["agent", "--kubernetes", "--node-name", node, "--bpffs", BPFFS]);
    command.arg("--kubeconfig").arg(kubeconfig);
    command.args(["--state-dir", &at("state"), "--socket", &at("socket")]);
    command.args(flags);
    command.stdout(log.try_clone()?).stderr(log);
    command.spawn().context("the agent does not start")
}

fn program() -> Result<PathBuf> {
    std::env::var_os("EGRET_BIN")
        .map(PathBuf::from)
        .context("EGRET_BIN: run these with `cargo xtask test --cluster`")
}
