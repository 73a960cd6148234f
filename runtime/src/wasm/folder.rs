//! A folder of modules: `DIR/NAME.wasm`, and beside it `NAME.yaml` where the operator has something to say about it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::manifest::Manifest;
use super::refused::MAX_BYTES;

/// The most modules of one folder.
pub const MAX_MODULES: usize = 256;
/// The largest manifest, in bytes.
const MAX_MANIFEST: usize = 64 << 10;

/// A module as it lies in a folder; nothing of it was checked but its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The component.
    pub bytes: Vec<u8>,
    /// What the operator says about it.
    pub manifest: Manifest,
}

/// Why a module of a folder cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub reason: String,
}

/// What became of a name.
pub type Found = (String, Result<Source, Problem>);

/// Reads all modules of a folder, in the order of their names.
///
/// # Errors
/// Where the folder itself cannot be read. What is wrong with one module does not concern the others.
pub fn read(folder: &Path) -> Result<Vec<Found>, Problem> {
    let problem = |reason: String| Problem { path: folder.to_owned(), reason };
    let entries = fs::read_dir(folder).map_err(|error| problem(error.to_string()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| problem(error.to_string()))?.path();
        let is_module = path.extension().is_some_and(|extension| extension == "wasm");
        if is_module {
            paths.push(path);
        }
    }
    if paths.len() > MAX_MODULES {
        return Err(problem(format!("{} modules; the most that are read is {MAX_MODULES}", paths.len())));
    }
    paths.sort();
    Ok(paths.iter().map(|path| (name_of(path), read_one(path))).collect())
}

/// Reads one module, and the manifest beside it.
///
/// # Errors
/// What is wrong with either.
pub fn read_one(path: &Path) -> Result<Source, Problem> {
    let problem = |path: &Path, reason: String| Problem { path: path.to_owned(), reason };
    check_name(&name_of(path)).map_err(|reason| problem(path, reason))?;
    let manifest = path.with_extension("yaml");
    let manifest = match read_bounded(&manifest, MAX_MANIFEST) {
        Ok(bytes) => parse(&bytes).map_err(|reason| problem(&manifest, reason))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Manifest::default(),
        Err(error) => return Err(problem(&manifest, error.to_string())),
    };
    let bytes = read_bounded(path, MAX_BYTES).map_err(|error| problem(path, error.to_string()))?;
    Ok(Source { bytes, manifest })
}

fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// By a module's name policies call it, so it is a DNS label.
///
/// # Errors
/// A sentence.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = (1..=63).contains(&name.len())
        && name.chars().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if good {
        return Ok(());
    }
    Err(format!(
        "`{name}` is no name of a module; it has 1 to 63 lower-case letters, digits and `-`, and neither begins nor \
         ends with `-`"
    ))
}

/// Reads a manifest.
///
/// # Errors
/// What is wrong with it, with its place.
pub fn parse(bytes: &[u8]) -> Result<Manifest, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    if text.trim().is_empty() {
        return Ok(Manifest::default());
    }
    serde_saphyr::from_str(text).map_err(|error| error.without_snippet().to_string())
}

fn read_bounded(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_module_of_a_folder_is_read_or_says_why_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("written");
        write("plain.wasm", "a");
        write("told.wasm", "b");
        write("told.yaml", "grants: {log: true}\nreuse: 5\n");
        write("wrong.wasm", "c");
        write("wrong.yaml", "grant: {log: true}\n");
        write("Upper.wasm", "d");
        write("empty.wasm", "e");
        write("empty.yaml", "\n");
        write("alone.yaml", "reuse: 2\n");
        fs::create_dir(dir.path().join("folder.wasm")).expect("made");
        let told: Vec<String> = read(dir.path())
            .expect("readable")
            .into_iter()
            .map(|(name, found)| match found {
                Ok(Source { bytes, manifest }) => {
                    format!("{name}: {} {} {}", bytes.len(), manifest.grants.log, manifest.reuse)
                }
                Err(problem) => {
                    let file = problem.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    format!("{name}: {file}: {}", problem.reason.lines().next().unwrap_or_default())
                }
            })
            .collect();
        assert_eq!(told.len(), 6, "{told:?}");
        assert!(told[0].starts_with("Upper: Upper.wasm: `Upper` is no name"), "{told:?}");
        assert_eq!(told[1], "empty: 1 false 1");
        assert_eq!(told[2], "folder: folder.wasm: it is not a regular file");
        assert_eq!(told[3], "plain: 1 false 1");
        assert_eq!(told[4], "told: 1 true 5");
        assert!(told[5].starts_with("wrong: wrong.yaml: ") && told[5].contains("grant"), "{told:?}");
        assert!(read(&dir.path().join("nowhere")).is_err());
    }
}
