//! One target at work.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    build::Built,
    output::{Line, Progress},
};

/// An input that takes longer is a finding: nothing in the product may.
const SLOWEST: &str = "-timeout=10";
/// More than any target may claim.
const MEMORY: &str = "-rss_limit_mb=1024";
/// Longer inputs find little that shorter ones do not, slowly.
const LONGEST: &str = "-max_len=4096";
const TELL_EACH: Duration = Duration::from_secs(10);
/// What a run of [`Bound::Executions`] takes its luck from.
const SEED: u32 = 1;
/// Lines of a panic and its trace that are shown.
const SHOWN: usize = 40;

/// When a target has run enough.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// After this many seconds of inputs that nobody tried before.
    Seconds(u32),
    /// After this many inputs, the same in each run of the same program.
    Executions(u32),
}

/// What came of it.
pub struct Ran {
    /// The target.
    pub target: String,
    /// How long it ran.
    pub seconds: u64,
    /// Inputs tried.
    pub executions: u64,
    /// Branches seen.
    pub coverage: u64,
    /// Inputs that broke it.
    pub crashes: Vec<PathBuf>,
    success: bool,
}

impl Ran {
    /// It ended as it should.
    pub fn is_well(&self) -> bool {
        self.success && self.crashes.is_empty()
    }

    /// Executions in a second.
    pub fn rate(&self) -> u64 {
        self.executions / self.seconds.max(1)
    }

    /// For machines.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "target": self.target,
            "seconds": self.seconds,
            "executions": self.executions,
            "executionsPerSecond": self.rate(),
            "coverage": self.coverage,
            "crashes": self.crashes,
        })
    }
}

/// Runs `target` until `bound`, telling how it goes.
pub fn run(built: &Built, target: &str, bound: Bound) -> Result<Ran> {
    let crashes = built.found("crashes", target)?;
    let mut fuzzer = Command::new(built.program(target));
    fuzzer.args([SLOWEST, MEMORY, LONGEST, "-print_final_stats=1"]);
    fuzzer.arg(format!("-artifact_prefix={}/", crashes.display()));
    fuzzer.args(built.dictionary(target).map(|path| format!("-dict={}", path.display())));
    // What is found goes into the first folder, and is where the next run goes on.
    let found = built.found("corpus", target)?;
    match bound {
        Bound::Seconds(0) => fuzzer.arg("-runs=0").arg(found),
        Bound::Seconds(seconds) => fuzzer.arg(format!("-max_total_time={seconds}")).arg(found),
        Bound::Executions(count) => fuzzer
            .args([format!("-runs={count}"), format!("-seed={SEED}")])
            .arg(built.emptied("brief", target)?),
    };
    fuzzer.arg(built.seeds(target));
    follow(fuzzer, target)
}

fn follow(mut fuzzer: Command, target: &str) -> Result<Ran> {
    let (begun, mut told) = (Instant::now(), Instant::now());
    let mut child = fuzzer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut output = BufReader::new(child.stderr.take().context("stderr was piped")?);
    let mut progress = Progress::default();
    let (mut crashes, mut words, mut line) = (Vec::new(), Vec::new(), Vec::new());
    // Bytes, not text: what is printed of an input may be no UTF-8.
    while output.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        match Line::read(&text) {
            Line::Progress(now) => progress = progress.and(now),
            Line::Crash(path) => crashes.push(path),
            Line::Other if words.len() < SHOWN => words.push(text),
            Line::Other => {}
        }
        if told.elapsed() >= TELL_EACH {
            told = Instant::now();
            eprintln!("{target}: {} s, {progress}", begun.elapsed().as_secs());
        }
    }
    let success = child.wait()?.success();
    let seconds = begun.elapsed().as_secs();
    if !success {
        words.iter().for_each(|word| eprintln!("{word}"));
    }
    eprintln!("{target}: {seconds} s, {progress}, {}", if success { "no crash" } else { "FAILED" });
    let Progress { executions, coverage } = progress;
    Ok(Ran { target: target.to_owned(), seconds, executions, coverage, crashes, success })
}
