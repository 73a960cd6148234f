//! Where a pod is, as far as it was told or found.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The network namespace of a pod.
#[derive(Clone, Debug)]
pub(super) struct Sandbox {
    pub path: PathBuf,
    pub inode: u64,
    /// What the CNI plugin said that its addresses are.
    pub addresses: Vec<IpAddr>,
    /// When its first process began, where the pod was not held until its policies were in force.
    pub begun: Option<Instant>,
}

/// The inode of what is at `path`.
pub(super) fn inode(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|metadata| metadata.ino())
}

impl Sandbox {
    /// Whether it still leads to the same namespace.
    pub(super) fn is_there(&self) -> bool {
        inode(&self.path) == Some(self.inode)
    }
}

/// How often what stays missing is looked for: every look reads what is known of each process of the node.
#[derive(Debug, Default)]
pub(super) struct Patience {
    missing: Vec<String>,
    looks: u32,
    last: Option<Instant>,
}

/// From one look to the next: a second, then twice as long each time, up to this many seconds, as a power of two.
const LONGEST: u32 = 5;

impl Patience {
    /// Whether to look now for what is `missing`; taken for done where it says so. Where not only time went by, it is.
    pub(super) fn is_due(&mut self, missing: Vec<String>, by_clock: bool, now: Instant) -> bool {
        let is_same = missing == self.missing;
        let waited = self.last.map(|last| now.saturating_duration_since(last));
        let wait = Duration::from_secs(1 << self.looks.min(LONGEST));
        if is_same && by_clock && waited.is_some_and(|waited| waited < wait) {
            return false;
        }
        self.looks = if is_same && by_clock { self.looks + 1 } else { 0 };
        (self.missing, self.last) = (missing, Some(now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_missing_is_looked_for_less_and_less_often() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        let mut looks = |missing: &str, by_clock, from: u64, to: u64| -> Vec<u64> {
            let missing = || vec![missing.to_owned()];
            let at = |second| start + Duration::from_secs(second);
            (from..to).filter(|second| patience.is_due(missing(), by_clock, at(*second))).collect()
        };
        assert_eq!(looks("a", true, 0, 100), [0, 1, 3, 7, 15, 31, 63, 95]);
        // An interface of the node is new: it may be that of the pod.
        assert_eq!(looks("a", false, 100, 103), [100, 101, 102]);
        assert_eq!(looks("a", true, 103, 110), [103, 105, 109]);
        assert_eq!(looks("b", true, 110, 113), [110, 111], "another one");
    }
}
