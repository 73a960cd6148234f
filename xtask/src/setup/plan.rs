//! From what a machine has to the steps that complete it. No I/O.

use egret_ebpf_build::{Debian, Kind, Nightly, choose};

use super::{
    machine::{Machine, Program},
    step::{STD_SOURCE, Step},
};

/// Why the machine cannot be completed from here; each says what to do.
#[derive(Debug, PartialEq, Eq)]
pub enum NoWay {
    /// Debian 12, as a plain user.
    NotRoot,
    /// No Debian 12, and no rustup.
    NoRustup,
    /// Programs that nobody here can install.
    Programs(Vec<Program>),
    /// Kubernetes is built from Debian's sources, and this machine names no Debian.
    NoDebian,
}

/// The steps in order, none where nothing is missing.
///
/// # Errors
/// [`NoWay`].
pub fn plan(machine: &Machine) -> Result<Vec<Step>, NoWay> {
    let mut packages: Vec<&str> = machine.absent.iter().map(|program| program.package).collect();
    if !(packages.is_empty() || machine.apt && machine.root) {
        return Err(NoWay::Programs(machine.absent.clone()));
    }
    let mut steps = Vec::new();
    if choose(&machine.found).is_err() {
        match way(machine) {
            Kind::Debian => {
                let complete = matches!(machine.found.debian, Debian::Ready(_)) && machine.llvm22;
                packages.extend(if complete { &[][..] } else { &super::step::DEBIAN_TOOLCHAIN[..] });
                steps.push(Step::LinkerFromSource);
            }
            Kind::Rustup => steps.extend(by_rustup(machine)?),
        }
    }
    // Policy modules need the source of the standard library. A nightly has it for eBPF already; Debian's is a package.
    if way(machine) == Kind::Debian && !machine.std_source && !packages.contains(&STD_SOURCE) {
        if !machine.root {
            return Err(NoWay::NotRoot);
        }
        packages.push(STD_SOURCE);
    }
    steps.extend(machine.languages.iter().copied().map(Step::Language));
    steps.extend(machine.helm.then_some(Step::Helm));
    if machine.kubernetes {
        let mirror = machine.mirror.clone().filter(|_| machine.apt).ok_or(NoWay::NoDebian)?;
        steps.push(Step::Kubernetes { mirror });
    }
    if !packages.is_empty() {
        steps.insert(0, Step::Packages { names: packages, systemd: machine.systemd });
    }
    Ok(steps)
}

/// By which way eBPF is, or is to be, compiled here. On Debian 12 its own compiler, whose version stands still, if we
/// may install it or it is there already; else rustup's nightly.
pub fn way(machine: &Machine) -> Kind {
    let complete = matches!(machine.found.debian, Debian::Ready(_)) && machine.llvm22;
    match choose(&machine.found) {
        Ok(way) => way.kind,
        Err(_) if machine.debian12 && (machine.root || complete) => Kind::Debian,
        Err(_) => Kind::Rustup,
    }
}

fn by_rustup(machine: &Machine) -> Result<Vec<Step>, NoWay> {
    if !machine.rustup {
        return Err(if machine.debian12 { NoWay::NotRoot } else { NoWay::NoRustup });
    }
    let nightly = (!matches!(machine.found.nightly, Nightly::Ready(..))).then_some(Step::Nightly);
    Ok(nightly.into_iter().chain([Step::LinkerFromRelease]).collect())
}

impl std::error::Error for NoWay {}

impl std::fmt::Display for NoWay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NoWay::NotRoot => f.write_str(
                "to compile eBPF and policy modules, this Debian 12 needs packages that only root can install: run \
                 `cargo xtask setup` as root once. (Or install rustup, https://rustup.rs, and run it again.)",
            ),
            NoWay::NoRustup => f.write_str(
                "there is no way to compile eBPF here: this is not Debian 12, and there is no rustup. \
                 Install rustup, https://rustup.rs, and run `cargo xtask setup` again",
            ),
            NoWay::NoDebian => f.write_str(
                "the programs of a Kubernetes come from Debian's packages and sources, and neither \
                 /etc/apt/sources.list nor a file of /etc/apt/sources.list.d says where this machine has Debian \
                 from. Do this on a Debian 12",
            ),
            NoWay::Programs(programs) => {
                let names: Vec<_> = programs.iter().map(|program| program.name).collect();
                let packages: Vec<_> = programs.iter().map(|program| program.package).collect();
                write!(
                    f,
                    "these programs are needed and not here: {}. Install them as root (Debian calls the \
                     packages {}) and run this again",
                    names.join(", "),
                    packages.join(", ")
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use egret_ebpf_build::{Found, Linker, Llvm};

    use super::*;
    use crate::setup::languages::Language;

    const IP: Program = Program { name: "ip", package: "iproute2" };

    /// A fresh Debian 12, as root, with cargo and nothing else.
    fn fresh() -> Machine {
        Machine {
            found: Found { debian: Debian::Absent, nightly: Nightly::Absent, linkers: vec![] },
            debian12: true,
            apt: true,
            rustup: false,
            llvm22: false,
            std_source: false,
            systemd: false,
            root: true,
            languages: vec![],
            helm: false,
            kubernetes: false,
            mirror: Some("http://mirror.example/debian".into()),
            absent: vec![IP],
        }
    }

    fn with(change: impl FnOnce(&mut Machine)) -> Machine {
        let mut machine = fresh();
        change(&mut machine);
        machine
    }

    fn foreign(machine: &mut Machine) {
        (machine.debian12, machine.apt, machine.absent) = (false, false, vec![]);
    }

    fn linker(llvm: Option<u32>) -> Vec<Linker> {
        vec![Linker { path: "/t/bpf-linker".into(), llvm: llvm.map(Llvm) }]
    }

    fn debian_ready(machine: &mut Machine) {
        (machine.found.debian, machine.llvm22, machine.absent) = (Debian::Ready(Llvm(22)), true, vec![]);
        machine.std_source = true;
    }

    #[test]
    fn each_machine_gets_the_steps_that_complete_it() {
        let packages = |names| Step::Packages { names, systemd: false };
        let toolchain = || super::super::step::DEBIAN_TOOLCHAIN.to_vec();
        let nightly = |llvm| Nightly::Ready("/n".into(), Llvm(llvm));
        let mut all = vec!["iproute2"];
        all.extend(toolchain());
        let cases = [
            ("a fresh Debian 12", fresh(), vec![packages(all), Step::LinkerFromSource]),
            (
                "Debian 12 with rustup still takes the compiler that stands still",
                with(|m| (m.rustup, m.absent) = (true, vec![])),
                vec![packages(toolchain()), Step::LinkerFromSource],
            ),
            (
                "only the linker is missing, which needs no root",
                with(|m| {
                    debian_ready(m);
                    m.root = false;
                }),
                vec![Step::LinkerFromSource],
            ),
            (
                "a linker on too old an LLVM counts as missing",
                with(|m| {
                    debian_ready(m);
                    m.found.linkers = linker(Some(21));
                }),
                vec![Step::LinkerFromSource],
            ),
            (
                "all is there",
                with(|m| {
                    debian_ready(m);
                    m.found.linkers = linker(Some(22));
                }),
                vec![],
            ),
            (
                "all is there but what policy modules are built with",
                with(|m| {
                    debian_ready(m);
                    (m.found.linkers, m.std_source) = (linker(None), false);
                }),
                vec![packages(vec!["rust-web-src"])],
            ),
            (
                "all is there but a program",
                with(|m| {
                    debian_ready(m);
                    m.found.linkers = linker(None);
                    m.absent = vec![IP];
                }),
                vec![packages(vec!["iproute2"])],
            ),
            (
                "all is there but what makes modules of other languages, which needs no root",
                with(|m| {
                    debian_ready(m);
                    (m.found.linkers, m.root) = (linker(None), false);
                    m.languages = Language::ALL.to_vec();
                }),
                vec![Step::Language(Language::Python), Step::Language(Language::JavaScript)],
            ),
            (
                "all is there but Helm, which needs no root",
                with(|m| {
                    debian_ready(m);
                    (m.found.linkers, m.root, m.helm) = (linker(None), false, true);
                }),
                vec![Step::Helm],
            ),
            (
                "all is there but a Kubernetes",
                with(|m| {
                    debian_ready(m);
                    (m.found.linkers, m.kubernetes) = (linker(None), true);
                }),
                vec![Step::Kubernetes { mirror: "http://mirror.example/debian".into() }],
            ),
            (
                "rustup on another system",
                with(|m| {
                    foreign(m);
                    m.rustup = true;
                    m.root = false;
                }),
                vec![Step::Nightly, Step::LinkerFromRelease],
            ),
            (
                "rustup on Debian 12 without root",
                with(|m| (m.rustup, m.root, m.absent) = (true, false, vec![])),
                vec![Step::Nightly, Step::LinkerFromRelease],
            ),
            (
                "a nightly newer than the linker",
                with(|m| {
                    foreign(m);
                    (m.rustup, m.found.nightly, m.found.linkers) = (true, nightly(23), linker(Some(22)));
                }),
                vec![Step::LinkerFromRelease],
            ),
            (
                "a nightly and a linker that reads it",
                with(|m| {
                    foreign(m);
                    (m.rustup, m.found.nightly, m.found.linkers) = (true, nightly(22), linker(Some(22)));
                }),
                vec![],
            ),
        ];
        for (name, machine, expected) in cases {
            assert_eq!(plan(&machine), Ok(expected), "{name}");
        }
    }

    #[test]
    fn a_machine_that_cannot_be_completed_is_told_what_to_do() {
        let cases = [
            (with(|m| (m.root, m.absent) = (false, vec![])), NoWay::NotRoot, "as root once"),
            (with(foreign), NoWay::NoRustup, "Install rustup"),
            (
                with(|m| {
                    debian_ready(m);
                    (m.found.linkers, m.kubernetes, m.mirror) = (linker(None), true, None);
                }),
                NoWay::NoDebian,
                "where this machine has Debian from",
            ),
            (with(|m| m.root = false), NoWay::Programs(vec![IP]), "iproute2"),
            (
                with(|m| {
                    foreign(m);
                    m.absent = vec![IP];
                }),
                NoWay::Programs(vec![IP]),
                "not here: ip",
            ),
        ];
        for (machine, expected, words) in cases {
            let refused = plan(&machine).expect_err("cannot be completed");
            assert!(refused.to_string().contains(words), "{refused}");
            assert_eq!(refused, expected);
        }
    }
}
