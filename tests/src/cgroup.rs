//! A control group of a test's own, and what runs in it in a namespace: an application in the node's own network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::dial::{Attempt, Outcome, program_beside_us};
use crate::eventually;
use crate::netns::Netns;

/// How long what ended may stay in a group.
const PATIENCE: Duration = Duration::from_secs(5);

/// A group below the mount of cgroup v2, with one more below it, in which things run as the containers of a pod do.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes it.
    ///
    /// # Errors
    /// There is no cgroup v2, or no right to it.
    pub fn new() -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let mount = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (place, kind) = (words.next()?, words.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(place))
        });
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            mount.context("cgroup v2 is not mounted")?.join(format!("eg{}-{number}", std::process::id()));
        fs::create_dir_all(path.join("container")).context("cannot make a control group")?;
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that runs in it and in `netns`.
    #[must_use]
    pub fn command(&self, netns: &Netns, program: &Path) -> Command {
        let mut command = netns.command("sh");
        let enter = "echo $$ > \"$0/container/cgroup.procs\" && exec \"$@\"";
        command.args(["-c", enter]).arg(&self.path).arg(program);
        command
    }

    /// What an application in it sees that dials out once.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn dial(&self, netns: &Netns, attempt: &Attempt) -> Result<Outcome> {
        let mut command = self.command(netns, &program_beside_us("egret-dial")?);
        let output = command.arg(serde_json::to_string(attempt)?).output()?;
        ensure!(output.status.success(), "egret-dial: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).context("egret-dial printed something else than an outcome")
    }

    /// Starts `egret-socket WORDS` in it, and waits until it says that it is ready.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn start(&self, netns: &Netns, words: &[&str]) -> Result<Running> {
        use std::io::{BufRead, BufReader};
        let mut command = self.command(netns, &program_beside_us("egret-socket")?);
        let mut child = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut output = BufReader::new(child.stdout.take().context("its output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        ensure!(line == "ready\n", "egret-socket {words:?} said `{line}`");
        Ok(Running { child, output })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
        let _ = eventually("the group is empty", PATIENCE, || {
            Ok(fs::remove_dir(self.path.join("container")).is_ok().then_some(()))
        });
        let _ = fs::remove_dir(&self.path);
    }
}

/// An application that goes on.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: std::io::BufReader<std::process::ChildStdout>,
}

impl Running {
    /// Has it do once more what it does, and says how that ended: its next line.
    ///
    /// # Errors
    /// It has ended.
    pub fn again(&mut self) -> Result<String> {
        use std::io::{BufRead, Write};
        self.child.stdin.as_mut().context("its input")?.write_all(b"\n")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
