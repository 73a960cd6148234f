//! `cargo xtask test`: runs every suite, shows what they print and adds up what they count.

use std::{
    env,
    io::{BufRead as _, BufReader, IsTerminal as _, Read},
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    thread,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    cargo, cluster,
    counts::{Counts, Runner},
    require_root, setup, vm,
};

/// For how many seconds tests go on that have a long form; who sets it waits for them.
const LONG: &str = "EGRET_LONG";
/// The package of the tests on a real Kubernetes, and the cluster that is brought up for them.
const CLUSTER: &str = "egret-tests-cluster";
const TEST_CLUSTER: &str = "tests";

/// Which tests.
#[derive(clap::Args)]
pub struct Options {
    /// Only tests whose name contains one of these.
    filter: Vec<String>,
    /// The end-to-end tests, on another kernel in a virtual machine.
    #[arg(long)]
    vm: bool,
    /// The tests on a real Kubernetes, which is brought up for them and taken down.
    #[arg(long, conflicts_with = "vm")]
    cluster: bool,
    /// With --vm: which of Debian's kernels.
    #[arg(long, requires = "vm", value_enum, default_value = "6.1")]
    kernel: vm::Series,
    /// With --vm: those that matter most.
    #[arg(long, requires = "vm")]
    short: bool,
}

/// Exit 0 only where tests ran and none failed; the last line counts them.
pub fn task(options: &Options) -> Result<ExitCode> {
    require_root("test")?;
    setup::prepare(setup::Need::Test)?;
    if options.vm {
        let (counts, broken) = vm::run(&options.filter, options.short, options.kernel)?;
        return Ok(sum_up(counts, broken));
    }
    if options.cluster {
        let suites = suites(&options.filter, true)?;
        let image = cluster::image()?.display().to_string();
        return cluster::with(TEST_CLUSTER, |status| {
            run_all(suites, &[("EGRET_CLUSTER", status), ("EGRET_IMAGE", &image)])
        });
    }
    run_all(suites(&options.filter, false)?, &[])
}

fn run_all(suites: Vec<(Command, Runner)>, environment: &[(&str, &str)]) -> Result<ExitCode> {
    let mut total = Counts::default();
    let mut broken = Vec::new();
    for (mut suite, runner) in suites {
        suite.envs(environment.iter().copied());
        let (counts, success) = run(&mut suite, runner)?;
        total += counts;
        if !success && counts.failed == 0 {
            let arguments: Vec<_> = suite.get_args().map(|argument| argument.to_string_lossy()).collect();
            broken
                .push(format!("`cargo {}` failed before or after its tests: see above", arguments.join(" ")));
        }
    }
    Ok(sum_up(total, broken))
}

fn sum_up(total: Counts, mut broken: Vec<String>) -> ExitCode {
    if total == Counts::default() && broken.is_empty() {
        broken.push("no test ran".to_owned());
    }
    for line in &broken {
        eprintln!("error: {line}");
    }
    println!("{total}");
    if total.failed == 0 && broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A binary of this workspace, beside ours: where cargo's target directory is, cargo alone knows.
pub fn built(name: &str) -> Result<PathBuf> {
    let path = env::current_exe()?.with_file_name(name);
    if path.exists() { Ok(path) } else { bail!("{} was not built", path.display()) }
}

/// Those on a real Kubernetes; or the tests in documentation, which nextest leaves out, then all others. `--workspace` in
/// each: the integration tests of `egret` make cargo build its binary, which the end-to-end tests start.
fn suites(filters: &[String], on_cluster: bool) -> Result<Vec<(Command, Runner)>> {
    let nextest = cargo().args(["nextest", "--version"]).output().is_ok_and(|output| output.status.success());
    let mut tests = cargo();
    if nextest {
        // What must run alone is said in .config/nextest.toml.
        tests.args(["nextest", "run", "--no-fail-fast", "--no-tests=pass"]);
        if env::var_os(LONG).is_some() {
            tests.args(["--profile", "long"]);
        }
        tests.arg("-E");
        tests.arg(if on_cluster { format!("package({CLUSTER})") } else { format!("not package({CLUSTER})") });
    } else {
        tests.args(["test", "--no-fail-fast", "--all-targets"]).env("RUST_TEST_THREADS", "1");
        tests.args(if on_cluster { ["--package", CLUSTER] } else { ["--exclude", CLUSTER] });
    }
    let mut docs = cargo();
    docs.args(["test", "--doc", "--no-fail-fast"]);
    let egret = env::current_exe()?.with_file_name("egret");
    let runner = if nextest { Runner::Nextest } else { Runner::Libtest };
    let mut suites = vec![(tests, runner)];
    if !on_cluster {
        suites.insert(0, (docs, Runner::Libtest));
    }
    for (suite, _) in &mut suites {
        suite
            .arg("--workspace")
            .args(filters)
            .env("EGRET_BIN", &egret)
            .env("EGRET_XTASK", env::current_exe()?);
        if std::io::stdout().is_terminal() {
            suite.env("CARGO_TERM_COLOR", "always");
        }
    }
    Ok(suites)
}

fn run(suite: &mut Command, runner: Runner) -> Result<(Counts, bool)> {
    run_each(suite, runner, |_| ())
}

/// Runs it, shows what it prints, and has `each` look at every line of its standard output.
pub fn run_each(suite: &mut Command, runner: Runner, mut each: impl FnMut(&str)) -> Result<(Counts, bool)> {
    let mut child = suite
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{suite:?} did not start"))?;
    let stderr = child.stderr.take().context("stderr was piped")?;
    let stdout = child.stdout.take().context("stdout was piped")?;
    let counts = thread::scope(|scope| {
        let other = scope.spawn(|| relay(stderr, runner, |line| eprintln!("{line}")));
        let counts = relay(stdout, runner, |line| {
            println!("{line}");
            each(line);
        });
        other.join().map(|other| counts + other)
    });
    let counts = counts.map_err(|_| anyhow::anyhow!("reading what the tests print failed"))?;
    Ok((counts, child.wait()?.success()))
}

/// Shows every line and adds up those that count.
fn relay(from: impl Read, runner: Runner, mut show: impl FnMut(&str)) -> Counts {
    let mut counts = Counts::default();
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    // Bytes, not text: what a test prints may be no UTF-8, and must not end the reading.
    while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line);
        show(text.trim_end_matches(['\r', '\n']));
        counts += Counts::in_line(&text, runner).unwrap_or_default();
        line.clear();
    }
    counts
}
