//! NFQUEUE: iptables hands first packets to a reader in C, which is compiled here and now and accepts them all.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use egret_tests::World;

static READER: &str = include_str!("reader.c");

/// The reader; it ends with this.
pub struct Queue(Child);

impl Queue {
    /// What is missing on this machine, where something is.
    pub fn missing() -> Option<String> {
        let answers = |program: &str| Command::new(program).arg("--version").output().is_ok();
        let missing: Vec<_> = ["iptables", "cc"].into_iter().filter(|program| !answers(program)).collect();
        (!missing.is_empty()).then(|| format!("this machine has no {}", missing.join(" and no ")))
    }

    /// On the node of `world`: the SYNs that come in at `interface` wait for it.
    pub fn start(world: &World, interface: &str) -> Result<Self> {
        let program = world.directory().join("reader");
        compile(&program)?;
        let mut reader = world.node().command(&program).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(reader.stdout.take().context("what it says")?).read_line(&mut line)?;
        let reader = Self(reader);
        ensure!(line == "ready\n", "the reader of the queue did not start");
        let rule = format!("-A FORWARD -i {interface} -p tcp --syn -j NFQUEUE --queue-num 0");
        let told = world.node().command("iptables").args(rule.split(' ')).status()?;
        ensure!(told.success(), "iptables refused `{rule}`");
        Ok(reader)
    }

    /// Packets that were in the queue so far.
    pub fn passed(world: &World) -> Result<u64> {
        let table =
            world.node().run(|| fs::read_to_string("/proc/thread-self/net/netfilter/nfnetlink_queue"))??;
        // Queue, port, waiting, mode, range, dropped, dropped by the user, and the number of the last packet.
        let last = table.split_whitespace().nth(7).context("the queue is not listed")?;
        Ok(last.parse()?)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn compile(program: &Path) -> Result<()> {
    let mut compiler = Command::new("cc")
        .args(["-O2", "-x", "c", "-", "-o"])
        .arg(program)
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot run cc")?;
    compiler.stdin.take().context("stdin of cc")?.write_all(READER.as_bytes())?;
    ensure!(compiler.wait()?.success(), "the reader of the queue did not compile");
    Ok(())
}
