//! From what the machine has to the way modules are compiled on it. No I/O.

use std::fmt;
use std::path::PathBuf;

/// What [`crate::probe`] saw that matters to compiling modules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The `cargo` and `rustc` of PATH, where that compiler has the target ready-made.
    pub ready: Option<Programs>,
    /// `/usr/bin/cargo` and `/usr/bin/rustc`, where Debian's source of the standard library lies beside them.
    pub debian: Option<Programs>,
    /// rustup's `nightly`, where it has the source of the standard library.
    pub nightly: Option<Programs>,
}

/// A cargo, and the rustc that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The `cargo` to run.
    pub cargo: PathBuf,
    /// The `rustc` it is told to use.
    pub rustc: PathBuf,
}

/// Where the standard library comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The toolchain has it ready-made for the target.
    Ready,
    /// Built from Debian's `rust-web-src`, by a stable compiler that is let use what is unstable.
    Debian,
    /// Built from rustup's `rust-src`, by a nightly.
    Nightly,
}

/// The programs that compile modules here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Decides the flags.
    pub kind: Kind,
    /// The programs.
    pub programs: Programs,
}

/// There is no way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no compiler here builds for wasm32-unknown-unknown. With rustup: `rustup target add wasm32-unknown-unknown`. On \
     Debian 12, as root: `apt-get install rustc-web cargo-web rust-web-src lld-22`"
)]
pub struct Missing;

/// Picks the first way: what is ready-made needs no minute for the standard library.
///
/// # Errors
/// [`Missing`] says what to install.
pub fn choose(found: &Found) -> Result<Way, Missing> {
    let ways = [(Kind::Ready, &found.ready), (Kind::Debian, &found.debian), (Kind::Nightly, &found.nightly)];
    let mut there = ways.into_iter().filter_map(|(kind, programs)| Some((kind, programs.clone()?)));
    there.next().map(|(kind, programs)| Way { kind, programs }).ok_or(Missing)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "the toolchain's own wasm32-unknown-unknown",
            Self::Debian => "Debian's rustc-web, which builds the standard library from source",
            Self::Nightly => "rustup's nightly, which builds the standard library from source",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_made_goes_before_what_builds_the_standard_library() {
        let programs = |dir: &str| {
            Some(Programs { cargo: format!("{dir}/cargo").into(), rustc: format!("{dir}/rustc").into() })
        };
        let (ready, debian, nightly) = (programs("/r"), programs("/usr/bin"), programs("/n"));
        for (ready, debian, nightly, expected) in [
            (ready.clone(), debian.clone(), nightly.clone(), Some(Kind::Ready)),
            (None, debian, nightly.clone(), Some(Kind::Debian)),
            (None, None, nightly, Some(Kind::Nightly)),
            (None, None, None, None),
        ] {
            let found = Found { ready, debian, nightly };
            assert_eq!(choose(&found).ok().map(|way| way.kind), expected, "{found:?}");
        }
        assert!(choose(&Found::default()).expect_err("none").to_string().contains("rustup target add"));
    }
}
