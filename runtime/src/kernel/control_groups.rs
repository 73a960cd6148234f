//! Control groups of version 2: where they are mounted, and which one is a pod's. That of a pod is found by its name,
//! which the kubelet gives it, whatever runs in it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::sandboxes;

/// How deep pods are looked for: below what the kubelet is in itself, a class of service, then pods.
const DEPTH: usize = 8;
/// Groups that one search looks at.
const MOST: usize = 65_536;

/// A control group that is open.
#[derive(Debug)]
pub struct ControlGroup {
    pub(super) folder: File,
    /// What tells it from all others.
    pub id: u64,
    /// For messages.
    pub path: PathBuf,
}

impl ControlGroup {
    /// Finds the group that `named` says: a path, or the UID of a pod. A path that is no absolute one is below the mount.
    ///
    /// # Errors
    /// Why there is none, and what to do.
    pub fn find(named: &str) -> Result<Self, String> {
        let root = mount().ok_or(
            "cgroup v2 is not mounted where the agent sees it, and its sockets cannot be looked at; mount it on \
             /sys/fs/cgroup",
        )?;
        let path = if named.contains('/') {
            root.join(named)
        } else {
            of_pod(&root, named).ok_or_else(|| {
                format!("its control group is not there: {root:?} has none of a pod {named}")
            })?
        };
        Self::open(&path, &root)
            .map_err(|error| format!("its control group {} cannot be used: {error}", path.display()))
    }

    fn open(path: &Path, root: &Path) -> io::Result<Self> {
        let folder = File::open(path)?;
        let (id, device) = (folder.metadata()?.ino(), folder.metadata()?.dev());
        let of_root = fs::metadata(root)?;
        if device != of_root.dev() {
            return Err(io::Error::other(format!("it is not of cgroup v2, which is on {}", root.display())));
        }
        if id == of_root.ino() {
            return Err(io::Error::other("it is that of the whole node; give a group below it"));
        }
        Ok(Self { folder, id, path: path.to_owned() })
    }

    /// Whether it is still there.
    #[must_use]
    pub fn is_there(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.id)
    }

    /// Whether a process, by its number as this one sees it, is in it or in a group below.
    #[must_use]
    pub fn holds(&self, process: u32) -> bool {
        let mut folders = vec![(self.path.clone(), 0)];
        let number = process.to_string();
        while let Some((folder, depth)) = folders.pop() {
            let listed = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            if listed.lines().any(|line| line == number) {
                return true;
            }
            if depth < DEPTH {
                folders.extend(below(&folder).map(|folder| (folder, depth + 1)));
            }
        }
        false
    }
}

/// Where cgroup v2 is mounted.
#[must_use]
pub fn mount() -> Option<PathBuf> {
    fs::read_to_string("/proc/self/mountinfo").ok().and_then(|mounts| last_mount(&mounts))
}

/// The last mount of cgroup v2, which hides earlier ones in the same place; a mount point with a space in its name is told
/// as the kernel writes it.
pub(super) fn last_mount(mounts: &str) -> Option<PathBuf> {
    mounts.lines().rev().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        file_system.starts_with("cgroup2 ").then(|| mount.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// The group of a pod, by its UID as the node knows it. What is below a pod is the pod's own.
fn of_pod(root: &Path, uid: &str) -> Option<PathBuf> {
    // A user who was given a group of his own may call one below it as he likes.
    let owner = fs::metadata(root).ok()?.uid();
    let is_owned = |group: &Path| fs::metadata(group).is_ok_and(|group| group.uid() == owner);
    let mut folders = vec![(root.to_owned(), 0)];
    let mut looked = 0;
    while let Some((folder, depth)) = folders.pop() {
        for group in below(&folder).filter(|group| is_owned(group)) {
            looked += 1;
            if looked > MOST {
                return None;
            }
            match group.file_name().and_then(|name| name.to_str()).and_then(sandboxes::uid_of) {
                Some(found) if found == uid => return Some(group),
                None if depth < DEPTH => folders.push((group, depth + 1)),
                Some(_) | None => {}
            }
        }
    }
    None
}

fn below(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_of_cgroup_v2_is_found_beside_those_of_v1() {
        let mounts = "30 23 0:26 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n\
                      31 23 0:27 / /sys/fs/cgroup/unified rw,relatime shared:10 - cgroup2 cgroup2 rw\n";
        assert_eq!(last_mount(mounts), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(last_mount(&mounts.replace("cgroup2 ", "tmpfs ")), None);
    }

    #[test]
    fn a_pod_is_found_by_its_uid_however_its_group_is_called() {
        let root = tempfile::tempdir().expect("a folder");
        let (plain, other) = ("f8c9db82-b968-4b51-bcb6-f586de11f80c", "00000000-b968-4b51-bcb6-f586de11f80c");
        let (of_systemd, forged) = (plain.replace('-', "_"), format!("kubepods/pod{other}/c/pod{plain}"));
        for (made, expected) in [
            (format!("kubepods/burstable/pod{plain}/c1"), true),
            (format!("lab/kubepods/pod{plain}"), true),
            (
                format!(
                    "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{of_systemd}.slice/x.scope"
                ),
                true,
            ),
            (format!("kubepods/pod{other}"), false),
            // What a pod makes below its own is the pod's.
            (forged, false),
        ] {
            fs::create_dir_all(root.path().join(&made)).expect("made");
            let found = of_pod(root.path(), plain);
            assert_eq!(found.is_some(), expected, "{made}: {found:?}");
            let top = made.split('/').next().expect("a name");
            fs::remove_dir_all(root.path().join(top)).expect("removed");
        }
    }
}
