//! Which resolvers a workload may learn from.
//!
//! What the operator lists for the workload; else what `/etc/netns/NAME/resolv.conf` says, which `ip netns exec` shows
//! to its programs as their `/etc/resolv.conf`; else what the operator lists for the node. Never a file that the
//! workload can write: who may answer would then be the workload's own choice.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::words::is_usable;
use crate::model::{Place, Workload};

/// Where `ip netns` keeps the files of namespaces.
pub const ETC_NETNS: &str = "/etc/netns";
/// The most resolvers kept of one file.
const MAX_RESOLVERS: usize = 16;
const MAX_FILE_BYTES: u64 = 64 << 10;
const ROOT: u32 = 0;

/// Why a namespace's `resolv.conf` is not used.
#[derive(Debug, thiserror::Error)]
pub enum ResolversError {
    /// Others than root can say what is in it.
    #[error(
        "`{}` is not trusted: {why}; make it a plain file of root that only root can write, or list `resolvers` in the workloads file",
        path.display()
    )]
    Untrusted {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It is there and cannot be read.
    #[error("`{}` cannot be read: {source}; repair it, or list `resolvers` in the workloads file", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The resolvers that `workload` may learn from, where `node` are those that the operator lists for the node. A file
/// that names none that can be learned from (only the loopback, say) leaves it to the node's.
///
/// # Errors
/// [`ResolversError`] when a file would decide and must not.
pub fn resolvers_of(workload: &Workload, node: &[IpAddr]) -> Result<Vec<IpAddr>, ResolversError> {
    if let Some(resolvers) = &workload.resolvers {
        return Ok(resolvers.clone());
    }
    let listed = match &workload.place {
        // A path says nothing of a name; see `words::check_netns` for what a name can be.
        Place::Netns(name) if !name.contains('/') => read_trusted(Path::new(ETC_NETNS), name, ROOT)?,
        _ => None,
    };
    let listed = listed.map(|text| parse_resolv_conf(&text)).unwrap_or_default();
    Ok(if listed.is_empty() { node.to_vec() } else { listed })
}

/// The `nameserver` lines of a `resolv.conf`, each address once, without scopes (`%eth0`), at most 16. Addresses whose
/// answers no hook can see are left out.
#[must_use]
pub fn parse_resolv_conf(text: &str) -> Vec<IpAddr> {
    let mut resolvers = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some("nameserver"), Some(word)) = (words.next(), words.next()) else { continue };
        let plain = word.split_once('%').map_or(word, |(plain, _)| plain);
        let Ok(address) = plain.parse::<IpAddr>().map(|address| address.to_canonical()) else { continue };
        if is_usable(address) && !resolvers.contains(&address) && resolvers.len() < MAX_RESOLVERS {
            resolvers.push(address);
        }
    }
    resolvers
}

/// The text of `folder/name/resolv.conf` if it is there and only `owner` can say what is in it.
fn read_trusted(folder: &Path, name: &str, owner: u32) -> Result<Option<String>, ResolversError> {
    let inner = folder.join(name);
    // Whoever can write a folder can put another file in the place of this one.
    for folder in [folder, &inner] {
        let Some(metadata) = present(folder, std::fs::symlink_metadata(folder))? else { return Ok(None) };
        check(folder, &metadata, metadata.is_dir(), "it is not a folder", owner)?;
    }
    let path = inner.join("resolv.conf");
    let Some(mut file) = open(&path)? else { return Ok(None) };
    let Some(metadata) = present(&path, file.metadata())? else { return Ok(None) };
    check(&path, &metadata, metadata.is_file(), "it is not a plain file", owner)?;
    let mut text = Vec::new();
    let read = file.by_ref().take(MAX_FILE_BYTES).read_to_end(&mut text);
    present(&path, read)?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// Neither follows a link at the end of `path` nor waits for the other end of a pipe.
fn open(path: &Path) -> Result<Option<File>, ResolversError> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            Err(ResolversError::Untrusted { path: path.to_owned(), why: "it is a symbolic link" })
        }
        outcome => present(path, outcome),
    }
}

/// `None` for what is not there.
fn present<T>(path: &Path, outcome: std::io::Result<T>) -> Result<Option<T>, ResolversError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ResolversError::Unreadable { path: path.to_owned(), source }),
    }
}

fn check(
    path: &Path,
    metadata: &Metadata,
    right_kind: bool,
    wrong_kind: &'static str,
    owner: u32,
) -> Result<(), ResolversError> {
    let why = if !right_kind {
        wrong_kind
    } else if metadata.uid() != owner {
        "it is not root's"
    } else if metadata.mode() & 0o022 != 0 {
        "others than its owner can write it"
    } else {
        return Ok(());
    };
    Err(ResolversError::Untrusted { path: path.to_owned(), why })
}

#[cfg(test)]
#[path = "resolvers_tests.rs"]
mod tests;
