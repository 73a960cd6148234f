//! Where maps and links are pinned: one folder per version of the layouts, so that two versions never share a map, but
//! for what workloads looked up: that has a version of its own, and is shared by all that agree on it.

use std::fs;
use std::path::{Path, PathBuf};

use egret_abi::{ABI_VERSION, LEARNED_VERSION, WorkloadIndex};

use super::at_sockets::SOCKET_HOOKS;
use super::object::Hook;
use super::{Doing, KernelError, bpf};

/// What the names of such links begin with.
const NOTE: &str = "node-";
/// The maps of what workloads looked up.
const LEARNED: [&str; 3] = ["BINDINGS", "LEARNED", "TURNS"];

/// A folder on a BPF file system.
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
}

impl Pins {
    /// Makes the folders below `root`, which must be on a BPF file system.
    ///
    /// # Errors
    /// Where a folder cannot be made.
    pub fn open(root: &Path) -> Result<Self, KernelError> {
        let pins = Self { root: root.to_owned() };
        for folder in [pins.maps(), pins.links(), pins.learned()] {
            fs::create_dir_all(&folder).doing(|| format!("make the folder {}", folder.display()))?;
        }
        Ok(pins)
    }

    fn version(&self) -> PathBuf {
        self.root.join(format!("v{ABI_VERSION}"))
    }

    fn maps(&self) -> PathBuf {
        self.version().join("maps")
    }

    fn links(&self) -> PathBuf {
        self.version().join("links")
    }

    fn learned(&self) -> PathBuf {
        self.root.join(format!("learned-{LEARNED_VERSION}"))
    }

    /// Where the map called `name` is pinned.
    #[must_use]
    pub fn map(&self, name: &str) -> PathBuf {
        if LEARNED.contains(&name) { self.learned() } else { self.maps() }.join(name)
    }

    /// Where the link of a workload's hook is pinned.
    #[must_use]
    pub fn link(&self, workload: WorkloadIndex, hook: Hook) -> PathBuf {
        self.links().join(format!("{}-{}", workload.0, hook.word()))
    }

    /// Where the link of a hook on a workload's control group is pinned.
    #[must_use]
    pub fn socket_link(&self, workload: WorkloadIndex, name: &str) -> PathBuf {
        self.links().join(format!("{}-{name}", workload.0))
    }

    /// Where the link of a device of the node is pinned that notes what comes in.
    #[must_use]
    pub fn note(&self, device: u32) -> PathBuf {
        self.links().join(format!("{NOTE}{device}"))
    }

    /// Those that are pinned, each with its device's number, where its name is one of ours.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn noting(&self) -> Result<Vec<(PathBuf, Option<u32>)>, KernelError> {
        let number = |path: &Path| path.file_name()?.to_str()?.strip_prefix(NOTE).map(str::to_owned);
        let links = entries(&self.links())?.into_iter();
        Ok(links.filter_map(|path| number(&path).map(|number| (path, number.parse().ok()))).collect())
    }

    /// Where the link is pinned that is to take the place of the one at `pin`. The file system has no names with dots.
    #[must_use]
    pub fn next(pin: &Path) -> PathBuf {
        let mut path = pin.as_os_str().to_owned();
        path.push("-next");
        path.into()
    }

    /// Whether the maps of an earlier agent are there.
    #[must_use]
    pub fn have_maps(&self) -> bool {
        self.map("WORKLOADS").exists()
    }

    /// Whether what workloads of an earlier agent looked up is there.
    #[must_use]
    pub fn have_learned(&self) -> bool {
        self.map("BINDINGS").exists()
    }

    /// Takes away a workload's links: its packets pass unjudged from then on.
    pub fn unlink(&self, workload: WorkloadIndex) {
        for hook in Hook::OF_WORKLOAD {
            let pin = self.link(workload, hook);
            let _ = fs::remove_file(Self::next(&pin));
            let _ = fs::remove_file(pin);
        }
        let of_sockets = SOCKET_HOOKS.map(|name| self.socket_link(workload, name));
        for pin in of_sockets.into_iter().flat_map(|pin| [Self::next(&pin), pin]).filter(|pin| pin.exists()) {
            // At once: the next workload of this number must not be judged at the sockets of this one.
            let _ = bpf::detach_link(&pin);
            let _ = fs::remove_file(pin);
        }
    }

    /// Puts what is pinned aside and makes empty folders in its place: what judges goes on judging, by its own maps, until
    /// [`Self::drop_strangers`]. The maps stay pinned, for the kernel empties an array of programs that nobody holds.
    ///
    /// # Errors
    /// Where a folder cannot be moved or made.
    pub fn set_aside(&self) -> Result<(), KernelError> {
        // Some may be there already, of an agent that was killed before it had placed its workloads.
        for folder in [self.version(), self.learned()] {
            let mut free = (0..u32::MAX).map(|number| self.root.join(format!("aside-{number}")));
            let aside = free.find(|folder| !folder.exists()).unwrap_or_default();
            fs::rename(folder, &aside).doing(|| format!("move the pins to {}", aside.display()))?;
        }
        Self::open(&self.root).map(drop)
    }

    /// Takes away what was set aside, and the pins of other versions: links first, so that no program
    /// runs on maps that are gone. To be called once this agent judges what they judged, so that nothing passes unjudged in
    /// between.
    ///
    /// # Errors
    /// Where a pin cannot be removed.
    pub fn drop_strangers(&self) -> Result<(), KernelError> {
        let own = [self.version(), self.learned()];
        entries(&self.root)?
            .iter()
            .filter(|folder| !own.contains(folder))
            .try_for_each(|folder| remove(folder))
    }

    /// Takes away everything, the folders too.
    ///
    /// # Errors
    /// Where a pin cannot be removed.
    pub fn remove_all(&self) -> Result<(), KernelError> {
        entries(&self.root)?.iter().try_for_each(|folder| remove(folder))?;
        fs::remove_dir_all(&self.root).doing(|| format!("remove the folder {}", self.root.display()))
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, KernelError> {
    let entries = fs::read_dir(folder).doing(|| format!("read the folder {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// Takes away a folder of pins: its links first, which are off their hooks before the programs have no steps any more.
fn remove(folder: &Path) -> Result<(), KernelError> {
    let links = folder.join("links");
    let links = if links.exists() { entries(&links)? } else { Vec::new() };
    for link in links {
        // Where its device is gone, no packet runs it.
        let _ = bpf::detach_link(&link);
        fs::remove_file(&link).doing(|| format!("remove the pin {}", link.display()))?;
    }
    fs::remove_dir_all(folder).doing(|| format!("remove the folder {}", folder.display()))
}
