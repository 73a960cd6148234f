//! A folder of a cluster's pods in each hierarchy of cgroups: of version 1, of version 2, or both beside each other.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rustix::process::Pid;

use super::place::Cluster;

/// Where hierarchies of version 1 are, or the one of version 2.
const ROOT: &str = "/sys/fs/cgroup";

/// Where a hierarchy is mounted, and whether it is of version 2.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    path: PathBuf,
    unified: bool,
}

/// Makes them; what pods need is handed down to them.
pub fn make(cluster: &Cluster) -> Result<()> {
    let hierarchies = hierarchies()?;
    anyhow::ensure!(!hierarchies.is_empty(), "no cgroups are mounted below /sys/fs/cgroup");
    for Hierarchy { path, unified } in hierarchies {
        let folder = path.join(cluster.scope());
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        if unified && path != Path::new(ROOT) {
            // Beside version 1, whose controllers are used.
            continue;
        }
        if unified {
            // What cannot be handed down, the kubelet says that it misses.
            for parent in [&path, &folder] {
                for controller in read(&parent.join("cgroup.controllers")).split_whitespace() {
                    let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
                }
            }
            continue;
        }
        // Empty in a new folder, in which nothing can run until they are set.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let (parent, own) = (path.join(file), folder.join(file));
            if own.exists() {
                fs::write(&own, read(&parent)).with_context(|| format!("{} cannot be set", own.display()))?;
            }
        }
    }
    Ok(())
}

/// Processes of pods, in whichever hierarchy they are.
pub fn processes(cluster: &Cluster) -> Result<Vec<Pid>> {
    let mut found = Vec::new();
    for folder in folders(cluster)? {
        let listed = read(&folder.join("cgroup.procs"));
        found.extend(listed.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)));
    }
    Ok(found)
}

/// Removes them, of which nothing runs any more.
pub fn remove(cluster: &Cluster) -> Result<()> {
    for folder in folders(cluster)? {
        match fs::remove_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{} cannot be removed", folder.display()));
            }
            _ => (),
        }
    }
    Ok(())
}

/// In every hierarchy, each after those below it.
fn folders(cluster: &Cluster) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for hierarchy in hierarchies()? {
        below(&hierarchy.path.join(cluster.scope()), &mut found);
    }
    Ok(found)
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        below(&entry.path(), found);
    }
    found.push(folder.to_owned());
}

fn hierarchies() -> Result<Vec<Hierarchy>> {
    Ok(parse(&fs::read_to_string("/proc/mounts").context("/proc/mounts cannot be read")?))
}

/// From lines of `DEVICE PATH TYPE OPTIONS 0 0`.
fn parse(mounts: &str) -> Vec<Hierarchy> {
    let hierarchy = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let (path, kind) = (words.next()?, words.next()?);
        let is_one = path.starts_with(ROOT) && kind.starts_with("cgroup");
        is_one.then(|| Hierarchy { path: path.into(), unified: kind == "cgroup2" })
    };
    mounts.lines().filter_map(hierarchy).collect()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_found_in_each_arrangement() {
        let one = |path: &str, unified| Hierarchy { path: path.into(), unified };
        let cases = [
            ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", vec![one("/sys/fs/cgroup", true)]),
            (
                "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu 0 0\n\
                 cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\ncgroup2 /elsewhere cgroup2 rw 0 0\n",
                vec![one("/sys/fs/cgroup/cpu,cpuacct", false), one("/sys/fs/cgroup/unified", true)],
            ),
            ("proc /proc proc rw 0 0\n", vec![]),
        ];
        for (mounts, expected) in cases {
            assert_eq!(parse(mounts), expected, "{mounts}");
        }
    }
}
