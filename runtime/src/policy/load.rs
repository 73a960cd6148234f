//! Reading policy files: the only I/O of `policy`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::{Policy, Rule};

use super::path;
use super::problem::{Problem, Span};
use super::schema;
use super::upstream;
use super::yaml::MAX_FILE_BYTES;

/// A file that was read and found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Good {
    /// What it says, so that it can be kept across a restart and read again.
    pub text: Arc<str>,
    /// Its policies.
    pub policies: Vec<Policy>,
    /// What of an object of Kubernetes could not be read; then its policies deny more than it says, and never less.
    pub unread: Vec<Problem>,
}

/// A file, by the name that problems and origins give it, and what came of reading it.
pub type Outcome = (Arc<str>, Result<Good, Vec<Problem>>);

impl Good {
    /// Reads `text`, the content of `file`.
    ///
    /// # Errors
    /// Every mistake of the file.
    pub fn parse(file: &Arc<str>, text: Arc<str>) -> Result<Self, Vec<Problem>> {
        let policies = schema::parse_shared(file, &text)?;
        Ok(Self { text, policies, unread: Vec::new() })
    }

    /// Reads an object of a kind that is Kubernetes' own, as JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn parse_upstream(file: &Arc<str>, text: &Arc<str>) -> Result<Self, Vec<Problem>> {
        upstream::parse(file, text)
    }

    /// Reads what was [`Self::text`], whatever it was read from.
    ///
    /// # Errors
    /// Every mistake of it.
    pub fn parse_again(file: &Arc<str>, text: Arc<str>) -> Result<Self, Vec<Problem>> {
        if upstream::is_upstream(&text) { Self::parse_upstream(file, &text) } else { Self::parse(file, text) }
    }

    /// The same of the text of an object, whose mistakes are told by their paths in it.
    ///
    /// # Errors
    /// Every mistake of the object.
    pub fn parse_object(file: &Arc<str>, text: Arc<str>) -> Result<Self, Vec<Problem>> {
        Self::parse(file, text.clone()).map_err(|problems| path::in_object(file, &text, problems))
    }
}

/// `outcome` for an agent that knows files only: it has nothing to look up services and pods in.
pub fn of_files((file, outcome): Outcome) -> Outcome {
    let outcome = outcome.and_then(|good| {
        let rules = good.policies.iter().flat_map(Policy::rules).filter(|rule| rule.names_cluster());
        let reason =
            "only Kubernetes knows where services and pods are, and this agent takes its policies from files";
        let fix = "run the agent with --kubernetes, or write `cidr` or `fqdn`";
        let problem = |rule: &Rule| Problem::at_origin(&rule.origin, &good.text, reason, fix);
        let problems: Vec<_> = rules.map(problem).collect();
        if problems.is_empty() { Ok(good) } else { Err(problems) }
    });
    (file, outcome)
}

/// Reads the policy files of `dir`: `*.yaml`, `*.yml` and `*.json`, sorted by name, links followed (a mounted
/// ConfigMap is all links), hidden files and directories left alone.
///
/// # Errors
/// The directory cannot be listed. That is not the same as an empty one: the caller keeps what it has. A file that
/// cannot be read is a problem of that file.
pub fn load_dir(dir: &Path) -> Result<Vec<Outcome>, Problem> {
    let files = list(dir).map_err(|error| {
        let reason = format!("the directory cannot be read: {error}");
        Problem::whole(&dir.to_string_lossy(), reason, "create it, or name another with `--policies`")
    })?;
    Ok(files.iter().map(|path| load_file(path)).collect())
}

/// The policy files of `dir`, sorted.
pub(super) fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if is_policy_file(&path) && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn is_policy_file(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let known = |extension| matches!(extension, "yaml" | "yml" | "json");
    !hidden && path.extension().and_then(|extension| extension.to_str()).is_some_and(known)
}

fn load_file(path: &Path) -> Outcome {
    let file: Arc<str> = path.to_string_lossy().into();
    let read = check_regular(path).and_then(|()| read_bytes(path));
    let outcome = match read {
        Ok(bytes) => parse_bytes(&file, bytes),
        Err(error) => {
            let reason = format!("the file cannot be read: {error}");
            Err(vec![Problem::whole(&file, reason, "make it readable for the agent, or delete it")])
        }
    };
    (file, outcome)
}

/// Opening a pipe would wait for its writer.
fn check_regular(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_file() { Ok(()) } else { Err(io::Error::other("it is not a regular file")) }
}

/// At most one byte more than is read: enough to see that a file is too large.
pub(super) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the content of `file`.
pub(super) fn parse_bytes(file: &Arc<str>, bytes: Vec<u8>) -> Result<Good, Vec<Problem>> {
    if bytes.len() > MAX_FILE_BYTES {
        let reason = format!("the file is larger than {MAX_FILE_BYTES} bytes, the most that is read");
        return Err(vec![Problem::whole(file, reason, "split it into several files")]);
    }
    match String::from_utf8(bytes) {
        Ok(text) => Good::parse(file, text.into()),
        Err(error) => {
            let at = Span::at(error.as_bytes(), error.utf8_error().valid_up_to());
            let text: Arc<str> = String::from_utf8_lossy(error.as_bytes()).into();
            let fix = "save the file as UTF-8";
            Err(vec![Problem::at(file, &text, at, "the file is not UTF-8 from here on", fix)])
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const POLICY: &str = "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\n\
        metadata: {name: a, namespace: a}\n\
        spec: {podSelector: {}, mode: Enforce, scope: all, default: Deny}\n";

    fn names(dir: &Path) -> Vec<(String, bool)> {
        let name = |file: &str| file.rsplit('/').next().expect("a last part").to_owned();
        let loaded = load_dir(dir).expect("a directory");
        loaded.into_iter().map(|(file, outcome)| (name(&file), outcome.is_ok())).collect()
    }

    #[test]
    fn a_directory_gives_its_policy_files_sorted_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["b.yaml", "a.yml", "c.json", ".hidden.yaml", "notes.txt", "d.yaml~"] {
            fs::write(dir.path().join(name), POLICY).expect("written");
        }
        fs::create_dir(dir.path().join("e.yaml")).expect("created");
        symlink("/nowhere/at/all", dir.path().join("f.yaml")).expect("linked");
        let expected = [("a.yml", true), ("b.yaml", true), ("c.json", true), ("f.yaml", false)];
        assert_eq!(names(dir.path()), expected.map(|(name, good)| (name.to_owned(), good)));
    }

    #[test]
    fn a_mounted_config_map_is_followed_through_its_links() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("..2026_01_02")).expect("created");
        fs::write(dir.path().join("..2026_01_02/a.yaml"), POLICY).expect("written");
        symlink("..2026_01_02", dir.path().join("..data")).expect("linked");
        symlink("..data/a.yaml", dir.path().join("a.yaml")).expect("linked");
        assert_eq!(names(dir.path()), [("a.yaml".to_owned(), true)]);
    }

    #[test]
    fn what_cannot_be_read_is_a_problem_and_not_an_absence() {
        assert!(load_dir(Path::new("/nowhere/at/all")).is_err());
        let file: Arc<str> = "a.yaml".into();
        for (bytes, line, column, reason) in [
            (b"kind: x\nname: \xff\n".to_vec(), 2, 7, "not UTF-8"),
            (vec![b' '; MAX_FILE_BYTES + 1], 0, 0, "larger than"),
            (b"# nothing yet\n".to_vec(), 0, 0, "no policy"),
        ] {
            let problems = parse_bytes(&file, bytes).expect_err(reason);
            assert!(problems[0].reason.contains(reason), "{problems:?}");
            assert_eq!((problems[0].line, problems[0].column), (line, column), "{reason}");
        }
    }

    #[test]
    fn a_pipe_among_the_policies_does_not_stop_the_agent() {
        let dir = tempfile::tempdir().expect("a directory");
        let pipe = dir.path().join("a.yaml");
        let status = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
        assert!(status.success());
        assert_eq!(names(dir.path()), [("a.yaml".to_owned(), false)]);
    }
}
