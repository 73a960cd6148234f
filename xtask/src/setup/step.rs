//! What is installed, and the commands that install it. No I/O.

use std::{fmt, path::Path};

use super::languages::Language;
use crate::{cluster::Programs, helm};

/// The source of the standard library, which is built for policy modules.
pub const STD_SOURCE: &str = "rust-web-src";

/// The compiler, its `core` for BPF, and the LLVM that both it and the linker use.
pub const DEBIAN_TOOLCHAIN: [&str; 9] = [
    "rustc-web",
    "cargo-web",
    "libstd-rust-web-dev-bpf",
    STD_SOURCE,
    "rust-web-llvm",
    "lld-22",
    "clang-22",
    "llvm-22-dev",
    "libpolly-22-dev",
];

const LINKER_VERSION: &str = "0.13.0";

/// Packages that would start a service of their name on this machine; the tests start their own.
const SERVICES: [&str; 2] = ["unbound", "nftables"];

/// One thing to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Debian packages.
    Packages {
        /// Their names.
        names: Vec<&'static str>,
        /// The machine runs services, and starts those that a package brings.
        systemd: bool,
    },
    /// `bpf-linker`, compiled against Debian's LLVM 22.
    LinkerFromSource,
    /// rustup's nightly with the source of `core`.
    Nightly,
    /// `bpf-linker` as upstream releases it, with an LLVM of its own.
    LinkerFromRelease,
    /// What makes policy modules of another language.
    Language(Language),
    /// Helm, as a library of Python.
    Helm,
    /// The programs of a Kubernetes, from Debian's packages and sources.
    Kubernetes {
        /// Where this machine has Debian from.
        mirror: String,
    },
}

/// A command to run, without a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub environment: Vec<(&'static str, &'static str)>,
    pub program: String,
    pub arguments: Vec<String>,
}

impl Step {
    /// A few words, for the progress line and the log's name.
    pub fn name(&self) -> &'static str {
        match self {
            Step::Packages { .. } => "debian-packages",
            Step::LinkerFromSource | Step::LinkerFromRelease => "bpf-linker",
            Step::Nightly => "rust-nightly",
            Step::Language(language) => language.library(),
            Step::Helm => "helm",
            Step::Kubernetes { .. } => "kubernetes",
        }
    }

    /// Said of a step that is long enough to make one wonder.
    pub fn takes(&self) -> &'static str {
        match self {
            Step::Kubernetes { .. } => ", which takes ten minutes and more",
            _ => "",
        }
    }

    /// The commands, to run in order; `tools` is where what is no package goes.
    pub fn commands(&self, tools: &Path) -> Vec<Run> {
        match self {
            Step::Packages { names, systemd } => apt(names, *systemd),
            Step::LinkerFromSource => vec![linker_from_source(tools)],
            Step::Nightly => vec![run(
                "rustup",
                &["toolchain", "install", "nightly", "--profile", "minimal", "--component", "rust-src"],
            )],
            Step::LinkerFromRelease => linker_from_release(tools),
            Step::Language(language) => language.commands(tools),
            Step::Helm => helm(tools),
            Step::Kubernetes { mirror } => vec![kubernetes(tools, mirror)],
        }
    }
}

/// A command without an environment of its own.
pub fn run(program: &str, arguments: &[&str]) -> Run {
    let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
    Run { environment: vec![], program: program.to_owned(), arguments }
}

fn apt(packages: &[&str], systemd: bool) -> Vec<Run> {
    // Another apt-get may be at work on a machine that has just started.
    let wait = ["-o", "DPkg::Lock::Timeout=300"];
    let mut install = run("apt-get", &["install", "--yes", "--no-install-recommends"]);
    install.arguments.extend(wait.iter().chain(packages).map(|&argument| argument.to_owned()));
    install.environment = vec![("DEBIAN_FRONTEND", "noninteractive")];
    let mut commands = vec![run("apt-get", &["update", wait[0], wait[1]]), install];
    let services: Vec<&str> = packages.iter().copied().filter(|name| SERVICES.contains(name)).collect();
    if systemd && !services.is_empty() {
        let systemctl = |verb: &[&str]| run("systemctl", &[verb, &services].concat());
        commands.insert(1, systemctl(&["mask", "--runtime"]));
        commands.extend([systemctl(&["disable"]), systemctl(&["unmask", "--runtime"])]);
    }
    commands
}

fn linker_from_source(tools: &Path) -> Run {
    let tools = tools.display().to_string();
    let mut install =
        run("cargo", &["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--force"]);
    let features = ["--no-default-features", "--features", "llvm-22", "--root", &tools];
    install.arguments.extend(features.map(str::to_owned));
    install.environment = vec![("LLVM_PREFIX", "/usr/lib/llvm-22")];
    install
}

fn linker_from_release(tools: &Path) -> Vec<Run> {
    let archive = format!("bpf-linker-{}-unknown-linux-musl.tar.zst", std::env::consts::ARCH);
    let url = format!("https://github.com/aya-rs/bpf-linker/releases/download/v{LINKER_VERSION}/{archive}");
    let (file, bin) = (tools.join(&archive).display().to_string(), tools.join("bin").display().to_string());
    vec![
        run(
            "curl",
            &["--fail", "--silent", "--show-error", "--location", "--retry", "3", "--output", &file, &url],
        ),
        run("tar", &["--extract", "--zstd", "--file", &file, "--directory", &bin]),
    ]
}

fn helm(tools: &Path) -> Vec<Run> {
    let lock = helm::lock().display().to_string();
    python(&helm::folder(tools).display().to_string(), &lock)
}

/// The packages that `lock` names, each by its hash, in a folder of their own; a copy of it is left as `installed`.
pub fn python(folder: &str, lock: &str) -> Vec<Run> {
    let pip = ["install", "--quiet", "--require-hashes", "--only-binary", ":all:", "-r", lock];
    vec![
        run("python3", &["-m", "venv", "--clear", folder]),
        run(&format!("{folder}/bin/pip"), &pip),
        run("cp", &[lock, &format!("{folder}/installed")]),
    ]
}

fn kubernetes(tools: &Path, mirror: &str) -> Run {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let programs = root.join("tests/cluster/programs").display().to_string();
    run(&programs, &[&Programs::below(tools).folder().display().to_string(), mirror])
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.environment {
            write!(f, "{name}={value} ")?;
        }
        write!(f, "{} {}", self.program, self.arguments.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_pasted_into_a_shell() {
        let cases = [
            (
                Step::LinkerFromSource,
                "LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker --version 0.13.0 --locked --force \
                 --no-default-features --features llvm-22 --root /t",
            ),
            (
                Step::Packages { names: vec!["iproute2", "unbound"], systemd: false },
                "apt-get update -o DPkg::Lock::Timeout=300\nDEBIAN_FRONTEND=noninteractive apt-get install --yes \
                 --no-install-recommends -o DPkg::Lock::Timeout=300 iproute2 unbound",
            ),
            (
                Step::Packages { names: vec!["iproute2", "unbound"], systemd: true },
                "apt-get update -o DPkg::Lock::Timeout=300\nsystemctl mask --runtime unbound\n\
                 DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
                 -o DPkg::Lock::Timeout=300 iproute2 unbound\n\
                 systemctl disable unbound\nsystemctl unmask --runtime unbound",
            ),
            (Step::Nightly, "rustup toolchain install nightly --profile minimal --component rust-src"),
        ];
        for (step, expected) in cases {
            let lines: Vec<_> = step.commands(Path::new("/t")).iter().map(Run::to_string).collect();
            assert_eq!(lines.join("\n"), expected);
        }
    }
}
