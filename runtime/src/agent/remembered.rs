//! What workloads looked up, from one start to the next: a workload that has its addresses is not made to ask again because
//! maps were lost, or the node was started anew.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use egret_abi::WorkloadIndex;
use tracing::warn;

use super::node::Node;
use crate::kernel::clock;
use crate::model::{Name, WorkloadId};
use crate::state::{self, KnownName, KnownNames, NamesOf, StateError};

/// A workload that is placed: who, its index, its network namespace.
pub type Whose = (WorkloadId, WorkloadIndex, u64);

/// The file, and what of it no workload has claimed.
pub struct Remembered {
    path: PathBuf,
    boot_id: String,
    /// What was read, without its workloads.
    read: KnownNames,
    left: HashMap<WorkloadId, NamesOf>,
    /// How many answers were learned when it was last written.
    written: u64,
}

impl Remembered {
    /// Reads the file at `path`, if it is there.
    pub fn read(path: &Path, boot_id: &str) -> Self {
        let read: Result<Option<KnownNames>, StateError> = state::read(path);
        let mut read = read.unwrap_or_else(|error| {
            warn!("workloads must look up again what they had looked up: {error}");
            None
        });
        let workloads = read.as_mut().map(|read| std::mem::take(&mut read.workloads)).unwrap_or_default();
        Self {
            path: path.to_owned(),
            boot_id: boot_id.to_owned(),
            read: read.unwrap_or_default(),
            left: workloads.into_iter().map(|known| (known.id.clone(), known)).collect(),
            written: 0,
        }
    }

    /// What a workload in this network namespace had looked up and has not ended, the earliest first; once. In the same
    /// boot another namespace is another workload's, whatever its name.
    pub fn take(&mut self, id: &WorkloadId, netns: u64) -> Vec<(Name, Vec<(IpAddr, u32)>)> {
        let Some(known) = self.left.remove(id) else { return Vec::new() };
        let is_another = self.read.boot_id == self.boot_id && known.netns != netns;
        let Some(age) = self.read.age(&self.boot_id, clock::now(), wall_clock()) else { return Vec::new() };
        if is_another {
            return Vec::new();
        }
        known.left(age).filter_map(|(name, addresses)| Some((Name::parse(name).ok()?, addresses))).collect()
    }

    /// Takes the file away.
    ///
    /// # Errors
    /// What the system said.
    pub fn remove(&self) -> std::io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether anything was learned since it was last written.
    pub fn has_news(&self, node: &Node) -> bool {
        node.binder().learned() != self.written
    }

    /// What is to be written now, of these workloads, and where.
    pub fn begin(&mut self, node: &Node, workloads: Vec<Whose>) -> Writing {
        self.written = node.binder().learned();
        Writing { path: self.path.clone(), boot_id: self.boot_id.clone(), workloads }
    }
}

/// A writing that has begun; it may go on aside.
pub struct Writing {
    path: PathBuf,
    boot_id: String,
    workloads: Vec<Whose>,
}

impl Writing {
    /// Writes the file.
    ///
    /// # Errors
    /// [`StateError`]; then the old one is still there.
    pub fn finish(self, node: &Node) -> Result<(), StateError> {
        let now = clock::now();
        let mut workloads = Vec::new();
        for (id, index, netns) in self.workloads {
            let names = node.binder().known(index, now);
            let names = names.into_iter().map(|(name, addresses)| KnownName {
                name: name.as_str().to_owned(),
                addresses: addresses
                    .into_iter()
                    .map(|(address, left)| (address, u32::try_from(left.as_secs()).unwrap_or(u32::MAX)))
                    .collect(),
            });
            workloads.push(NamesOf { id, netns, names: names.collect() });
        }
        let known = KnownNames {
            boot_id: self.boot_id,
            written: wall_clock().as_secs(),
            since_boot: now.as_secs(),
            workloads,
        };
        state::write(&self.path, &known)
    }
}

fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> WorkloadId {
        WorkloadId { namespace: "shop".into(), name: "web".into() }
    }

    /// What one workload in the namespace 7 looked up, written in the boot `boot_id` `ago` seconds ago.
    fn written(path: &Path, boot_id: &str, ago: u64) {
        let name = KnownName {
            name: "a.test".into(),
            addresses: vec![([192, 0, 2, 1].into(), 600), ([192, 0, 2, 2].into(), 60)],
        };
        let known = KnownNames {
            boot_id: boot_id.into(),
            written: wall_clock().as_secs() - ago,
            since_boot: clock::now().as_secs().saturating_sub(ago),
            workloads: vec![NamesOf { id: web(), netns: 7, names: vec![name] }],
        };
        state::write(path, &known).expect("written");
    }

    #[test]
    fn a_workload_gets_what_it_looked_up_and_has_not_ended_once_and_no_other_gets_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("names");
        for (boot_id, netns, ago, expected) in [
            ("this", 7, 1, 2),
            ("this", 8, 1, 0),
            ("another", 8, 1, 2),
            ("another", 8, 100, 1),
            ("another", 8, 700, 0),
        ] {
            written(&path, boot_id, ago);
            let mut remembered = Remembered::read(&path, "this");
            let taken = remembered.take(&web(), netns);
            let addresses: usize = taken.iter().map(|(_, addresses)| addresses.len()).sum();
            assert_eq!(addresses, expected, "{boot_id} {netns} {ago}");
            assert!(remembered.take(&web(), netns).is_empty(), "once");
        }
    }

    #[test]
    fn a_file_that_is_not_there_or_no_use_is_no_memory() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("names");
        assert!(Remembered::read(&path, "this").take(&web(), 7).is_empty());
        std::fs::write(&path, "not a list of look-ups of anybody").expect("written");
        assert!(Remembered::read(&path, "this").take(&web(), 7).is_empty());
    }
}
