//! The hooks on a control group: for workloads that have no interface pair of their own.
//!
//! Each workload has its own copy of the programs, which carries its index. Links of control groups let the programs of
//! others run too, whatever their order: what any of them denies is denied. They are pinned as all links are, and so
//! outlive the agent; the kernel takes them off when the group goes.

use std::fs;

use aya::programs::links::FdLink;
use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSockAddr, Program};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use egret_abi::WorkloadIndex;

use super::control_groups::ControlGroup;
use super::object::PINNED;
use super::{Doing, KernelError, Object, Pins, bpf};

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sockets.bpf.o"));

/// The programs, by which their links are called too. In this order nothing is refused that a server answers with: who
/// calls is noted before anything is judged.
pub(super) const SOCKET_HOOKS: [&str; 6] =
    ["socket_ingress", "socket_egress", "connect4", "connect6", "sendmsg4", "sendmsg6"];

impl Object {
    /// Puts the workload's programs on its control group, in the place of those of an earlier agent: there are always some.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn attach_to_sockets(
        &mut self,
        workload: WorkloadIndex,
        group: &ControlGroup,
    ) -> Result<(), KernelError> {
        let mut copy = self.copy(workload)?;
        for name in SOCKET_HOOKS {
            let doing = || format!("attach {name} to {}", group.path.display());
            let link = attach(&mut copy, name, group).doing(doing)?;
            let pin = self.pins.socket_link(workload, name);
            let next = Pins::next(&pin);
            let _ = fs::remove_file(&next);
            link.pin(&next).doing(|| format!("pin the link of {name}"))?;
            fs::rename(&next, &pin).doing(|| format!("pin the link of {name}"))?;
        }
        Ok(())
    }

    /// Whether the workload's programs are all on its control group.
    #[must_use]
    pub fn are_at_sockets(&self, workload: WorkloadIndex, group: &ControlGroup) -> bool {
        let is_on = |name| bpf::group_of_link(&self.pins.socket_link(workload, name)).ok() == Some(group.id);
        SOCKET_HOOKS.into_iter().all(is_on)
    }

    fn copy(&self, workload: WorkloadIndex) -> Result<Ebpf, KernelError> {
        let mut loader = EbpfLoader::new();
        loader.override_global("WORKLOAD", &workload.0, true);
        for name in PINNED {
            loader.map_pin_path(name, self.pins.map(name));
        }
        let mut copy = loader.load(OBJECT).doing(|| "load the eBPF object of sockets".to_owned())?;
        for name in SOCKET_HOOKS {
            load(&mut copy, name).doing(|| format!("load the eBPF program {name}"))?;
        }
        Ok(copy)
    }
}

fn load(copy: &mut Ebpf, name: &str) -> anyhow::Result<()> {
    match copy.program_mut(name) {
        Some(Program::CgroupSkb(program)) => program.load()?,
        Some(Program::CgroupSockAddr(program)) => program.load()?,
        _ => anyhow::bail!("the object has no such program"),
    }
    Ok(())
}

fn attach(copy: &mut Ebpf, name: &str, group: &ControlGroup) -> anyhow::Result<FdLink> {
    match copy.program_mut(name) {
        Some(Program::CgroupSkb(program)) => attach_skb(program, group),
        Some(Program::CgroupSockAddr(program)) => attach_address(program, group),
        _ => anyhow::bail!("the object has no such program"),
    }
}

fn attach_skb(program: &mut CgroupSkb, group: &ControlGroup) -> anyhow::Result<FdLink> {
    let side = program.expected_attach_type().unwrap_or(CgroupSkbAttachType::Egress);
    let link = program.attach(&group.folder, side, CgroupAttachMode::Single)?;
    Ok(program.take_link(link)?.try_into()?)
}

fn attach_address(program: &mut CgroupSockAddr, group: &ControlGroup) -> anyhow::Result<FdLink> {
    let link = program.attach(&group.folder, CgroupAttachMode::Single)?;
    Ok(program.take_link(link)?.try_into()?)
}
