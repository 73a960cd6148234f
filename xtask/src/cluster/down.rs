//! Takes a cluster down, whatever state it is in: nothing of it is asked, all of it is found from outside. Nobody will want
//! what it holds, so its processes are killed, not asked to end.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Signal, kill_process};

use super::{cgroup, host, network, place::Cluster, process};

/// For killed processes to be gone.
const LIMIT: Duration = Duration::from_secs(30);

/// Says whether there was anything.
pub fn down(cluster: &Cluster) -> Result<()> {
    let start = Instant::now();
    if !cluster.folder().exists() && !cluster.netns().exists() {
        eprintln!("The cluster {} is not there.", cluster.name);
        return Ok(());
    }
    remove(cluster)?;
    eprintln!("The cluster {} is gone after {:.1} s.", cluster.name, start.elapsed().as_secs_f32());
    Ok(())
}

/// Removes all that it is and left.
pub fn remove(cluster: &Cluster) -> Result<()> {
    kill(cluster)?;
    // What the cluster's folder says of the rest goes last.
    host::remove_logs(cluster);
    host::remove_sockets(cluster);
    host::unmount_all(cluster)?;
    network::remove(cluster)?;
    cgroup::remove(cluster)?;
    host::reset_numbers(cluster)?;
    // Its agent was killed, and left all of it.
    for left in cluster.egret().iter().filter(|left| left.exists()) {
        fs::remove_dir_all(left).with_context(|| format!("{} cannot be removed", left.display()))?;
    }
    let folder = cluster.folder();
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    Ok(())
}

/// Until none is left: who is killed may just have started another.
fn kill(cluster: &Cluster) -> Result<()> {
    let start = Instant::now();
    loop {
        let mut left = process::all(cluster);
        left.extend(cgroup::processes(cluster)?);
        if left.is_empty() {
            return Ok(());
        }
        ensure!(start.elapsed() < LIMIT, "these processes do not end: {left:?}");
        for pid in left {
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(50));
    }
}
