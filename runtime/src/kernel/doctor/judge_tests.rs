use rustix::thread::CapabilitySet;

use super::super::super::tier::OLDEST;
use super::*;

/// A machine on which all is well.
fn well() -> Facts {
    let works = || Tried::Works;
    Facts {
        root: true,
        first_user_namespace: Some(true),
        capabilities: CapabilitySet::all(),
        release: format!("{}.{}.0", OLDEST.0, OLDEST.1),
        btf: true,
        bpffs: ("/sys/fs/bpf/egret".into(), Bpffs::Mounted),
        tun: Ok(()),
        cgroup2: Some("/sys/fs/cgroup".into()),
        unprivileged_bpf_disabled: Some(2),
        jit: Some(1),
        ends_sockets: Some(true),
        trial: Some(Trial { ring: works(), maps: works(), programs: works(), tcx: works(), clsact: works() }),
    }
}

/// The checks that are not ok, with their state.
fn wrong(facts: &Facts) -> Vec<(&'static str, State)> {
    let findings = judge(facts).into_iter();
    findings
        .filter(|finding| finding.state != State::Ok)
        .map(|finding| (finding.check, finding.state))
        .collect()
}

#[test]
fn where_all_is_well_nothing_is_wrong_and_there_is_nothing_to_do() {
    assert_eq!(wrong(&well()), []);
    assert!(judge(&well()).iter().all(|finding| finding.fix.is_none() && !finding.found.is_empty()));
}

#[test]
fn each_thing_that_is_not_as_it_must_be_is_told_with_what_to_do() {
    use State::{Missing, Note};
    type Case = (&'static str, State, fn(&mut Facts), &'static str, &'static str);
    let cases: [Case; 21] = [
        ("root", Missing, |facts| facts.root = false, "does not run as root", "sudo"),
        (
            "user namespace",
            Missing,
            |facts| facts.first_user_namespace = Some(false),
            "user namespace only",
            "hostUsers",
        ),
        ("user namespace", Note, |facts| facts.first_user_namespace = None, "cannot be told", "mount /proc"),
        ("CAP_BPF", Missing, |facts| facts.capabilities.remove(CapabilitySet::BPF), "not held", "CAP_BPF"),
        (
            "CAP_PERFMON",
            Missing,
            |facts| facts.capabilities.remove(CapabilitySet::PERFMON),
            "not held",
            "CAP_PERFMON",
        ),
        (
            "CAP_NET_ADMIN",
            Missing,
            |facts| facts.capabilities.remove(CapabilitySet::NET_ADMIN),
            "gate",
            "unit of systemd",
        ),
        (
            "CAP_SYS_ADMIN",
            Missing,
            |facts| facts.capabilities.remove(CapabilitySet::SYS_ADMIN),
            "enters",
            "in a pod",
        ),
        (
            "kernel",
            Missing,
            |facts| facts.release = "6.0.19".into(),
            "6.0.19 is too old",
            "Linux 6.1 or later",
        ),
        ("kernel", Missing, |facts| facts.release = "linux".into(), "linux is too old", "Linux 6.1 or later"),
        ("BTF", Missing, |facts| facts.btf = false, "/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"),
        (
            "bpffs",
            Missing,
            |facts| facts.bpffs.1 = Bpffs::Absent,
            "is not on a BPF file system",
            "mount -t bpf",
        ),
        ("TUN", Missing, |facts| facts.tun = Err("No such file".into()), "No such file", "modprobe tun"),
        ("ring buffer", Missing, |facts| trial_of(facts).ring = fails(), "EINVAL", "report it"),
        ("maps", Missing, |facts| trial_of(facts).maps = fails(), "EINVAL", "report it"),
        ("programs", Missing, |facts| trial_of(facts).programs = fails(), "EINVAL", "report it"),
        ("hooks", Note, |facts| trial_of(facts).tcx = fails(), "tier 2: by clsact", "Linux 6.6 or later"),
        (
            "hooks",
            Missing,
            |facts| (trial_of(facts).tcx, trial_of(facts).clsact) = (fails(), fails()),
            "neither tcx (EINVAL) nor clsact (EINVAL)",
            "CONFIG_NET_CLS_ACT",
        ),
        (
            "ending sockets",
            Note,
            |facts| facts.ends_sockets = Some(false),
            "next packet",
            "CONFIG_INET_DIAG_DESTROY",
        ),
        ("cgroup v2", Note, |facts| facts.cgroup2 = None, "are not covered", "mount -t cgroup2"),
        (
            "unprivileged eBPF",
            Note,
            |facts| facts.unprivileged_bpf_disabled = Some(0),
            "every user",
            "sysctl",
        ),
        ("JIT", Note, |facts| facts.jit = Some(0), "interpreted", "sysctl"),
    ];
    for (check, state, spoil, found, fix) in cases {
        let mut facts = well();
        spoil(&mut facts);
        assert_eq!(wrong(&facts), [(check, state)], "{check}");
        let told = judge(&facts).into_iter().find(|finding| finding.check == check).expect("told");
        assert!(told.found.contains(found), "{told:?}");
        assert!(told.fix.is_some_and(|told| told.contains(fix)), "{check}: {fix}");
    }
}

#[test]
fn what_is_harmless_is_ok() {
    let cases: [fn(&mut Facts); 7] = [
        |facts| facts.bpffs.1 = Bpffs::MountedByAgent,
        |facts| facts.unprivileged_bpf_disabled = None,
        |facts| facts.jit = None,
        |facts| facts.ends_sockets = None,
        |facts| facts.capabilities.remove(CapabilitySet::SYS_RESOURCE),
        |facts| facts.release = "6.18.44-cloud".into(),
        |facts| trial_of(facts).clsact = fails(),
    ];
    for (case, change) in cases.iter().enumerate() {
        let mut facts = well();
        change(&mut facts);
        assert_eq!(wrong(&facts), [], "case {case}");
    }
}

#[test]
fn what_was_not_tried_is_neither_well_nor_missing() {
    let facts = Facts { root: false, trial: None, ..well() };
    let unknown = ["ring buffer", "maps", "programs", "hooks"].map(|check| (check, State::Unknown));
    assert_eq!(wrong(&facts), [&[("root", State::Missing)][..], &unknown].concat());
}

#[test]
fn on_an_old_kernel_the_fix_is_a_newer_one() {
    let mut facts = Facts { release: "5.15.0".into(), ..well() };
    trial_of(&mut facts).maps = fails();
    let maps = judge(&facts).into_iter().find(|finding| finding.check == "maps").expect("told");
    assert!(maps.fix.is_some_and(|fix| fix.starts_with("run Linux 6.1 or later")));
}

fn trial_of(facts: &mut Facts) -> &mut Trial {
    facts.trial.as_mut().expect("it was tried")
}

fn fails() -> Tried {
    Tried::Fails("EINVAL".into())
}
