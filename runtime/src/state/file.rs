//! A file of what is stored: there whole, or as it was before.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::sealed::{Damage, MAX_CONTENT, Stored};

/// Why it is not read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system refuses.
    #[error("the state file `{}` cannot be {verb}: {source}", path.display())]
    Io {
        /// `read` or `written`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what was written.
    #[error("the state file `{}` is of no use: {damage}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
}

/// Puts `stored` in the place of the file at `path`: a crash at any moment leaves the old one or the new one. Only
/// its owner can read it. Of several writers at once, all but one may fail.
///
/// # Errors
/// [`StateError`]; then the old file is still there.
pub fn write(path: &Path, stored: &impl Stored) -> Result<(), StateError> {
    let bytes = stored.encode().map_err(|damage| StateError::Damaged { path: path.to_owned(), damage })?;
    let fresh = path.with_added_extension("new");
    let written = write_fresh(&fresh, &bytes).and_then(|()| put_in_place(&fresh, path));
    written.map_err(|source| {
        // What was begun is of no use; that it cannot be removed says no more than `source`.
        let _ = std::fs::remove_file(&fresh);
        StateError::Io { verb: "written", path: path.to_owned(), source }
    })
}

/// What is in the file at `path`; `None` if there is no file.
///
/// # Errors
/// [`StateError`] for anything but what was written: the caller tells it and starts clean.
pub fn read<T: Stored>(path: &Path) -> Result<Option<T>, StateError> {
    let bytes = match read_bytes(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::Io { verb: "read", path: path.to_owned(), source }),
    };
    T::decode(&bytes).map(Some).map_err(|damage| StateError::Damaged { path: path.to_owned(), damage })
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Anything longer is refused for its length, however much of it is read.
    File::open(path)?.take(2 * MAX_CONTENT as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write_fresh(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What a crash left behind goes first: its mode and owner may be anything.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn put_in_place(fresh: &Path, path: &Path) -> io::Result<()> {
    std::fs::rename(fresh, path)?;
    // The name itself is on disk only once its folder is.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
