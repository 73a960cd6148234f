//! What was built, kept until something that it was built of changes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use sha2::{Digest, Sha256};

/// Folders that others fill: packages, and what Python makes of sources.
const LEFT_OUT: [&str; 3] = ["node_modules", "__pycache__", "target"];

/// A number of everything in `dir`, by path and content, and of what else counts.
pub(super) fn key(dir: &Path, more: &[&[u8]]) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    more.iter().for_each(|bytes| add(bytes));
    for path in files(dir)? {
        add(path.strip_prefix(dir).unwrap_or(&path).as_os_str().as_encoded_bytes());
        add(&fs::read(&path)?);
    }
    let mut text = String::new();
    for byte in &hash.finalize()[..8] {
        // Writing to a text never fails.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// The files of a source, in their order. Hidden files and what was built are left out.
pub(super) fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    list(dir, &mut files)?;
    files.sort();
    Ok(files)
}

fn list(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        if name.starts_with('.') || name.ends_with(".wasm") || LEFT_OUT.contains(&&*name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// What was built of this.
pub(super) fn find(folder: &Path, name: &str, key: &str) -> Option<Vec<u8>> {
    fs::read(path(folder, name, key)).ok()
}

/// Keeps the file `built`, in place of what was kept under this name.
pub(super) fn keep(folder: &Path, name: &str, key: &str, built: &Path) -> io::Result<()> {
    let start = format!("{name}@");
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&start) {
            // Another process may have taken it away.
            let _ = fs::remove_file(entry.path());
        }
    }
    fs::rename(built, path(folder, name, key))
}

/// `@` is in no name, so no name is the beginning of another.
fn path(folder: &Path, name: &str, key: &str) -> PathBuf {
    folder.join(format!("{name}@{key}.wasm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_what_counts_is_another_key_and_no_other_change_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("in the folder")).expect("made");
            fs::write(path, text).expect("written");
        };
        let key = |more: &str| key(dir.path(), &[more.as_bytes()]).expect("readable");
        write("src/a.js", "1");
        let first = key("wit");
        for (path, text) in
            [("a.wasm", "x"), (".venv/x", "x"), ("node_modules/x/y.js", "x"), ("src/__pycache__/a.pyc", "x")]
        {
            write(path, text);
            assert_eq!(key("wit"), first, "{path}");
        }
        let mut seen = vec![first, key("other wit")];
        for (path, text) in [("src/a.js", "2"), ("src/b.js", ""), ("package.json", "{}")] {
            write(path, text);
            let now = key("wit");
            assert!(!seen.contains(&now), "{path}");
            seen.push(now);
        }
    }

    #[test]
    fn one_file_is_kept_for_each_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let keep = |name, key, text: &str| {
            fs::write(dir.path().join("built"), text).expect("written");
            keep(dir.path(), name, key, &dir.path().join("built")).expect("kept");
        };
        keep("a", "1", "first");
        keep("a-b", "1", "other");
        keep("a", "2", "second");
        let find =
            |name, key| find(dir.path(), name, key).map(|bytes| String::from_utf8(bytes).expect("text"));
        assert_eq!((find("a", "1"), find("a", "2")), (None, Some("second".to_owned())));
        assert_eq!(find("a-b", "1").as_deref(), Some("other"));
    }
}
