//! Which kind of hook there is on this kernel: tried out, not concluded from its version.

use aya::programs::{SchedClassifier, TcAttachType};
use serde::Deserialize;

use super::KernelError;

/// The oldest kernel that takes the programs.
pub(super) const OLDEST: (u32, u32) = (6, 1);
/// The device that every network namespace is born with.
const LOOPBACK: &str = "lo";

/// How programs are put on interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Tier 1: links of tcx, of Linux 6.6 and later. `to_pod` sits inside the workload's namespace, where what a CNI
    /// delivers past the host side is seen too.
    Tcx,
    /// Tier 2: filters of clsact. Both hooks are on the host side, for a workload could delete a filter of its own.
    Clsact,
}

impl Tier {
    /// Its number, as users are told it.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcx => 1,
            Self::Clsact => 2,
        }
    }

    /// The better one that this kernel has, or the one that was asked for.
    ///
    /// # Errors
    /// [`KernelError::Missing`] where it has none, or not that one.
    pub(super) fn choose(release: &str, asked: Hooks) -> Result<Self, KernelError> {
        choose(release, has_tcx(), asked)
    }
}

/// What the operator says of the kind of hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Hooks {
    /// The better kind that the kernel has
    #[default]
    Auto,
    /// tcx or none
    Tcx,
    /// clsact, on a kernel that has tcx too
    Clsact,
}

/// Whether the kernel lists the tcx programs of a device. One without tcx does not know the question.
pub(super) fn has_tcx() -> bool {
    SchedClassifier::query_tcx(LOOPBACK, TcAttachType::Ingress).is_ok()
}

fn choose(release: &str, has_tcx: bool, asked: Hooks) -> Result<Tier, KernelError> {
    let missing = |what: String, fix: &str| Err(KernelError::Missing { what, fix: fix.to_owned() });
    if version(release).is_none_or(|version| version < OLDEST) {
        let (major, minor) = OLDEST;
        let what = format!("this kernel is {release}; Egret needs {major}.{minor} or later");
        return missing(what, "run a newer kernel");
    }
    match (asked, has_tcx) {
        (Hooks::Auto | Hooks::Tcx, true) => Ok(Tier::Tcx),
        (Hooks::Auto, false) | (Hooks::Clsact, _) => Ok(Tier::Clsact),
        (Hooks::Tcx, false) => missing(
            format!("this kernel, {release}, has no tcx, which came with 6.6"),
            "run a newer kernel, or leave `--hooks tcx` away",
        ),
    }
}

/// The two numbers that a kernel's release begins with.
pub(super) fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_gives_its_version() {
        for (release, expected) in [
            ("6.18.44-cloud", Some((6, 18))),
            ("6.6", Some((6, 6))),
            ("6.1.0-31-amd64", Some((6, 1))),
            ("linux", None),
        ] {
            assert_eq!(version(release), expected, "{release}");
        }
    }

    #[test]
    fn the_tier_is_what_the_kernel_can_do_and_what_cannot_be_is_refused() {
        use Hooks::{Auto, Clsact, Tcx};
        for (release, has_tcx, asked, expected) in [
            ("6.18.44", true, Auto, Ok(Tier::Tcx)),
            ("6.6.0", true, Auto, Ok(Tier::Tcx)),
            ("6.5.13", false, Auto, Ok(Tier::Clsact)),
            ("6.1.0-31-amd64", false, Auto, Ok(Tier::Clsact)),
            // Tried out, and not concluded from the version: a distribution may bring tcx to an older one.
            ("6.1.0-el", true, Auto, Ok(Tier::Tcx)),
            ("6.12.1-without-tcx", false, Auto, Ok(Tier::Clsact)),
            ("6.18.44", true, Clsact, Ok(Tier::Clsact)),
            ("6.18.44", true, Tcx, Ok(Tier::Tcx)),
            ("6.1.0-31-amd64", false, Tcx, Err("6.1.0-31-amd64, has no tcx, which came with 6.6")),
            ("6.0.19", false, Auto, Err("this kernel is 6.0.19; Egret needs 6.1 or later")),
            ("5.10.0", true, Clsact, Err("this kernel is 5.10.0; Egret needs 6.1 or later")),
            ("4.18.0-553.el8", false, Auto, Err("Egret needs 6.1 or later")),
            ("linux", true, Auto, Err("this kernel is linux; Egret needs 6.1 or later")),
        ] {
            let chosen = choose(release, has_tcx, asked);
            match expected {
                Ok(tier) => assert_eq!(chosen.ok(), Some(tier), "{release} {asked:?}"),
                Err(words) => {
                    let error = chosen.expect_err("refused");
                    assert!(error.is_missing() && error.to_string().contains(words), "{error}");
                }
            }
        }
    }
}
