//! Egret as its users install it: the image loaded, the chart applied by Helm.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_tests::eventually;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::Cluster;

/// How long a rollout of agents may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Egret in a cluster; it is taken out in the end.
pub struct Installed<'a> {
    cluster: &'a Cluster,
}

impl<'a> Installed<'a> {
    /// Installs it. Who runs these tests made the image; without one it is made.
    ///
    /// # Errors
    /// What Helm, or the rollout, says.
    pub fn into(cluster: &'a Cluster) -> Result<Self> {
        Self::with(cluster, &json!({}))
    }

    /// The same, with these values of the chart over what the cluster needs.
    ///
    /// # Errors
    /// What Helm, or the rollout, says.
    pub fn with(cluster: &'a Cluster, values: &Value) -> Result<Self> {
        cluster.take_rights()?;
        let image = std::env::var("EGRET_IMAGE").map(|path| format!("--image={path}"));
        let options = [Some(format!("--values={values}")), image.ok()];
        xtask(cluster, "install", &options.into_iter().flatten().collect::<Vec<_>>())?;
        Ok(Self { cluster })
    }

    /// Takes it out.
    ///
    /// # Errors
    /// What Helm says.
    pub fn take_out(self) -> Result<()> {
        let cluster = self.cluster;
        std::mem::forget(self);
        xtask(cluster, "uninstall", &[])
    }

    /// What `kubectl egret` says, asked from outside as the administrator.
    ///
    /// # Errors
    /// It fails.
    pub fn plugin(&self, words: &[&str]) -> Result<String> {
        let program =
            std::env::var("EGRET_BIN").context("EGRET_BIN: run these with `cargo xtask test --cluster`")?;
        let mut command = self.cluster.node.command(program);
        command.arg("kubectl").args(words).env("KUBECONFIG", &self.cluster.kubeconfig);
        let output = command.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// One of the agent's counters, as Prometheus reads it.
    ///
    /// # Errors
    /// It is not there.
    pub fn counter(&self, name: &str) -> Result<u64> {
        let output =
            self.cluster.node.command("curl").args(["-s", "http://10.9.9.1:9401/metrics"]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("egret_{name}_total ")));
        line.with_context(|| format!("{name} is not in {text}"))?.trim().parse().context("a number")
    }

    /// What the agents tell people.
    ///
    /// # Errors
    /// `kubectl` fails.
    pub fn log(&self) -> Result<String> {
        self.cluster.kubectl(&["logs", "-n", "egret", "daemonset/egret", "-c", "agent"])
    }

    /// Kills the agent, as the kernel does where memory is short; its kubelet starts another one.
    ///
    /// # Errors
    /// None runs.
    pub fn kill_agent(&self) -> Result<()> {
        let process = self.agent()?;
        let number = process.file_name().and_then(|name| name.to_str()?.parse().ok()).and_then(Pid::from_raw);
        Ok(kill_process(number.context("no number")?, Signal::KILL)?)
    }

    /// The agent's process: its folder below `/proc`.
    ///
    /// # Errors
    /// None runs.
    pub fn agent(&self) -> Result<PathBuf> {
        let node = fs::metadata(self.cluster.node.path())?.ino();
        let is_agent = |process: &PathBuf| {
            let command = fs::read(process.join("cmdline")).unwrap_or_default();
            let inode = fs::metadata(process.join("ns/net")).map(|netns| netns.ino());
            command.starts_with(b"/usr/bin/egret\0agent\0") && inode.is_ok_and(|inode| inode == node)
        };
        let mut processes = fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
        processes.find(is_agent).context("no agent runs on the node")
    }

    /// Has no node run an agent any more, as when one does not come up, while Egret stays installed; or has them run again.
    ///
    /// # Errors
    /// They do not go, or come.
    pub fn run(&self, runs: bool) -> Result<()> {
        let value = if runs { "null" } else { r#""nowhere""# };
        let patch =
            format!(r#"{{"spec":{{"template":{{"spec":{{"nodeSelector":{{"egret.test/at":{value}}}}}}}}}}}"#);
        self.cluster.kubectl(&[
            "patch",
            "daemonset",
            "-n",
            "egret",
            "egret",
            "--type=merge",
            "-p",
            &patch,
        ])?;
        if runs {
            let waited = ["rollout", "status", "daemonset", "-n", "egret", "egret", "--timeout=120s"];
            // Of the old specification, none is there to be waited for.
            return eventually("no agent is ready", PATIENCE, || {
                let pods = self.cluster.kubectl(&["get", "pods", "-n", "egret", "--no-headers"])?;
                Ok(pods.contains("1/1").then_some(()))
            })
            .and_then(|()| self.cluster.kubectl(&waited).map(drop));
        }
        eventually("the agent does not go", PATIENCE, || {
            let pods = self.cluster.kubectl(&["get", "pods", "-n", "egret", "-o", "name"])?;
            Ok(pods.trim().is_empty().then_some(()))
        })
    }

    /// Where its agent keeps what it pins.
    #[must_use]
    pub fn pins(cluster: &Cluster) -> PathBuf {
        format!("/sys/fs/bpf/egret-{}", cluster.name).into()
    }
}

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        let _ = xtask(self.cluster, "uninstall", &[]);
    }
}

fn xtask(cluster: &Cluster, verb: &str, options: &[String]) -> Result<()> {
    let xtask =
        std::env::var("EGRET_XTASK").context("EGRET_XTASK: run these with `cargo xtask test --cluster`")?;
    let output = Command::new(xtask)
        .args(["cluster", "--name", &cluster.name, verb])
        .args(options)
        .output()
        .context("xtask does not start")?;
    ensure!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
