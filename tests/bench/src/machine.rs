//! Where the figures come from, and how to keep still while they are taken.

use std::fmt;
use std::fs;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde::Serialize;

/// A machine, as far as it tells something of figures.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Its processor.
    pub processor: String,
    /// How many of them.
    pub processors: usize,
    /// Its kernel.
    pub kernel: String,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let of = |key: &str| cpuinfo.lines().find(|line| line.starts_with(key));
        let name =
            of("model name").and_then(|line| line.split_once(": ")).map_or("unknown", |(_, name)| name);
        Self {
            processor: name.trim().to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}, Linux {}", self.processors, self.processor, self.kernel)
    }
}

/// Runs `work` on a thread that stays on the first processor, and with it every process and thread that it starts:
/// what talks to each other over two virtual processors waits for one to wake up, and that is all one would measure.
pub fn on_one_processor<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let pinned = scope.spawn(|| {
            stay()?;
            work()
        });
        pinned.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Moves every thread of a process to the second processor.
pub fn move_to_second(process: u32) -> Result<()> {
    let mut second = CpuSet::new();
    second.set(1);
    for task in fs::read_dir(format!("/proc/{process}/task")).context("list the threads of the agent")? {
        let thread = task?.file_name().to_string_lossy().parse().context("a thread has a number")?;
        let thread = rustix::process::Pid::from_raw(thread);
        sched_setaffinity(thread, &second).context("move the agent to the second processor")?;
    }
    Ok(())
}

/// Keeps this thread on the first processor.
pub fn stay() -> Result<()> {
    let mut first = CpuSet::new();
    first.set(0);
    sched_setaffinity(None, &first).context("stay on one processor")
}
