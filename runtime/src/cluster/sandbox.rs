//! Where a pod is, as far as it was told or found.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

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
