//! The program under test, by what a user has: its command line, its files and its HTTP API.
//!
//! [`Setup`] is an agent that is configured but does not run; [`Agent`] is one that runs. Starting turns the first
//! into the second, killing or stopping it turns it back: what stays in the kernel meanwhile is what tests look at.

mod http;
mod records;
mod setup;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::eventually;
use crate::world::Pod;

pub use records::{AskedNow, Explained, Flow, Origin, Step, Verdict, WorkloadRow};
pub use setup::{Setup, described};

/// How long the agent may take to start, to stop, or to notice a file: a second or two, but for a machine that is played
/// by a program (`cargo xtask test --vm`), where its programs alone take five to load, and the largest policy a minute.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A running agent. It is killed when this goes out of scope; what it left in the kernel goes with the world.
#[derive(Debug)]
pub struct Agent {
    setup: Option<Setup>,
    child: Child,
}

impl Agent {
    /// Its program, its files and its socket.
    ///
    /// # Panics
    /// Never: an agent that ended is a [`Setup`] again.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        self.setup.as_ref().expect("taken only when the agent ends")
    }

    /// Waits until the agent says that every covered workload has its rules in force.
    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = std::time::Instant::now() + self.setup().patience();
        while !self.get("/readyz").is_ok_and(|answer| answer.status == 200) {
            if let Some(status) = self.child.try_wait()? {
                bail!("the agent ended ({status}):\n{}", self.log());
            }
            ensure!(std::time::Instant::now() < deadline, "the agent is not ready:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Coverage is proven by packets, which are on their way when the agent is ready.
    fn wait_for_coverage(&self) -> Result<()> {
        let covered = || {
            let missing = self.status()?["workloads"]["notCovered"].take();
            Ok(missing.as_array().is_some_and(Vec::is_empty).then_some(()))
        };
        eventually("every workload is covered", self.setup().patience(), covered).with_context(|| {
            format!("{:?}\n{}", self.status().map(|status| status["workloads"].clone()), self.log())
        })
    }

    /// Why `pod` is not covered, as the status says it; `None` where it is covered.
    ///
    /// # Errors
    /// As [`Agent::status`].
    pub fn gap(&self, pod: &Pod) -> Result<Option<String>> {
        let status = self.status()?;
        let missing = status["workloads"]["notCovered"].as_array().context("a list of gaps")?;
        let of_pod = |gap: &&Value| gap["namespace"] == pod.namespace() && gap["name"] == pod.name();
        Ok(missing.iter().find(of_pod).map(|gap| gap["reason"].as_str().unwrap_or_default().to_owned()))
    }

    /// Waits until `pod` is covered, or until it is not for a reason that holds the word `why`.
    ///
    /// # Errors
    /// It does not come to that within [`PATIENCE`].
    pub fn wait_for_gap(&self, pod: &Pod, why: Option<&str>) -> Result<()> {
        let told = || -> Result<Option<()>> {
            let as_wanted = match (self.gap(pod)?, why) {
                (None, None) => true,
                (Some(reason), Some(why)) => reason.contains(why),
                _ => false,
            };
            Ok(as_wanted.then_some(()))
        };
        eventually(&format!("{} with the gap {why:?}", pod.id()), PATIENCE, told)
            .with_context(|| format!("{:?}\n{}", self.gap(pod), self.log()))
    }

    fn get(&self, target: &str) -> Result<http::Answer> {
        http::get(&self.setup().socket(), target)
    }

    /// The status with which the agent answers a GET of `target` at a TCP address of the node.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn get_over_tcp(&self, address: SocketAddr, target: &str) -> Result<u16> {
        Ok(self.setup().node().run(|| http::get_over_tcp(address, target))??.status)
    }

    fn get_json<T: DeserializeOwned>(&self, target: &str) -> Result<T> {
        let answer = self.get(target)?;
        let text = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status == 200, "{target}: {} {text}", answer.status);
        serde_json::from_str(&text).with_context(|| format!("{target}: {text}"))
    }

    /// `/v1/status`.
    ///
    /// # Errors
    /// The agent does not answer, or not as it should.
    pub fn status(&self) -> Result<Value> {
        self.get_json("/v1/status")
    }

    /// `/v1/workloads`.
    ///
    /// # Errors
    /// As [`Agent::status`].
    pub fn workloads(&self) -> Result<Vec<WorkloadRow>> {
        self.get_json("/v1/workloads")
    }

    /// `/v1/flows`: all records there are, as they are written.
    ///
    /// # Errors
    /// As [`Agent::status`].
    pub fn flow_lines(&self) -> Result<Vec<String>> {
        let answer = self.get("/v1/flows")?;
        ensure!(answer.status == 200, "/v1/flows: {}", answer.status);
        Ok(String::from_utf8(answer.body)?.lines().map(str::to_owned).collect())
    }

    /// `/metrics`, as Prometheus gets it.
    ///
    /// # Errors
    /// As [`Agent::status`].
    pub fn metrics(&self) -> Result<String> {
        let answer = self.get("/metrics")?;
        ensure!(answer.status == 200, "/metrics: {}", answer.status);
        Ok(String::from_utf8(answer.body)?)
    }

    /// `/v1/flows`: all records there are.
    ///
    /// # Errors
    /// As [`Agent::status`].
    pub fn flows(&self) -> Result<Vec<Flow>> {
        self.flow_lines()?.iter().map(|line| parse(line)).collect()
    }

    /// `/v1/flows?follow=true`: what there is, then what comes, for as long as no more than 5 s pass in between.
    ///
    /// # Errors
    /// As [`Agent::status`].
    pub fn follow(&self) -> Result<impl Iterator<Item = Result<Flow>> + use<>> {
        let lines = http::follow(&self.setup().socket(), "/v1/flows?follow=true")?;
        Ok(lines.map(|line| parse(&line?)))
    }

    /// The records of `pod`, as soon as there is one that `wanted` picks.
    ///
    /// # Errors
    /// There is none after [`PATIENCE`].
    pub fn flow(&self, pod: &Pod, wanted: impl Fn(&Flow) -> bool) -> Result<Flow> {
        eventually(&format!("a flow record of {}", pod.id()), PATIENCE, || {
            let flows = self.flows()?;
            Ok(flows.into_iter().rev().find(|flow| flow.workload.is(pod) && wanted(flow)))
        })
    }

    /// `/v1/explain`: what the policies say of `pod` going to `destination`, written `DEST[:PORT[/PROTO]]`.
    ///
    /// # Errors
    /// As [`Agent::status`].
    pub fn explain(&self, pod: &Pod, destination: &str) -> Result<Explained> {
        let encode = http::encode;
        self.get_json(&format!(
            "/v1/explain?workload={}&destination={}",
            encode(&pod.id()),
            encode(destination)
        ))
    }

    /// Runs `egret ARGS... --socket PATH` on the node, as a person would.
    ///
    /// # Errors
    /// The program cannot be run; what it answers is the caller's to judge.
    pub fn cli(&self, args: &[&str]) -> Result<Output> {
        Ok(self.command(args).output()?)
    }

    /// `egret ARGS... --socket PATH` on the node, to be run.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let setup = self.setup();
        let mut command = setup.node().command(setup.program());
        command.args(args).arg("--socket").arg(setup.socket());
        command
    }

    /// Replaces or adds the policy file `name` at once, as `mv` does. The agent watches the directory.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_policy(&self, name: &str, text: &str) -> Result<()> {
        self.setup().write_policy(name, text)
    }

    /// Waits until the agent reports `mode` (Observe, Enforce, unmanaged) of `pod`.
    ///
    /// # Errors
    /// It does not within [`PATIENCE`]; the problems it has with its policies are in the message.
    pub fn wait_for_mode(&self, pod: &Pod, mode: &str) -> Result<()> {
        let told = || -> Result<Option<()>> {
            let rows = self.workloads()?;
            let row = rows.iter().find(|row| row.namespace == pod.namespace() && row.name == pod.name());
            Ok(row.is_some_and(|row| row.mode == mode).then_some(()))
        };
        eventually(&format!("mode {mode} of {}", pod.id()), PATIENCE, told)
            .with_context(|| format!("{}\n{}", self.problems(), self.log()))
    }

    /// Writes a policy file and waits until it is the one in force: `pod` is of `mode`.
    ///
    /// # Errors
    /// As [`Agent::wait_for_mode`].
    pub fn switch(&self, pod: &Pod, file: &str, text: &str, mode: &str) -> Result<()> {
        self.write_policy(file, text)?;
        self.wait_for_mode(pod, mode)
    }

    /// What the agent has against its policy files, as JSON.
    #[must_use]
    pub fn problems(&self) -> Value {
        self.status().map(|mut status| status["policies"]["problems"].take()).unwrap_or_default()
    }

    /// SIGHUP: read the files again.
    ///
    /// # Errors
    /// The agent is no more.
    pub fn reload(&self) -> Result<()> {
        self.signal(Signal::HUP)
    }

    /// Writes these entries, and no others, into the workloads file, and tells the agent to read it.
    ///
    /// # Errors
    /// The file cannot be written, or the agent is no more.
    pub fn describe(&self, described: &[Value]) -> Result<()> {
        self.setup().write_workloads(described)?;
        self.reload()
    }

    /// Labels a namespace `tier: TIER` in the workloads file, which the agent watches.
    ///
    /// # Errors
    /// The file cannot be written, or the agent is no more.
    pub fn tier(&mut self, namespace: &str, tier: &str) -> Result<()> {
        let setup = self.setup.take().context("a running agent")?.tier(namespace, tier);
        self.setup.insert(setup).write_own_workloads()
    }

    /// Lets the agent do nothing until [`Agent::resume`]: as slow as one can be, and not gone.
    ///
    /// # Errors
    /// The agent is no more.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// The agent is no more.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(pid, signal).context("cannot signal the agent")
    }

    /// SIGKILL: the agent has no chance to put anything in order.
    ///
    /// # Errors
    /// The agent was already gone.
    pub fn kill(mut self) -> Result<Setup> {
        ensure!(self.child.try_wait()?.is_none(), "the agent ended by itself:\n{}", self.log());
        self.child.kill()?;
        self.child.wait()?;
        self.setup.take().context("ended once")
    }

    /// SIGTERM, and its clean end.
    ///
    /// # Errors
    /// The agent does not end with 0 within [`PATIENCE`].
    pub fn stop(mut self) -> Result<Setup> {
        self.signal(Signal::TERM)?;
        let status: ExitStatus =
            eventually("the agent ends on SIGTERM", PATIENCE, || Ok(self.child.try_wait()?))?;
        ensure!(
            status.success(),
            "the agent ended with {:?} {:?}:\n{}",
            status.code(),
            status.signal(),
            self.log()
        );
        self.setup.take().context("ended once")
    }

    /// Starts another agent, which takes over from this one while both run, and waits until it covers every pod.
    ///
    /// # Errors
    /// This one does not end with 0 within [`PATIENCE`], or the other one does not start.
    pub fn replace(mut self) -> Result<Self> {
        let setup = self.setup.take().context("a running agent")?;
        let mut next = setup.without("--take-over").arg("--take-over").spawn()?;
        let ended = eventually("the agent before ends", PATIENCE, || {
            let is_over = next.child.try_wait()?.map(|status| bail!("the next one ended first: {status}"));
            is_over.transpose().and_then(|_: Option<()>| Ok(self.child.try_wait()?))
        });
        if ended.is_err() {
            self.child.kill()?;
            self.child.wait()?;
        }
        let ended = ended.with_context(|| next.log())?;
        ensure!(ended.success(), "the agent before ended with {ended}:\n{}", next.log());
        next.wait_until_ready()?;
        next.wait_for_coverage()?;
        Ok(next)
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// The last of what the agent wrote.
    #[must_use]
    pub fn log(&self) -> String {
        let text = fs::read_to_string(self.setup().log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

fn parse(line: &str) -> Result<Flow> {
    serde_json::from_str(line).with_context(|| format!("not a flow: {line}"))
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.setup.is_some() {
            // Already ended is as good.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
