//! `cargo xtask test --vm`: the end-to-end tests on another kernel: the oldest that Egret runs on, or a newer one.
//!
//! Debian 12's kernel (6.1, which has no tcx), or that of its backports (6.12, which has), runs in a machine that qemu plays;
//! no hardware support is asked for. Its first process (`tests/vm/init`) takes this machine's files, read only, for its own:
//! so the same test binaries run there as here, one after the other, and say the same lines. What the machine does not say
//! counts as a failure.

mod archive;
mod kernel;

pub use kernel::Series;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use archive::Archive;
use egret_ebpf_build::tools_dir;

use crate::{
    cargo,
    counts::{Counts, Runner},
    setup, test,
};

static INIT: &[u8] = include_bytes!("../../../tests/vm/init");
const BUSYBOX: &str = "/bin/busybox";

/// Seconds that one test binary may take, and the machine for all: it is some ten times slower than this one.
const LIMIT: u32 = 900;
const LIMIT_OF_ALL: u32 = 5400;
/// What the machine says last.
const END: &str = "egret-vm: the end";

/// Crates of policy modules that tests ask.
const MODULES: [&str; 4] = [
    "tests/modules/contrary",
    "tests/modules/obedient",
    "policies-wasm/dns-tunnel-guard",
    "policies-wasm/port-scan-brake",
];
/// What `--short` runs: what modules decide, what a policy does, how names are learned, who gets round it, how it comes and goes.
const SHORT: [&str; 7] =
    ["modules", "outcomes", "names", "neighbours", "servers", "spoofing", "start_and_end"];
/// `surroundings` runs files of tests again beside programs of tcx, which the machine's kernel has not, and in the tier
/// that all of them are of there anyway.
const LEFT_OUT: [&str; 1] = ["surroundings"];
/// Tests of modules in Python and JavaScript, by what their names begin with: to compile an interpreter takes many minutes
/// in the machine, and how modules decide there is what all others of `modules` show.
const SKIPPED: &str = "languages::";
/// And the test of what an agent does within a second, where loading its programs alone takes five.
const TOO_SLOW: &str = "within_a_second";
/// Tests of modules that `--short` leaves out besides: they take the machine minutes, and the kernel has no part in what
/// most of them are about.
const SKIPPED_IF_SHORT: [&str; 11] = [
    "answers::",
    "authors::",
    "bad::",
    "load::",
    "loading::",
    "take_over::",
    "an_agent_that_hangs",
    "of_stage_always",
    "policy_on_trial",
    "verdict_ends_when",
    "with_other_labels",
];

/// Runs the tests; what they counted, and what went wrong besides.
pub fn run(filters: &[String], short: bool, series: Series) -> Result<(Counts, Vec<String>)> {
    setup::prepare(setup::Need::Vm)?;
    let folder = tools_dir().context("neither EGRET_TOOLS nor HOME is set")?.join("vm");
    fs::create_dir_all(&folder)?;
    let kernel = kernel::fetch(&folder, series)?;
    let binaries: Vec<_> = binaries()?.into_iter().filter(|(name, _)| is_wanted(name, short)).collect();
    ensure!(!binaries.is_empty(), "cargo built no end-to-end test");
    let modules = modules(&folder)?;
    let start = folder.join(format!("start-{}", std::process::id()));
    let console = start.with_extension("console");
    fs::write(&start, archive(&kernel, &job(&binaries, filters, &modules, short)?)?)?;
    let mut machine = machine(&kernel, &start, &console);
    let mut broken = Vec::new();
    let (mut ended, mut is_over) = (Vec::new(), false);
    let ran =
        test::run_each(&mut machine, Runner::Libtest, |line| match line.strip_prefix("egret-vm: ended ") {
            Some(name) => ended.push(name.to_owned()),
            None => is_over |= line == END,
        });
    let told = fs::read(&console).unwrap_or_default();
    for file in [&start, &console] {
        let _ = fs::remove_file(file);
    }
    let (counts, success) = ran?;
    let missing: Vec<_> =
        binaries.iter().map(|(name, _)| name).filter(|name| !ended.contains(name)).collect();
    if !(success && is_over && missing.is_empty()) {
        let told = String::from_utf8_lossy(&told);
        let last: Vec<_> = told.lines().rev().take(40).collect();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n  ");
        broken.push(format!(
            "the machine did not come to its end ({missing:?} did not); the kernel's last words:\n  {last}"
        ));
    }
    Ok((counts, broken))
}

fn is_wanted(name: &str, short: bool) -> bool {
    if short { SHORT.contains(&name) } else { !LEFT_OUT.contains(&name) }
}

/// Name and path of each end-to-end test binary, built.
fn binaries() -> Result<Vec<(String, PathBuf)>> {
    // All of the workspace, as the other tests do: with less of it, cargo would build the large crates once more.
    let build = cargo().args(["build", "--quiet", "--bins", "--workspace"]).status()?;
    ensure!(build.success(), "the program under test did not build");
    let output = cargo()
        .args(["test", "--no-run", "--workspace", "--tests", "--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "the end-to-end tests did not build");
    let mut found: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().filter_map(binary).collect();
    found.sort();
    Ok(found)
}

/// The policy modules that tests ask, built here: the machine has no compiler.
fn modules(folder: &Path) -> Result<PathBuf> {
    let folder = folder.join("modules");
    fs::create_dir_all(&folder)?;
    for source in MODULES {
        let name = Path::new(source).file_name().unwrap_or_default();
        let built = Command::new(test::built("egret")?)
            .args(["module", "build", source, "--out"])
            .arg(folder.join(name).with_extension("wasm"))
            .stdout(Stdio::null())
            .status()?;
        ensure!(built.success(), "the module in {source} did not build");
    }
    Ok(folder)
}

/// From a line of cargo's: `{"reason":"compiler-artifact",...,"target":{"kind":["test"],...,"name":NAME,...},...,
/// "executable":PATH,...}`.
fn binary(line: &str) -> Option<(String, PathBuf)> {
    let text = |key: &str| {
        let (_, rest) = line.split_once(&format!("\"{key}\":\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let (_, target) = line.split_once("\"target\":{")?;
    let is_test = line.contains("#egret-tests@") && target.starts_with("\"kind\":[\"test\"]");
    let (_, name) = target.split_once("\"name\":\"")?;
    let name = name.split_once('"')?.0.to_owned();
    is_test.then_some((name, text("executable")?.into()))
}

/// A shell script that runs the binaries, one after the other.
fn job(binaries: &[(String, PathBuf)], filters: &[String], modules: &Path, short: bool) -> Result<String> {
    let besides = if short { &SKIPPED_IF_SHORT[..] } else { &[] };
    let skipped: String =
        [SKIPPED, TOO_SLOW].iter().chain(besides).map(|test| format!("--skip {test} ")).collect();
    let egret = test::built("egret")?;
    let mut job = String::from("export PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root\n");
    writeln!(job, "export EGRET_BIN={}", quoted(&egret.display().to_string()))?;
    writeln!(job, "export EGRET_MODULES={}", quoted(&modules.display().to_string()))?;
    for (name, path) in binaries {
        let filters: Vec<_> = filters.iter().map(|filter| quoted(filter)).collect();
        let filters = filters.join(" ");
        let path = quoted(&path.display().to_string());
        writeln!(job, "echo '== {name}'")?;
        writeln!(job, "timeout -s KILL {LIMIT} {path} --test-threads=1 {skipped}{filters}")?;
        writeln!(
            job,
            "status=$?; [ $status -le 101 ] && echo 'egret-vm: ended {name}' || echo 'it ended with' $status"
        )?;
    }
    writeln!(job, "echo '{END}'")?;
    Ok(job)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn archive(kernel: &kernel::Kernel, job: &str) -> Result<Vec<u8>> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("{} cannot be read", path.display()));
    let mut archive = Archive::default();
    for folder in ["bin", "modules", "proc", "dev", "host", "rw", "root"] {
        archive.folder(folder);
    }
    archive.program("bin/busybox", &read(Path::new(BUSYBOX))?);
    archive.program("init", INIT);
    archive.program("job", job.as_bytes());
    for (number, module) in kernel.modules.iter().enumerate() {
        let name = module.file_stem().unwrap_or_default().to_string_lossy();
        archive.program(&format!("modules/{number:02}-{name}"), &kernel::read(module)?);
    }
    Ok(archive.finish())
}

/// On the first serial line it says what the kernel says, on the second what the tests do.
fn machine(kernel: &kernel::Kernel, start: &Path, console: &Path) -> Command {
    let mut machine = Command::new("timeout");
    machine
        .args(["-s", "KILL", &LIMIT_OF_ALL.to_string(), "qemu-system-x86_64"])
        .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048"])
        .args(["-nodefaults", "-display", "none", "-monitor", "none", "-no-reboot"])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(start)
        .args(["-append", "console=ttyS0 panic=-1 quiet mitigations=off"])
        .args(["-serial", &format!("file:{}", console.display()), "-serial", "stdio"])
        .args(["-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"])
        .args(["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"]);
    machine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_binary_is_told_from_other_artifacts_and_other_lines() {
        let line = |kind: &str, executable: &str| {
            format!(
                r##"{{"reason":"compiler-artifact","package_id":"path+file:///w/tests#egret-tests@0.1.0","target":{{"kind":["{kind}"],"crate_types":["bin"],"name":"names","src_path":"/s"}},"executable":{executable},"fresh":true}}"##
            )
        };
        let expected = Some(("names".to_owned(), PathBuf::from("/t/names-1")));
        assert_eq!(binary(&line("test", "\"/t/names-1\"")), expected);
        assert_eq!(binary(&line("lib", "\"/t/names-1\"")), None);
        assert_eq!(binary(&line("test", "null")), None);
        assert_eq!(binary("{\"reason\":\"build-finished\",\"success\":true}"), None);
    }

    #[test]
    fn what_runs_is_quoted_for_the_shell() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
