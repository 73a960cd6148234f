//! Facts about this machine and this process.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use rustix::thread::{CapabilitySet, capabilities};

use super::super::{control_groups, preflight, sockets};
use super::trial::{self, Trial};

/// The number of the first user namespace, which the kernel gives it (`PROC_USER_INIT_INO`).
const FIRST_USER_NAMESPACE: &str = "user:[4026531837]";

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether this process runs as root.
    pub root: bool,
    /// Whether root and its capabilities are those of the machine, and not of a user namespace; `None`: /proc does not
    /// tell.
    pub first_user_namespace: Option<bool>,
    /// The capabilities in effect.
    pub capabilities: CapabilitySet,
    /// The kernel's release.
    pub release: String,
    /// Whether the kernel tells its types.
    pub btf: bool,
    /// The folder for pins.
    pub bpffs: (PathBuf, Bpffs),
    /// Why the device that makes TAPs cannot be opened, if so.
    pub tun: Result<(), String>,
    /// Where the hierarchy of cgroup v2 is mounted.
    pub cgroup2: Option<PathBuf>,
    /// `kernel.unprivileged_bpf_disabled`.
    pub unprivileged_bpf_disabled: Option<u8>,
    /// `net.core.bpf_jit_enable`.
    pub jit: Option<u8>,
    /// Whether sockets are ended when the agent says so; `None` where a privilege for it is missing.
    pub ends_sockets: Option<bool>,
    /// What came of trying; `None` where a privilege for it is missing.
    pub trial: Option<Trial>,
}

/// What the folder for pins is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bpffs {
    /// A BPF file system.
    Mounted,
    /// None yet; it is in the usual place, where the agent mounts one.
    MountedByAgent,
    /// Another file system.
    Absent,
}

impl Facts {
    /// Whether this process may do what an agent does.
    pub(super) fn privileged(&self) -> bool {
        self.root && self.first_user_namespace != Some(false) && self.capabilities.contains(needed())
    }
}

/// Every capability that an agent uses.
fn needed() -> CapabilitySet {
    CapabilitySet::BPF | CapabilitySet::PERFMON | CapabilitySet::NET_ADMIN | CapabilitySet::SYS_ADMIN
}

/// Looks, and tries out where the privileges are there.
pub(super) fn probe(bpffs: &Path) -> Facts {
    let facts = Facts {
        root: geteuid().is_root(),
        first_user_namespace: fs::read_link("/proc/self/ns/user")
            .ok()
            .map(|namespace| namespace.as_os_str() == FIRST_USER_NAMESPACE),
        capabilities: capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective),
        release: preflight::release(),
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        bpffs: (bpffs.to_owned(), look_at_bpffs(bpffs)),
        tun: open_tun(),
        cgroup2: control_groups::mount(),
        unprivileged_bpf_disabled: setting("kernel/unprivileged_bpf_disabled"),
        jit: setting("net/core/bpf_jit_enable"),
        ends_sockets: None,
        trial: None,
    };
    let privileged = facts.privileged();
    let (trial, ends_sockets) = (privileged.then(trial::run), privileged.then(sockets::can_end));
    Facts { trial, ends_sockets, ..facts }
}

fn look_at_bpffs(bpffs: &Path) -> Bpffs {
    if preflight::is_on_bpffs(bpffs) {
        Bpffs::Mounted
    } else if bpffs.starts_with(preflight::USUAL_BPFFS) {
        Bpffs::MountedByAgent
    } else {
        Bpffs::Absent
    }
}

fn open_tun() -> Result<(), String> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    opened.map(drop).map_err(|error| error.to_string())
}

fn setting(path: &str) -> Option<u8> {
    fs::read_to_string(Path::new("/proc/sys").join(path)).ok()?.trim().parse().ok()
}
