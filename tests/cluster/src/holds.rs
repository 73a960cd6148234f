//! What an agent that is installed holds, and what its node and the kernel hold for it: whether anything of it grows.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use aya::maps::loaded_maps;
use aya::programs::{loaded_links, loaded_programs};

use crate::Cluster;
use crate::installed::Installed;

/// By how much the memory of an agent may grow, whose pods come and go: what allocators keep.
const SLACK: f64 = 1.25;

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub struct Holds {
    /// The agent's own memory (PSS), in kB.
    pub memory: u64,
    /// Files that it has open.
    pub files: usize,
    /// Of the whole machine, these three.
    pub maps: usize,
    /// As said.
    pub programs: usize,
    /// As said.
    pub links: usize,
    /// Network interfaces of the node.
    pub interfaces: usize,
    /// What is pinned.
    pub pins: usize,
}

impl Holds {
    /// What there is now.
    ///
    /// # Errors
    /// No agent runs.
    pub fn now(cluster: &Cluster, egret: &Installed<'_>) -> Result<Self> {
        let agent = egret.agent()?;
        let rollup = fs::read_to_string(agent.join("smaps_rollup"))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
        let interfaces = cluster.node.command("ip").args(["-oneline", "link"]).output()?.stdout;
        Ok(Self {
            memory: line.trim().trim_end_matches(" kB").parse()?,
            files: fs::read_dir(agent.join("fd"))?.count(),
            maps: loaded_maps().count(),
            programs: loaded_programs().count(),
            links: loaded_links().count(),
            interfaces: interfaces.split(|&byte| byte == b'\n').count(),
            pins: below(&Installed::pins(cluster)),
        })
    }

    /// Whether nothing of it is more than `before`.
    #[must_use]
    pub fn is_within(&self, before: &Self) -> bool {
        self.memory as f64 <= before.memory as f64 * SLACK
            && self.files <= before.files
            && self.maps <= before.maps
            && self.programs <= before.programs
            && self.links <= before.links
            && self.interfaces <= before.interfaces
            && self.pins <= before.pins
    }
}

/// How many files and folders are below one.
fn below(folder: &Path) -> usize {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            count += 1;
            folders.extend(entry.file_type().is_ok_and(|kind| kind.is_dir()).then(|| entry.path()));
        }
    }
    count
}
