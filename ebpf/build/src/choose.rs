//! From what the machine has to the way eBPF is compiled on it. No I/O.

use std::{fmt, path::PathBuf};

/// What [`crate::probe`] saw that matters to compiling eBPF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Debian's own newer compiler, the `rustc-web` line.
    pub debian: Debian,
    /// The rustup toolchain called `nightly`.
    pub nightly: Nightly,
    /// The first `bpf-linker` found.
    pub linker: Option<PathBuf>,
}

/// `/usr/bin/rustc` and `/usr/bin/cargo`, seen from eBPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Debian {
    /// One of the two is not there.
    Absent,
    /// Both are, without a `core` for the BPF target.
    NoBpfStd,
    /// Both are, with that `core`.
    Ready,
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
    Ready(PathBuf),
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

/// Picks the way. Debian's first: its compiler and the linker that `cargo xtask setup` builds share one LLVM, while a
/// nightly may be newer than the linker and write bitcode that it cannot read.
///
/// # Errors
/// [`Missing`] where there is no compiler for the target, or no linker.
pub fn choose(found: &Found) -> Result<Way, Missing> {
    let (kind, bin) = match (found.debian, &found.nightly) {
        (Debian::Ready, _) => (Kind::Debian, PathBuf::from("/usr/bin")),
        (_, Nightly::Ready(toolchain)) => (Kind::Rustup, toolchain.join("bin")),
        _ => return Err(Missing(found.clone())),
    };
    let Some(linker) = found.linker.clone() else { return Err(Missing(found.clone())) };
    Ok(Way { kind, cargo: bin.join("cargo"), rustc: bin.join("rustc"), linker })
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
            Debian::Ready => "/usr/bin/rustc compiles for BPF",
        })
    }
}

impl fmt::Display for Nightly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nightly::Absent => f.write_str("rustup has no nightly toolchain"),
            Nightly::OtherChannel => f.write_str("rustup's `nightly` is not a nightly compiler"),
            Nightly::NoSource => f.write_str("rustup's nightly has no rust-src"),
            Nightly::Ready(path) => write!(f, "rustup's nightly can build core ({})", path.display()),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Missing(found) = self;
        let compiler = found.debian == Debian::Ready || matches!(found.nightly, Nightly::Ready(_));
        f.write_str("this machine cannot compile eBPF yet: ")?;
        if !compiler {
            write!(f, "{}; {}", found.debian, found.nightly)?;
        }
        if found.linker.is_none() {
            let joint = if compiler { "" } else { "; " };
            write!(f, "{joint}no bpf-linker in $EGRET_TOOLS/bin, PATH or ~/.cargo/bin")?;
        }
        f.write_str(". Run `cargo xtask setup`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(debian: Debian, nightly: Nightly, linker: bool) -> Found {
        Found { debian, nightly, linker: linker.then(|| "/t/bpf-linker".into()) }
    }

    #[test]
    fn a_way_is_chosen_only_where_compiler_and_linker_are_complete() {
        let ready = || Nightly::Ready("/r/nightly".into());
        let cases = [
            (found(Debian::Ready, Nightly::Absent, true), Some((Kind::Debian, "/usr/bin/cargo"))),
            (found(Debian::Ready, ready(), true), Some((Kind::Debian, "/usr/bin/cargo"))),
            (found(Debian::Absent, ready(), true), Some((Kind::Rustup, "/r/nightly/bin/cargo"))),
            (found(Debian::NoBpfStd, ready(), true), Some((Kind::Rustup, "/r/nightly/bin/cargo"))),
            (found(Debian::Ready, ready(), false), None),
            (found(Debian::NoBpfStd, Nightly::NoSource, true), None),
            (found(Debian::Absent, Nightly::OtherChannel, true), None),
            (found(Debian::Absent, Nightly::Absent, false), None),
        ];
        for (found, expected) in cases {
            let way = choose(&found).ok();
            let got = way.as_ref().map(|way| (way.kind, way.cargo.to_str().expect("a plain path")));
            assert_eq!(got, expected, "{found:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_the_command_that_installs_it() {
        let cases = [
            (
                found(Debian::NoBpfStd, Nightly::NoSource, true),
                "this machine cannot compile eBPF yet: /usr/bin/rustc has no core for BPF (Debian's \
                 libstd-rust-web-dev-bpf); rustup's nightly has no rust-src. Run `cargo xtask setup`",
            ),
            (
                found(Debian::Ready, Nightly::Absent, false),
                "this machine cannot compile eBPF yet: no bpf-linker in $EGRET_TOOLS/bin, PATH or ~/.cargo/bin. \
                 Run `cargo xtask setup`",
            ),
        ];
        for (found, expected) in cases {
            assert_eq!(choose(&found).expect_err("incomplete").to_string(), expected);
        }
    }
}
