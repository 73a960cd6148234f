//! Where the API listens: a socket file that only root can open, and a loopback address.

use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use tokio::net::UnixListener;

/// A TCP address that only this host can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LoopbackAddr(SocketAddr);

/// Why the API cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Not an address and a port.
    #[error("`{0}` is not an address with a port; write it like 127.0.0.1:9400 or [::1]:9400")]
    NotAnAddress(String),
    /// An address that others can reach.
    #[error(
        "the API has no log-in and tells all that the node's workloads do, so it listens on loopback only: \
         use 127.0.0.1:{port} or [::1]:{port} instead of {0}", port = .0.port()
    )]
    NotLoopback(SocketAddr),
    /// Somebody answers on the socket.
    #[error("another agent answers on {0}; stop it first, or give this one its own --socket and --state-dir")]
    Taken(PathBuf),
    /// Something else is in the socket's place.
    #[error("{0} exists and is not a socket; remove it, or choose another --socket")]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("cannot listen on {place}: {source}")]
    Refused {
        /// The path or the address.
        place: String,
        /// Why.
        source: io::Error,
    },
}

impl LoopbackAddr {
    /// The address.
    #[must_use]
    pub fn get(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for LoopbackAddr {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let address: SocketAddr = text.parse().map_err(|_| ListenError::NotAnAddress(text.to_owned()))?;
        if address.ip().is_loopback() { Ok(Self(address)) } else { Err(ListenError::NotLoopback(address)) }
    }
}

impl TryFrom<String> for LoopbackAddr {
    type Error = ListenError;

    fn try_from(text: String) -> Result<Self, ListenError> {
        text.parse()
    }
}

impl fmt::Display for LoopbackAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The socket file of this process; it goes away with it.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode: a file that another agent has put in its place stays.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // Nothing to do where it fails: the next agent finds nobody answering and replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on `path`, for root alone. A socket file on which nobody answers is replaced.
///
/// # Errors
/// Where something else is in its place, or the system refuses.
pub fn listen_on(path: &Path) -> Result<(UnixListener, SocketFile), ListenError> {
    let refused = |source| ListenError::Refused { place: path.display().to_string(), source };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(refused)?;
    }
    refuse_what_is_in_use(path)?;
    // Bound under another name and moved into place: at no time can others open it, nor is there a moment without it.
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(format!(".{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    let _ = fs::remove_file(&fresh);
    let listener = UnixListener::bind(&fresh).map_err(refused)?;
    let placed = fs::set_permissions(&fresh, Permissions::from_mode(0o600))
        .and_then(|()| fs::rename(&fresh, path))
        .and_then(|()| identity(path));
    match placed {
        Ok(identity) => Ok((listener, SocketFile { path: path.to_owned(), identity })),
        Err(source) => {
            let _ = fs::remove_file(&fresh);
            Err(refused(source))
        }
    }
}

fn refuse_what_is_in_use(path: &Path) -> Result<(), ListenError> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => Err(ListenError::NotASocket(path.to_owned())),
        Ok(_) if UnixStream::connect(path).is_ok() => Err(ListenError::Taken(path.to_owned())),
        _ => Ok(()),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_taken() {
        for (text, expected) in [
            ("127.0.0.1:9400", Ok(())),
            ("127.1.2.3:0", Ok(())),
            ("[::1]:9400", Ok(())),
            ("0.0.0.0:9400", Err("127.0.0.1:9400 or [::1]:9400")),
            ("[::]:9400", Err("loopback only")),
            ("192.0.2.1:9400", Err("loopback only")),
            ("[::ffff:127.0.0.1]:9400", Err("loopback only")),
            ("localhost:9400", Err("127.0.0.1:9400")),
            ("127.0.0.1", Err("with a port")),
            ("", Err("with a port")),
        ] {
            match (text.parse::<LoopbackAddr>(), expected) {
                (Ok(address), Ok(())) => assert_eq!(address.to_string(), text),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{text}: {error}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
