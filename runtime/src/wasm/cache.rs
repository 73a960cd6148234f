//! Compiled modules, kept from one start to the next.
//!
//! Reviving compiled code is running it, so a file counts only if this node wrote it: the folder is root's alone, and
//! each file carries a tag, made with a key that lies in the folder and covers its name as well as its content. A file
//! that is forged, damaged or renamed is as good as none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac};
use rustix::fs::OFlags;
use sha2::Sha256;

type Tag = Hmac<Sha256>;

const TAG: usize = 32;
/// What the hash takes in one block.
const KEY_BYTES: usize = 64;
const KEY: &str = "key";
/// The most files. The least recently written go.
const MAX_FILES: usize = 64;
/// The most bytes in all; the file written last always stays.
const MAX_ALL: u64 = 1 << 30;
/// The largest file that is read back, in bytes.
const MAX_BYTES: u64 = 512 << 20;

/// A folder of compiled modules.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
}

/// Why the folder of compiled modules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The system refuses something.
    #[error("{path}: {error}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// Others could write or read there.
    #[error(
        "{0} is not this user's alone: compiled modules are kept in a folder of mode 0700, in files of mode 0600"
    )]
    Shared(PathBuf),
}

impl Cache {
    /// Opens the folder; makes it, and its key, where they are missing.
    pub fn open(folder: &Path) -> Result<Self, CacheError> {
        let io = |error| CacheError::Io { path: folder.to_owned(), error };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        let metadata = fs::symlink_metadata(folder).map_err(io)?;
        if !metadata.is_dir() || !is_ours(&metadata) {
            return Err(CacheError::Shared(folder.to_owned()));
        }
        Ok(Self { key: key(&folder.join(KEY))?, folder: folder.to_owned() })
    }

    /// The code under `name`, if this node wrote it.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let file = open(&self.folder.join(name)).ok()??;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        let (tag, code) = bytes.split_at_checked(TAG)?;
        let is_ours = self.tag(name, code).verify_slice(tag).is_ok();
        if !is_ours {
            tracing::warn!(file = name, "a compiled module was not written by this node, and is not used");
            return None;
        }
        bytes.drain(..TAG);
        Some(bytes)
    }

    /// Keeps code under `name`.
    pub fn write(&self, name: &str, code: &[u8]) -> io::Result<()> {
        let path = self.folder.join(name);
        let tag = self.tag(name, code).finalize().into_bytes();
        write_whole(&path, &[&tag, code])?;
        self.sweep();
        Ok(())
    }

    fn tag(&self, name: &str, code: &[u8]) -> Tag {
        let mut tag = Tag::new((&self.key).into());
        tag.update(&(name.len() as u64).to_le_bytes());
        tag.update(name.as_bytes());
        tag.update(code);
        tag
    }

    /// Takes the oldest files away. What cannot be taken away stays.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut files: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.file_name() != KEY)
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        files.sort();
        files.reverse();
        let kept = kept(files.iter().map(|(_, size, _)| *size));
        for (_, _, path) in &files[kept..] {
            let _ = fs::remove_file(path);
        }
    }
}

/// How many files of these sizes stay, the latest first.
fn kept(sizes: impl Iterator<Item = u64>) -> usize {
    let mut all = 0u64;
    let fits = |size: &u64| {
        let is_first = all == 0;
        all = all.saturating_add(*size);
        is_first || all <= MAX_ALL
    };
    sizes.take(MAX_FILES).take_while(fits).count()
}

fn is_ours(metadata: &fs::Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o077 == 0
}

/// A plain file of ours; `None` where there is none.
fn open(path: &Path) -> Result<Option<File>, CacheError> {
    let io = |error| CacheError::Io { path: path.to_owned(), error };
    let mut options = OpenOptions::new();
    options.read(true).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let metadata = file.metadata().map_err(io)?;
    if metadata.is_file() && is_ours(&metadata) {
        Ok(Some(file))
    } else {
        Err(CacheError::Shared(path.to_owned()))
    }
}

fn key(path: &Path) -> Result<[u8; KEY_BYTES], CacheError> {
    let io = |error| CacheError::Io { path: path.to_owned(), error };
    let mut key = [0; KEY_BYTES];
    if let Some(mut file) = open(path)?
        && file.read_exact(&mut key).is_ok()
    {
        return Ok(key);
    }
    // None yet, or half of one.
    File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut key)).map_err(io)?;
    write_whole(path, &[&key]).map_err(io)?;
    Ok(key)
}

/// Writes a file of mode 0600 that is there as a whole or not at all.
fn write_whole(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let temporary = path.with_extension(format!("new{}", std::process::id()));
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_data());
    let placed = written.and_then(|()| fs::rename(&temporary, path));
    if placed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(&dir.path().join("modules")).expect("a cache");
        (dir, cache)
    }

    #[test]
    fn what_was_written_is_read_back_also_by_the_next_process() {
        let (_dir, cache) = cache();
        assert_eq!(cache.read("a.cwasm"), None);
        cache.write("a.cwasm", b"code").expect("written");
        assert_eq!(cache.read("a.cwasm").as_deref(), Some(&b"code"[..]));
        let again = Cache::open(&cache.folder).expect("the same");
        assert_eq!(again.read("a.cwasm").as_deref(), Some(&b"code"[..]));
    }

    #[test]
    fn a_file_that_is_forged_damaged_or_renamed_is_as_good_as_none() {
        let (_dir, cache) = cache();
        cache.write("a.cwasm", b"code").expect("written");
        let path = cache.folder.join("a.cwasm");
        let good = fs::read(&path).expect("readable");
        let set = |name: &str, bytes: &[u8]| {
            let path = cache.folder.join(name);
            fs::write(&path, bytes).expect("written");
            fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
        };
        let mut other = good.clone();
        other[TAG] ^= 1;
        for bytes in [&other[..], &good[..good.len() - 1], &good[..TAG], b"", b"code"] {
            set("a.cwasm", bytes);
            assert_eq!(cache.read("a.cwasm"), None, "{bytes:?}");
        }
        set("b.cwasm", &good);
        assert_eq!(cache.read("b.cwasm"), None, "the tag covers the name");
        set("a.cwasm", &good);
        assert!(cache.read("a.cwasm").is_some());
        fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("set");
        assert_eq!(cache.read("a.cwasm"), None, "others could read it");
        fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink(cache.folder.join("b.cwasm"), &path).expect("linked");
        assert_eq!(cache.read("a.cwasm"), None, "links are not followed");
    }

    #[test]
    fn a_folder_that_others_can_enter_is_refused() {
        let (_dir, cache) = cache();
        fs::set_permissions(&cache.folder, PermissionsExt::from_mode(0o755)).expect("set");
        let error = Cache::open(&cache.folder).expect_err("shared").to_string();
        assert!(error.contains("mode 0700"), "{error}");
    }

    #[test]
    fn the_oldest_files_go_and_the_key_stays() {
        let (_dir, cache) = cache();
        for number in 0..MAX_FILES + 5 {
            cache.write(&format!("{number}.cwasm"), b"code").expect("written");
        }
        assert_eq!(fs::read_dir(&cache.folder).expect("readable").count(), MAX_FILES + 1);
        assert!(cache.read(&format!("{}.cwasm", MAX_FILES + 4)).is_some());
    }

    #[test]
    fn what_is_kept_has_a_size_in_all_and_the_latest_stays_whatever_its_size() {
        let large = MAX_ALL / 4;
        for (sizes, expected) in [
            (&[][..], 0),
            (&[1, 1, 1], 3),
            (&[large; 6], 4),
            (&[MAX_ALL + 1, 1], 1),
            (&[1; MAX_FILES + 1], MAX_FILES),
        ] {
            assert_eq!(kept(sizes.iter().copied()), expected, "{sizes:?}");
        }
    }
}
