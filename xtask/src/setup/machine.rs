//! What the machine is and has.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use egret_ebpf_build::{Found, probe, tools_dir};

use super::{languages::Language, sources};
use crate::{cluster::Programs, helm};

/// What the machine is to be ready for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Building, and the show.
    Demo,
    /// Building, every test, and every benchmark.
    Test,
    /// The tests on another kernel, in a virtual machine.
    Vm,
    /// A Kubernetes of one node.
    Cluster,
}

/// A program that is run, and the Debian package it comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    pub name: &'static str,
    pub package: &'static str,
}

const fn program(name: &'static str, package: &'static str) -> Program {
    Program { name, package }
}

const DEMO: [Program; 2] = [program("ip", "iproute2"), program("nsenter", "util-linux")];

/// Whom the tests ask, what they are built with, and what the benchmarks hold Egret against.
const TEST: [Program; 3] = [program("unbound", "unbound"), program("c++", "g++"), program("nft", "nftables")];

/// What installs and runs the toolchains of other languages.
const LANGUAGES: [Program; 3] = [VENV, program("node", "nodejs"), program("npm", "npm")];
/// No program of its own, but a part of Python that Debian has in a package of its own.
const VENV: Program = program("python3 -m venv", "python3-venv");

const VM: [Program; 4] = [
    program("qemu-system-x86_64", "qemu-system-x86"),
    program("busybox", "busybox-static"),
    program("depmod", "kmod"),
    program("dpkg-deb", "dpkg"),
];

/// What a node's network and mounts are made with, the certificates, and Kubernetes itself where it is built.
const CLUSTER: [Program; 11] = [
    VENV,
    program("gcc", "gcc"),
    program("musl-gcc", "musl-tools"),
    program("iptables", "iptables"),
    program("conntrack", "conntrack"),
    program("mount", "mount"),
    program("setsid", "util-linux"),
    program("openssl", "openssl"),
    program("make", "make"),
    program("xz", "xz-utils"),
    program("dpkg-deb", "dpkg"),
];

/// Everything that the plan is made of.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What of eBPF's compilers is here.
    pub found: Found,
    /// Debian 12, whose security suite has the `rustc-web` line.
    pub debian12: bool,
    /// There is an apt-get.
    pub apt: bool,
    /// There is a rustup.
    pub rustup: bool,
    /// LLVM 22's development files, which `bpf-linker` is built with.
    pub llvm22: bool,
    /// The source of Debian's standard library, which is built for policy modules.
    pub std_source: bool,
    /// Installing a package may start a service.
    pub systemd: bool,
    /// We may install packages.
    pub root: bool,
    /// Languages whose toolchain is to be installed: policy modules in them are tested.
    pub languages: Vec<Language>,
    /// Helm is needed and not here.
    pub helm: bool,
    /// The programs of a Kubernetes are needed and not here.
    pub kubernetes: bool,
    /// Where this machine has Debian from.
    pub mirror: Option<String>,
    /// Programs that are needed and not here.
    pub absent: Vec<Program>,
}

/// Looks, without a network; some 100 ms.
pub fn look(need: Need) -> Machine {
    let when = |needed: bool, programs: &'static [Program]| if needed { programs } else { &[] };
    let (tests, vm) = (matches!(need, Need::Test | Need::Vm), need == Need::Vm);
    let cluster = need == Need::Cluster;
    let wanted = DEMO.iter().chain(when(tests, &TEST)).chain(when(tests, &LANGUAGES)).chain(when(vm, &VM));
    let wanted = wanted.chain(when(cluster, &CLUSTER));
    let tools = tools_dir().unwrap_or_default();
    Machine {
        found: probe(),
        debian12: is_debian12(&fs::read_to_string("/etc/os-release").unwrap_or_default()),
        apt: has("apt-get"),
        rustup: has("rustup"),
        llvm22: Path::new("/usr/lib/llvm-22/bin/llvm-config").exists(),
        std_source: Path::new("/usr/lib/rustlib/src/rust/library/std/src/lib.rs").exists(),
        systemd: Path::new("/run/systemd/system").exists(),
        root: crate::is_root(),
        languages: Language::ALL
            .into_iter()
            .filter(|language| tests && !language.is_installed(&tools))
            .collect(),
        helm: (tests || cluster) && !helm::is_installed(&tools),
        kubernetes: cluster && !Programs::below(&tools).are_there(),
        mirror: sources::mirror(),
        absent: wanted.copied().filter(|program| !has(program.name)).collect(),
    }
}

fn is_debian12(os_release: &str) -> bool {
    let says = |line: &str| os_release.lines().any(|each| each.replace('"', "") == line);
    says("ID=debian") && says("VERSION_ID=12")
}

/// Daemons live in the `sbin`s, which the PATH of a person may leave out.
fn has(program: &str) -> bool {
    if program == VENV.name {
        return has_venv();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let sbins = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(sbins).any(|dir| dir.join(program).is_file())
}

/// Whether Python makes virtual environments with a pip in them.
fn has_venv() -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", "import ensurepip, venv"]).stdin(Stdio::null()).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debian_12_is_debian_12() {
        let cases = [
            ("PRETTY_NAME=\"Debian\"\nVERSION_ID=\"12\"\nID=debian\n", true),
            ("ID=debian\nVERSION_ID=\"13\"\n", false),
            ("ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"12\"\n", false),
            ("", false),
        ];
        for (os_release, expected) in cases {
            assert_eq!(is_debian12(os_release), expected, "{os_release}");
        }
    }
}
