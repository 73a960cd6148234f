//! From what the machine has to the way eBPF is compiled on it. No I/O.

use std::{fmt, path::PathBuf};

/// What [`crate::probe`] saw that matters to compiling eBPF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Debian's own newer compiler, the `rustc-web` line.
    pub debian: Debian,
    /// The rustup toolchain called `nightly`.
    pub nightly: Nightly,
    /// Every `bpf-linker`, in order of preference.
    pub linkers: Vec<Linker>,
}

/// `/usr/bin/rustc` and `/usr/bin/cargo`, seen from eBPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Debian {
    /// One of the two is not there.
    Absent,
    /// Both are, without a `core` for the BPF target.
    NoBpfStd,
    /// Both are, with that `core`.
    Ready(Llvm),
}

/// rustup's `nightly`, seen from eBPF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nightly {
    /// No rustup, or no toolchain of that name.
    Absent,
    /// The name is there, and it is a link to a compiler of another channel, which refuses `-Z build-std`.
    OtherChannel,
    /// A nightly without the `rust-src` component, so without the source of `core`.
    NoSource,
    /// A nightly that can build `core`; the path is the toolchain's directory.
    Ready(PathBuf, Llvm),
}

/// A major version of LLVM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Llvm(pub u32);

/// One `bpf-linker`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linker {
    /// Its absolute path.
    pub path: PathBuf,
    /// The shared LLVM that it reads bitcode with; `None` where it carries its own, as upstream's releases do.
    pub llvm: Option<Llvm>,
}

/// Which of the two ways compiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Debian's `rustc-web` with its ready-made `core`.
    Debian,
    /// rustup's nightly, which builds `core` itself.
    Rustup,
}

/// The programs that compile eBPF here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Decides the flags: the two compilers differ in where `core` comes from.
    pub kind: Kind,
    /// The `cargo` to run, an absolute path.
    pub cargo: PathBuf,
    /// The `rustc` it is told to use, of the same toolchain.
    pub rustc: PathBuf,
    /// The `bpf-linker`.
    pub linker: PathBuf,
}

/// Neither way is complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Missing(pub Found);

impl Found {
    /// The compilers that could do it, the preferred first: Debian's, whose version stands still, before a nightly.
    pub fn compilers(&self) -> impl Iterator<Item = (Kind, PathBuf, Llvm)> {
        let debian = match self.debian {
            Debian::Ready(llvm) => Some((Kind::Debian, PathBuf::from("/usr/bin"), llvm)),
            Debian::Absent | Debian::NoBpfStd => None,
        };
        let nightly = match &self.nightly {
            Nightly::Ready(toolchain, llvm) => Some((Kind::Rustup, toolchain.join("bin"), *llvm)),
            Nightly::Absent | Nightly::OtherChannel | Nightly::NoSource => None,
        };
        debian.into_iter().chain(nightly)
    }
}

impl Linker {
    /// An LLVM reads the bitcode of its own version and of older ones; of a newer it says `Invalid record`.
    fn reads(&self, compiler: Llvm) -> bool {
        self.llvm.is_none_or(|own| own >= compiler)
    }
}

/// Picks the first compiler for which there is a linker that reads what it writes.
///
/// # Errors
/// [`Missing`] where there is no compiler for the target, or no linker for it.
pub fn choose(found: &Found) -> Result<Way, Missing> {
    let mut ways = found.compilers().filter_map(|(kind, bin, llvm)| {
        let linker = found.linkers.iter().find(|linker| linker.reads(llvm))?;
        Some(Way { kind, cargo: bin.join("cargo"), rustc: bin.join("rustc"), linker: linker.path.clone() })
    });
    ways.next().ok_or_else(|| Missing(found.clone()))
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Debian => "Debian's rustc-web",
            Kind::Rustup => "rustup's nightly",
        })
    }
}

impl fmt::Display for Debian {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Debian::Absent => "no /usr/bin/rustc with /usr/bin/cargo (Debian's rustc-web and cargo-web)",
            Debian::NoBpfStd => "/usr/bin/rustc has no core for BPF (Debian's libstd-rust-web-dev-bpf)",
            Debian::Ready(Llvm(major)) => return write!(f, "/usr/bin/rustc compiles for BPF (LLVM {major})"),
        })
    }
}

impl fmt::Display for Nightly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nightly::Absent => f.write_str("rustup has no nightly toolchain"),
            Nightly::OtherChannel => f.write_str("rustup's `nightly` is not a nightly compiler"),
            Nightly::NoSource => f.write_str("rustup's nightly has no rust-src"),
            Nightly::Ready(path, Llvm(major)) => {
                write!(f, "rustup's nightly compiles for BPF ({}, LLVM {major})", path.display())
            }
        }
    }
}

impl fmt::Display for Linker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.llvm {
            Some(Llvm(major)) => write!(f, "{} (LLVM {major})", self.path.display()),
            None => write!(f, "{}", self.path.display()),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Missing(found) = self;
        write!(f, "this machine cannot compile eBPF yet: {}; {}; ", found.debian, found.nightly)?;
        if found.linkers.is_empty() {
            f.write_str("no bpf-linker in $EGRET_TOOLS/bin, PATH or ~/.cargo/bin")?;
        } else {
            let linkers: Vec<_> = found.linkers.iter().map(Linker::to_string).collect();
            write!(f, "bpf-linker is {}", linkers.join(", "))?;
        }
        f.write_str(". Run `cargo xtask setup`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: Debian = Debian::Ready(Llvm(22));

    fn nightly(llvm: u32) -> Nightly {
        Nightly::Ready("/r/nightly".into(), Llvm(llvm))
    }

    fn linker(path: &str, llvm: Option<u32>) -> Linker {
        Linker { path: path.into(), llvm: llvm.map(Llvm) }
    }

    #[test]
    fn a_way_is_a_compiler_with_a_linker_that_reads_its_bitcode() {
        let shared = || vec![linker("/t/shared", Some(22))];
        let static_ = || vec![linker("/t/static", None)];
        let old_and_static = || vec![linker("/t/old", Some(21)), linker("/t/static", None)];
        let (debian, rustup) = ("/usr/bin/cargo", "/r/nightly/bin/cargo");
        let cases = [
            (DEBIAN, Nightly::Absent, shared(), Some((Kind::Debian, debian, "/t/shared"))),
            (DEBIAN, nightly(22), shared(), Some((Kind::Debian, debian, "/t/shared"))),
            (DEBIAN, nightly(23), old_and_static(), Some((Kind::Debian, debian, "/t/static"))),
            (Debian::Absent, nightly(22), shared(), Some((Kind::Rustup, rustup, "/t/shared"))),
            (Debian::NoBpfStd, nightly(23), static_(), Some((Kind::Rustup, rustup, "/t/static"))),
            (Debian::NoBpfStd, nightly(23), shared(), None),
            (DEBIAN, nightly(21), vec![linker("/t/old", Some(21))], Some((Kind::Rustup, rustup, "/t/old"))),
            (DEBIAN, nightly(23), vec![], None),
            (Debian::NoBpfStd, Nightly::NoSource, static_(), None),
            (Debian::Absent, Nightly::OtherChannel, static_(), None),
            (Debian::Absent, Nightly::Absent, vec![], None),
        ];
        for (debian, nightly, linkers, expected) in cases {
            let found = Found { debian, nightly, linkers };
            let expected = expected.map(|(kind, cargo, linker)| (kind, cargo.into(), linker.into()));
            assert_eq!(
                choose(&found).ok().map(|way| (way.kind, way.cargo, way.linker)),
                expected,
                "{found:?}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_named_with_the_command_that_installs_it() {
        let cases = [
            (
                Found { debian: Debian::NoBpfStd, nightly: Nightly::NoSource, linkers: vec![] },
                "this machine cannot compile eBPF yet: /usr/bin/rustc has no core for BPF (Debian's \
                 libstd-rust-web-dev-bpf); rustup's nightly has no rust-src; no bpf-linker in $EGRET_TOOLS/bin, \
                 PATH or ~/.cargo/bin. Run `cargo xtask setup`",
            ),
            (
                Found {
                    debian: DEBIAN,
                    nightly: Nightly::Absent,
                    linkers: vec![linker("/t/bpf-linker", Some(21))],
                },
                "this machine cannot compile eBPF yet: /usr/bin/rustc compiles for BPF (LLVM 22); rustup has no \
                 nightly toolchain; bpf-linker is /t/bpf-linker (LLVM 21). Run `cargo xtask setup`",
            ),
        ];
        for (found, expected) in cases {
            assert_eq!(choose(&found).expect_err("incomplete").to_string(), expected);
        }
    }
}
