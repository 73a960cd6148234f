//! What components of a cluster leave on the machine outside the cluster's folder, because its place is part of their code:
//! numbers of the kernel, logs of pods, sockets of containerd's shims, mounts.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rustix::mount::{UnmountFlags, unmount};

use super::place::Cluster;

/// What a kubelet sets for itself.
const NUMBERS: [&str; 5] = [
    "vm/overcommit_memory",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// Keeps the kernel's numbers as they are before the kubelet first starts.
pub fn note_numbers(cluster: &Cluster) -> Result<()> {
    let note = cluster.folder().join("numbers.json");
    if note.exists() {
        return Ok(());
    }
    let number =
        |name: &'static str| Some((name, fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?));
    let numbers: BTreeMap<_, _> = NUMBERS.into_iter().filter_map(number).collect();
    fs::write(&note, serde_json::to_string(&numbers)?)
        .with_context(|| format!("{} cannot be written", note.display()))
}

/// Sets them as they were.
pub fn reset_numbers(cluster: &Cluster) -> Result<()> {
    let note = fs::read_to_string(cluster.folder().join("numbers.json")).unwrap_or_else(|_| "{}".into());
    let numbers: BTreeMap<String, String> = serde_json::from_str(&note)?;
    for (name, number) in numbers {
        let file = Path::new("/proc/sys").join(name);
        if fs::read_to_string(&file).is_ok_and(|now| now != number) {
            fs::write(&file, number).with_context(|| format!("{} cannot be reset", file.display()))?;
        }
    }
    Ok(())
}

/// Takes away every mount below the cluster's folder.
pub fn unmount_all(cluster: &Cluster) -> Result<()> {
    let mounts = fs::read_to_string("/proc/mounts").context("/proc/mounts cannot be read")?;
    let folder = cluster.folder().canonicalize().unwrap_or_else(|_| cluster.folder());
    for path in below(&mounts, &folder) {
        unmount(&path, UnmountFlags::DETACH).with_context(|| format!("{} stays mounted", path.display()))?;
    }
    Ok(())
}

/// Mounts below `folder`, the last first: one may be upon another.
fn below(mounts: &str, folder: &Path) -> Vec<PathBuf> {
    let paths = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    // As the kernel writes what would end a word.
    let paths = paths.map(|path| path.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"));
    let mut found: Vec<_> = paths.map(PathBuf::from).filter(|path| path.starts_with(folder)).collect();
    found.reverse();
    found
}

/// Removes logs of the pods that the kubelet has folders of: it removes those of other pods itself.
pub fn remove_logs(cluster: &Cluster) {
    let logs = Path::new("/var/log/pods");
    let pods = names(&cluster.folder().join("kubelet/pods"));
    for log in names(logs) {
        // NAMESPACE_NAME_UID
        if log.rsplit_once('_').is_some_and(|(_, uid)| pods.iter().any(|pod| pod == uid)) {
            let _ = fs::remove_dir_all(logs.join(log));
        }
    }
    let links = Path::new("/var/log/containers");
    for link in names(links).iter().map(|name| links.join(name)) {
        let target = fs::read_link(&link).unwrap_or_default();
        if target.starts_with(logs) && !target.exists() {
            let _ = fs::remove_file(link);
        }
    }
}

/// Removes the sockets that shims which were killed leave.
pub fn remove_sockets(cluster: &Cluster) {
    let bundles = cluster.folder().join("containerd/state/io.containerd.runtime.v2.task/k8s.io");
    for bundle in names(&bundles) {
        let address = fs::read_to_string(bundles.join(bundle).join("address")).unwrap_or_default();
        if let Some(socket) = address.trim().strip_prefix("unix:///run/containerd/s/") {
            let _ = fs::remove_file(Path::new("/run/containerd/s").join(socket));
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_a_folder_are_taken_the_last_first() {
        let mounts = "a /t/run/egret/x overlay rw 0 0\nb /t/run/egret/x/y\\040z tmpfs rw 0 0\nc /t/run/egret-2 tmpfs rw 0 0\n";
        assert_eq!(
            below(mounts, Path::new("/t/run/egret")),
            [Path::new("/t/run/egret/x/y z"), Path::new("/t/run/egret/x")]
        );
    }
}
