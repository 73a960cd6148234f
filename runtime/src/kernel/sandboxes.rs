//! Which network namespace is whose pod's: read off the control groups that the kubelet makes, which no CNI has a say in.
//!
//! The first process of a pod is what holds its namespaces; later ones may be in others that they made themselves. Paths
//! under `/run/netns` are preferred: they outlive processes.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::netns::NetNs;

/// Where runtimes name network namespaces.
const NAMED: &str = "/run/netns";
/// What a pod's control group is called: this, its UID, and `.slice` where systemd manages it.
const POD: &str = "pod";
/// Letters of a UID; those of static pods have no dashes.
const UID: [usize; 2] = [36, 32];

/// Ticks of a second in what the kernel tells of processes: the same on every architecture that it runs on.
const TICKS: u64 = 100;

/// A pod's network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// A path to it.
    pub path: PathBuf,
    /// How long ago the pod's first process began.
    pub age: Duration,
}

/// The network namespace of each pod of this node, by its UID; of those that are in the node's own, `own`, none.
#[must_use]
pub fn of_pods(own: &NetNs) -> HashMap<String, Sandbox> {
    let mut first: HashMap<String, (u64, u64, PathBuf)> = HashMap::new();
    for process in processes() {
        let Some(uid) = fs::read_to_string(process.join("cgroup")).ok().as_deref().and_then(pod_of) else {
            continue;
        };
        let (Some(begun), Some(inode)) = (begun(&process), inode(&process.join("ns/net"))) else { continue };
        let known = first.get(&uid).map(|(known, ..)| *known);
        if known.is_none_or(|known| begun < known) {
            first.insert(uid, (begun, inode, process.join("ns/net")));
        }
    }
    let (named, now) = (named(), since_boot());
    let sandbox = |(uid, (begun, inode, path)): (String, (u64, u64, PathBuf))| {
        let age = now.saturating_sub(Duration::from_millis(begun * 1000 / TICKS));
        (inode != own.inode).then(|| (uid, Sandbox { path: named.get(&inode).cloned().unwrap_or(path), age }))
    };
    first.into_iter().filter_map(sandbox).collect()
}

/// By the clock that processes are told by.
fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}

fn processes() -> impl Iterator<Item = PathBuf> {
    fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| {
        let entry = entry.ok()?;
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        Some(entry.path())
    })
}

/// The namespaces that have a name, by inode.
fn named() -> HashMap<u64, PathBuf> {
    let entries = fs::read_dir(NAMED).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((inode(&entry.path())?, entry.path()))).collect()
}

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}

/// When a process began, in ticks since the boot: the 22nd field, counted behind its name, which may hold anything.
fn begun(process: &Path) -> Option<u64> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The UID in the control group of a process. The first one in a path counts: what is below is the pod's own.
fn pod_of(cgroup: &str) -> Option<String> {
    cgroup
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .find_map(|path| path.split('/').find_map(uid_of))
}

/// The UID of the pod whose control group is called so.
pub(super) fn uid_of(segment: &str) -> Option<String> {
    let plain = segment.strip_suffix(".slice").unwrap_or(segment);
    // `podUID`, or `kubepods-besteffort-podUID` with `_` in the place of `-`.
    let uid = match plain.strip_prefix(POD) {
        Some(uid) => uid,
        None => plain.strip_prefix("kubepods-").and_then(|rest| rest.rsplit_once(POD)).map(|(_, uid)| uid)?,
    };
    let uid = uid.replace('_', "-");
    let is_hex = uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    (UID.contains(&uid.len()) && is_hex).then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "f8c9db82-b968-4b51-bcb6-f586de11f80c";

    #[test]
    fn the_pod_of_a_process_is_the_first_in_its_control_group() {
        for (cgroup, uid) in [
            (format!("0::/kubepods/besteffort/pod{PLAIN}/51ae7683"), Some(PLAIN)),
            // As one sees it who is in a namespace of cgroups of its own.
            (format!("0::/../../pod{PLAIN}/51ae7683"), Some(PLAIN)),
            (
                format!("0::/../../kubepods-besteffort-pod{}.slice/cri-51.scope", PLAIN.replace('-', "_")),
                Some(PLAIN),
            ),
            (format!("9:name=systemd:/lab/kubepods/pod{PLAIN}/51ae\n0::/"), Some(PLAIN)),
            (
                format!(
                    "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice/cri-containerd-51.scope",
                    PLAIN.replace('-', "_")
                ),
                Some(PLAIN),
            ),
            (
                format!("0::/kubepods.slice/kubepods-pod{}.slice/x.scope", PLAIN.replace('-', "_")),
                Some(PLAIN),
            ),
            (
                "0::/kubepods/pod0123456789abcdef0123456789abcdef/c".to_owned(),
                Some("0123456789abcdef0123456789abcdef"),
            ),
            // A pod that may make groups below its own is still itself.
            (
                format!("0::/kubepods/pod{PLAIN}/c/kubepods/pod00000000-b968-4b51-bcb6-f586de11f80c"),
                Some(PLAIN),
            ),
            ("0::/user.slice/podman.service".to_owned(), None),
            ("0::/podx".to_owned(), None),
            ("0::/".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(pod_of(&cgroup).as_deref(), uid, "{cgroup}");
        }
    }

    #[test]
    fn a_process_begins_after_the_one_that_started_it() {
        let (own, first) = (begun(Path::new("/proc/self")), begun(Path::new("/proc/1")));
        assert!(own.is_some() && first <= own, "{first:?} {own:?}");
        let ago = since_boot().saturating_sub(Duration::from_millis(own.unwrap_or(0) * 1000 / TICKS));
        assert!(ago < Duration::from_secs(600), "this test began {ago:?} ago");
    }
}
