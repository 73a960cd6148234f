//! What must be there before anything is loaded: each check says what is missing and what to do.

use std::fs;
use std::path::Path;

use rustix::fs::statfs;
use rustix::mount::{MountFlags, mount};
use rustix::process::geteuid;
use rustix::thread::{CapabilitySet, capabilities};

use super::KernelError;
use super::tier::{Hooks, Tier};

const BPF_FS_MAGIC: i64 = 0xcafe_4a11;
/// Where a BPF file system is mounted on most machines.
pub(super) const USUAL_BPFFS: &str = "/sys/fs/bpf";

/// Checks privilege, kernel and BTF, and mounts the BPF file system where `bpffs` needs it. To the kind of hooks that the
/// kernel has.
///
/// # Errors
/// [`KernelError::Missing`] with what to do.
pub fn check(bpffs: &Path, hooks: Hooks) -> Result<Tier, KernelError> {
    if !geteuid().is_root() {
        return Err(missing(
            "egret agent needs root: it loads eBPF programs and enters network namespaces",
            "run it with sudo",
        ));
    }
    check_privileges()?;
    let tier = Tier::choose(&release(), hooks)?;
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Err(missing(
            "the kernel has no BTF (/sys/kernel/btf/vmlinux)",
            "run a kernel built with CONFIG_DEBUG_INFO_BTF=y",
        ));
    }
    mount_bpffs(bpffs)?;
    Ok(tier)
}

/// Root can be root of a container alone. CAP_SYS_ADMIN implies CAP_BPF and CAP_PERFMON.
fn check_privileges() -> Result<(), KernelError> {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if !is_whole(&map) {
        return Err(missing(
            "egret agent runs in a user namespace, where the kernel loads no program that judges packets",
            "run it as root of the machine, in a container without a user namespace of its own",
        ));
    }
    let have = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    for (capability, name) in
        [(CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN"), (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN")]
    {
        if !have.contains(capability) {
            return Err(missing(
                &format!("egret agent runs as root without {name}"),
                "run it with all capabilities, in a container as privileged",
            ));
        }
    }
    Ok(())
}

/// Whether a uid_map maps every user to itself, as in the first user namespace.
fn is_whole(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn missing(what: &str, fix: &str) -> KernelError {
    KernelError::Missing { what: what.to_owned(), fix: fix.to_owned() }
}

/// What to do where the kernel does not permit what root may do.
#[must_use]
pub fn not_permitted() -> String {
    not_permitted_by(&fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default())
}

fn not_permitted_by(lockdown: &str) -> String {
    let level = lockdown.split(['[', ']']).nth(1).filter(|level| *level != "none");
    match level {
        Some(level) => format!(
            "the kernel is locked down ({level}): boot it with `lockdown=none`, or without Secure Boot where that sets it"
        ),
        None => "something guards the kernel from root: run the agent as privileged, without a seccomp filter, and look \
                 for what a security module says in `dmesg`"
            .to_owned(),
    }
}

/// The kernel's release, such as `6.6.0`.
#[must_use]
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Whether `folder`, or else the folder that it would be made in, is on a BPF file system.
pub(super) fn is_on_bpffs(folder: &Path) -> bool {
    let there = folder.ancestors().find(|folder| folder.exists());
    there.is_some_and(|folder| statfs(folder).is_ok_and(|fs| fs.f_type == BPF_FS_MAGIC))
}

/// Below /sys/fs/bpf a file system is mounted where none is; any other folder must be on one already.
fn mount_bpffs(bpffs: &Path) -> Result<(), KernelError> {
    let usual = Path::new(USUAL_BPFFS);
    if is_on_bpffs(bpffs) {
        return Ok(());
    }
    if !bpffs.starts_with(usual) {
        let what = format!("{} is not on a BPF file system", bpffs.display());
        return Err(missing(
            &what,
            "choose a folder below /sys/fs/bpf for --bpffs, or mount one: mount -t bpf bpf FOLDER",
        ));
    }
    fs::create_dir_all(usual)
        .and_then(|()| mount("bpf", usual, "bpf", MountFlags::empty(), None).map_err(Into::into))
        .map_err(|error| {
            missing(
                &format!("/sys/fs/bpf cannot be mounted: {error}"),
                "mount it: mount -t bpf bpf /sys/fs/bpf",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_user_namespace_has_every_user() {
        for (map, expected) in [
            ("         0          0 4294967295\n", true),
            ("         0          0          1\n", false),
            ("         0     100000      65536\n", false),
            ("", false),
        ] {
            assert_eq!(is_whole(map), expected, "{map:?}");
        }
    }

    #[test]
    fn a_kernel_that_is_locked_down_is_told_from_one_that_something_guards() {
        for (lockdown, words) in [
            ("none integrity [confidentiality]\n", "locked down (confidentiality)"),
            ("[none] integrity confidentiality\n", "seccomp"),
            ("", "seccomp"),
        ] {
            let fix = not_permitted_by(lockdown);
            assert!(fix.contains(words), "{lockdown}: {fix}");
        }
    }
}
