//! Whether anything grew that should not: what an agent holds, and what the kernel holds for it.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::maps::loaded_maps;
use aya::programs::{loaded_links, loaded_programs};
use egret_tests::Agent;

use crate::memory::kilobytes;
use crate::report::{Row, Target};

/// The kernel frees what nobody holds a moment later: looked at so often, this far apart, and the least counts.
const LOOKS: u32 = 4;
const APART: Duration = Duration::from_millis(300);

/// How much there is.
pub struct Sizes {
    /// The agent's own memory (PSS), in MB.
    memory: f64,
    files: usize,
    /// Of the whole machine, these three.
    maps: usize,
    programs: usize,
    links: usize,
}

impl Sizes {
    /// What there is now.
    pub fn of(agent: &Agent) -> Result<Self> {
        let mut least = Self::look(agent)?;
        for _ in 0..LOOKS {
            sleep(APART);
            let now = Self::look(agent)?;
            least = Self {
                memory: least.memory.min(now.memory),
                files: least.files.min(now.files),
                maps: least.maps.min(now.maps),
                programs: least.programs.min(now.programs),
                links: least.links.min(now.links),
            };
        }
        Ok(least)
    }

    fn look(agent: &Agent) -> Result<Self> {
        let files = format!("/proc/{}/fd", agent.process());
        Ok(Self {
            memory: kilobytes(agent, "Pss:")? / 1024.0,
            files: fs::read_dir(&files).with_context(|| files)?.count(),
            maps: loaded_maps().count(),
            programs: loaded_programs().count(),
            links: loaded_links().count(),
        })
    }

    /// The rows of what there is, beside what there was before.
    pub fn beside(&self, before: &Self) -> Vec<Row> {
        let grown = |what, now: usize, before: usize| {
            Row::ratio(what, now as f64, "", "before", before as f64).wanted(Target::AtMost(1.0))
        };
        vec![
            Row::ratio("memory of the agent (PSS)", self.memory, "MB", "before", before.memory)
                .wanted(Target::AtMost(1.1)),
            grown("files that the agent has open", self.files, before.files),
            grown("maps", self.maps, before.maps),
            grown("programs", self.programs, before.programs),
            grown("links", self.links, before.links),
        ]
    }
}
