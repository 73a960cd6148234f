//! From facts to lines for the operator. Pure.

use rustix::thread::CapabilitySet;

use super::super::tier::{OLDEST, version};
use super::probe::{Bpffs, Facts};
use super::trial::{Trial, Tried};
use super::{Finding, State};

/// What a kernel without tcx lacks for.
const NEWER: &str = "run Linux 6.6 or later: without tcx, answers that a CNI delivers past the host side of a pair, as \
                     with bpf_redirect_peer, are not seen, and teach nothing";

/// What each capability is for.
const CAPABILITIES: [(CapabilitySet, &str, &str); 4] = [
    (CapabilitySet::BPF, "CAP_BPF", "loads eBPF programs and makes maps"),
    (CapabilitySet::PERFMON, "CAP_PERFMON", "lets the verifier allow what programs do with packets"),
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN", "puts programs on interfaces and makes the gate"),
    (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN", "enters the network namespaces of workloads"),
];

/// Words the facts, in an order in which each line makes sense of the next.
#[must_use]
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![root(facts), user_namespace(facts)];
    findings.extend(CAPABILITIES.map(|capability| held(facts, capability)));
    findings.extend([kernel(facts), btf(facts), bpffs(facts), tun(facts)]);
    findings.extend(trial(facts));
    findings.extend(ends_sockets(facts));
    findings.extend([cgroup2(facts), unprivileged_bpf(facts)]);
    findings.extend(jit(facts));
    findings
}

fn root(facts: &Facts) -> Finding {
    if facts.root {
        Finding::ok("root", "runs as root")
    } else {
        Finding::missing("root", "does not run as root", "run the agent, and this command, with sudo")
    }
}

/// The trap: in a user namespace a process is root and has every capability, and the kernel still refuses it.
fn user_namespace(facts: &Facts) -> Finding {
    let check = "user namespace";
    match facts.first_user_namespace {
        Some(true) => Finding::ok(check, "root is root of the machine"),
        Some(false) => Finding::missing(
            check,
            "root is root of a user namespace only, to which the kernel gives no eBPF on interfaces",
            "run outside of rootless containers and of `unshare --user`; in Kubernetes with hostUsers: true",
        ),
        None => Finding::note(check, "cannot be told: /proc is not mounted", Some("mount /proc".to_owned())),
    }
}

fn held(facts: &Facts, (capability, name, purpose): (CapabilitySet, &'static str, &str)) -> Finding {
    if facts.capabilities.contains(capability) {
        return Finding::ok(name, format!("held; it {purpose}"));
    }
    let fix = format!(
        "give it: AmbientCapabilities and CapabilityBoundingSet={name} in a unit of systemd, \
                       securityContext.capabilities.add in a pod"
    );
    Finding::missing(name, format!("not held; it {purpose}"), fix)
}

fn kernel(facts: &Facts) -> Finding {
    let (check, release) = ("kernel", &facts.release);
    match version(release) {
        Some(version) if version >= OLDEST => Finding::ok(check, release),
        _ => Finding::missing(
            check,
            format!("{release} is too old"),
            format!("run Linux {} or later", oldest()),
        ),
    }
}

fn oldest() -> String {
    format!("{}.{}", OLDEST.0, OLDEST.1)
}

fn btf(facts: &Facts) -> Finding {
    if facts.btf {
        Finding::ok("BTF", "the kernel tells its types")
    } else {
        let found = "there is no /sys/kernel/btf/vmlinux";
        Finding::missing("BTF", found, "run a kernel built with CONFIG_DEBUG_INFO_BTF=y, and mount /sys")
    }
}

fn bpffs(facts: &Facts) -> Finding {
    let (folder, state) = (facts.bpffs.0.display(), facts.bpffs.1);
    let check = "bpffs";
    match state {
        Bpffs::Mounted => Finding::ok(check, format!("{folder} is on a BPF file system")),
        Bpffs::MountedByAgent => {
            Finding::ok(check, format!("{folder} is not on a BPF file system yet; the agent mounts one"))
        }
        Bpffs::Absent => {
            let fix = "choose a folder below /sys/fs/bpf for --bpffs, or mount one: mount -t bpf bpf FOLDER";
            Finding::missing(check, format!("{folder} is not on a BPF file system"), fix)
        }
    }
}

fn tun(facts: &Facts) -> Finding {
    match &facts.tun {
        Ok(()) => Finding::ok("TUN", "/dev/net/tun opens"),
        Err(error) => {
            let fix = "load the kernel module: modprobe tun; in a container, mount /dev/net/tun into it";
            Finding::missing("TUN", format!("/dev/net/tun does not open: {error}"), fix)
        }
    }
}

fn trial(facts: &Facts) -> [Finding; 4] {
    let untried = Trial {
        ring: Tried::Not,
        maps: Tried::Not,
        programs: Tried::Not,
        tcx: Tried::Not,
        clsact: Tried::Not,
    };
    let Trial { ring, maps, programs, tcx, clsact } = facts.trial.as_ref().unwrap_or(&untried);
    let newer = format!("run Linux {} or later, built with CONFIG_BPF_SYSCALL=y", oldest());
    let report = "this kernel should do it; report it with the text above and the kernel's release";
    let fix = if version(&facts.release).is_some_and(|version| version >= OLDEST) { report } else { &newer };
    [
        tried("ring buffer", ring, "a ring buffer can be made", fix),
        tried("maps", maps, "every map can be made, maps of maps among them", fix),
        tried("programs", programs, "the verifier takes every program", fix),
        hooks(tcx, clsact),
    ]
}

fn hooks(tcx: &Tried, clsact: &Tried) -> Finding {
    let check = "hooks";
    let fix =
        "build the kernel with CONFIG_NET_CLS_ACT=y, or with CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF";
    match (tcx, clsact) {
        (Tried::Fails(error), Tried::Works) => Finding::note(
            check,
            format!("tier 2: by clsact, for tcx fails ({error})"),
            Some(NEWER.to_owned()),
        ),
        (Tried::Fails(tcx), Tried::Fails(clsact)) => {
            Finding::missing(check, format!("neither tcx ({tcx}) nor clsact ({clsact}) works"), fix)
        }
        _ => tried(check, tcx, "tier 1: by tcx, tried on a device of a network namespace made for it", fix),
    }
}

fn tried(check: &'static str, tried: &Tried, works: &str, fix: &str) -> Finding {
    match tried {
        Tried::Works => Finding::ok(check, works),
        Tried::Fails(error) => Finding::missing(check, error, fix),
        Tried::Not => {
            let found = "not tried, for something above is missing".to_owned();
            Finding { check, state: State::Unknown, found, fix: None }
        }
    }
}

/// Nothing where it could not be tried.
fn ends_sockets(facts: &Facts) -> Option<Finding> {
    let check = "ending sockets";
    let found =
        "it does not end sockets: what a change of policy denies ends with its next packet, and not at once";
    let fix = "run a kernel built with CONFIG_INET_DIAG_DESTROY=y".to_owned();
    match facts.ends_sockets? {
        true => Some(Finding::ok(check, "the kernel ends a socket when told to")),
        false => Some(Finding::note(check, found, Some(fix))),
    }
}

fn cgroup2(facts: &Facts) -> Finding {
    let check = "cgroup v2";
    match &facts.cgroup2 {
        Some(mount) => Finding::ok(check, format!("mounted on {}", mount.display())),
        None => {
            let found = "not mounted: workloads in the node's own network are not covered";
            Finding::note(check, found, Some("mount it: mount -t cgroup2 none /sys/fs/cgroup".to_owned()))
        }
    }
}

fn unprivileged_bpf(facts: &Facts) -> Finding {
    let check = "unprivileged eBPF";
    match facts.unprivileged_bpf_disabled {
        Some(0) => {
            let fix = "forbid it: sysctl -w kernel.unprivileged_bpf_disabled=2".to_owned();
            Finding::note(check, "every user of this machine may load eBPF programs", Some(fix))
        }
        Some(_) => Finding::ok(check, "forbidden"),
        None => Finding::ok(check, "this kernel has none"),
    }
}

/// Nothing where the kernel has no such setting: it always compiles then.
fn jit(facts: &Facts) -> Option<Finding> {
    let slow = "off: every program is interpreted, at many times the cost";
    match facts.jit? {
        0 => Some(Finding::note(
            "JIT",
            slow,
            Some("turn it on: sysctl -w net.core.bpf_jit_enable=1".to_owned()),
        )),
        _ => Some(Finding::ok("JIT", "on")),
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
