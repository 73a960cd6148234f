//! The eBPF objects: loaded, their maps adopted where they are pinned already, their programs put on links.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya::maps::{Map, MapData, ProgramArray};
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use egret_abi::WorkloadIndex;
use rustix::net::{AddressFamily, SocketType};

use super::clsact::{self, Program, Side};
use super::maps::absent_is_fine;
use super::netns::Device;
use super::order::{self, Known, Seat, Standing};
use super::rooms;
use super::tcx;
use super::tier::Tier;
use super::{Doing, KernelError, Pins, Pulse};

pub(super) static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/egret.bpf.o"));
pub(super) static DOOR: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/door.bpf.o"));

/// Every map but HOLD, which must die with the agent, and what one program uses and no other. SCRATCH and FINDINGS
/// are what one step hands to the next: while an agent takes over, a hook of the last one calls a step of this one.
pub(super) const PINNED: &[&str] = &[
    "IFACES",
    "IFACES_FAR",
    "WORKLOADS",
    "LINKS",
    "RULESETS",
    "HOMES",
    "ADDRESSES",
    "RESOLVERS",
    "BINDINGS",
    "NAMES",
    "LEARNED",
    "TURNS",
    "LEARNING",
    "DEST",
    "EXACT",
    "RULES",
    "FLOWS4",
    "FLOWS6",
    "INBOUND4",
    "INBOUND6",
    "CALLS",
    "FRAGMENTS",
    "QUERIES",
    "VERDICTS",
    "WAITING",
    "HELD",
    "TICKETS",
    "CONFIG",
    "BUDGETS",
    "COUNTERS",
    "PROBES",
    "PULSE",
    "EVENTS",
    "ANSWERS",
    "TO_POD",
    "STEPS",
    "SCRATCH",
    "FINDINGS",
    "PASSING",
];
/// The steps behind the hooks, in the order of STEPS.
pub(super) const STEPS: &[&str] = &[
    "judge4",
    "judge6",
    "query",
    "reset",
    "unreachable",
    "answer",
    "cut4",
    "cut6",
    "segment",
    "piece",
    "settle4",
    "settle6",
    "fragment4",
    "fragment6",
    "train",
    "link4",
    "link6",
    "arp",
    "consult4",
    "consult6",
    "learn",
    "records",
    "bind",
];
/// What needs the agent, in the order of HOLD.
const HELD_BY: &[&str] = &["hold_answer", "copy_asking", "hold_packet4", "hold_packet6"];
pub(super) const HOOKS: &[&str] = &[
    "from_pod",
    "stand_in",
    "to_pod",
    "host_door",
    "node_door",
    "hold_answer",
    "copy_asking",
    "hold_packet4",
    "hold_packet6",
    "gate_in",
    "host_gate_in",
    "gate_out",
    "teach",
];

/// Where a program of a workload sits, in tier 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// tcx ingress on the host side of the interface pair.
    FromPod,
    /// tcx ingress on the workload's own device.
    ToPod,
    /// tcx egress on the host side.
    HostDoor,
}

impl Hook {
    /// The hooks that make a workload covered.
    pub const OF_WORKLOAD: [Self; 3] = [Self::FromPod, Self::ToPod, Self::HostDoor];

    /// Its name in pins and messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::FromPod => "from_pod",
            Self::ToPod => "to_pod",
            Self::HostDoor => "host_door",
        }
    }
}

/// The programs that all workloads share.
pub struct Object {
    pub(super) tier: Tier,
    /// The numbers of `from_pod` and `host_door` in the kernel.
    numbers: [u32; 2],
    pub(super) ebpf: Ebpf,
    pub(super) pins: Pins,
    /// The hold, by the only two user-space handles of it: gone with the agent, and then answers go the kernel's way,
    /// unless the next agent has the second one.
    hold: ProgramArray<MapData>,
    hold_handle: OwnedFd,
    /// What was first at the hooks of workloads at the last look.
    first: Known,
}

impl Object {
    /// Loads the programs; maps that are pinned are adopted with what they hold.
    ///
    /// # Errors
    /// What the verifier or the loader said.
    pub fn load(pins: &Pins, tier: Tier) -> Result<Self, KernelError> {
        let mut object = Self::prepare(pins, tier)?;
        object.put_steps()?;
        Ok(object)
    }

    /// As [`Self::load`], but that no packet meets any of it yet.
    ///
    /// # Errors
    /// What the verifier or the loader said.
    pub fn prepare(pins: &Pins, tier: Tier) -> Result<Self, KernelError> {
        rooms::make_outer(pins)?;
        let mut loader = EbpfLoader::new();
        for name in PINNED {
            loader.map_pin_path(name, pins.map(name));
        }
        let mut ebpf = loader.load(OBJECT).doing(|| "load the eBPF object".to_owned())?;
        for name in STEPS.iter().chain(HOOKS) {
            classifier(&mut ebpf, name)?.load().doing(|| format!("load the eBPF program {name}"))?;
        }
        let mut numbers = [0; 2];
        for (number, name) in numbers.iter_mut().zip(["from_pod", "host_door"]) {
            *number = self::number(classifier(&mut ebpf, name)?)?;
        }
        let (hold, hold_handle) = take_hold(&mut ebpf)?;
        Ok(Self { tier, numbers, ebpf, pins: pins.clone(), hold, hold_handle, first: Known::default() })
    }

    /// Puts the steps behind all hooks, those of the agent before too.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn put_steps(&mut self) -> Result<(), KernelError> {
        self.fill("STEPS", STEPS)
    }

    /// The hold, for the next agent: its entries stay as long as somebody has it.
    #[must_use]
    pub fn hold(&self) -> BorrowedFd<'_> {
        self.hold_handle.as_fd()
    }

    /// Opens the hold, then puts this agent's `to_pod` behind all doors. In this order no answer goes unlearned.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn take_over_answers(&mut self) -> Result<(), KernelError> {
        self.open_hold()?;
        self.fill("TO_POD", &["to_pod"])
    }

    /// Opens the hold: what it takes waits in the gate and in ANSWERS.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn open_hold(&mut self) -> Result<(), KernelError> {
        // Whoever is to answer begins soon.
        Pulse::open(&self.pins)?.beat()?;
        for (slot, name) in (0..).zip(HELD_BY) {
            let fd = classifier(&mut self.ebpf, name)?.fd().doing(|| format!("open the program {name}"))?;
            self.hold.set(slot, fd, 0).doing(|| "open the hold".to_owned())?;
        }
        Ok(())
    }

    /// Closes the hold, where it is open: from now on answers pass unlearned, and none is lost in a ring that nobody
    /// reads.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn close_hold(&mut self) -> Result<(), KernelError> {
        (0..).zip(HELD_BY).try_for_each(|(slot, _)| {
            absent_is_fine(self.hold.clear_index(&slot)).doing(|| "close the hold".to_owned())
        })
    }

    fn fill(&mut self, map: &str, programs: &[&str]) -> Result<(), KernelError> {
        let data = MapData::from_pin(self.pins.map(map)).doing(|| format!("open the map {map}"))?;
        let mut array = program_array(map, data)?;
        for (slot, name) in (0..).zip(programs) {
            let fd = classifier(&mut self.ebpf, name)?.fd().doing(|| format!("open the program {name}"))?;
            array.set(slot, fd, 0).doing(|| format!("put {name} into {map}"))?;
        }
        Ok(())
    }

    /// Puts `from_pod` first on the host side of the workload's interface pair.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn attach_from_pod(&mut self, workload: WorkloadIndex, host: &Device) -> Result<(), KernelError> {
        if self.tier == Tier::Clsact {
            self.put_filter(host.index, Side::Ingress, "from_pod")?;
            // What an agent of tier 1 left, now that it is not needed.
            self.pins.unlink(workload);
            return Ok(());
        }
        let pin = self.pins.link(workload, Hook::FromPod);
        tcx::attach(classifier(&mut self.ebpf, "from_pod")?, &host.name, TcAttachType::Ingress, &pin)?;
        // What an agent of tier 2 left, now that it is not needed.
        clsact::sweep(host.index).doing(|| format!("take the filters of {} away", host.name))
    }

    /// How programs are put on interfaces.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.tier
    }

    pub(super) fn put_filter(&mut self, device: u32, side: Side, name: &str) -> Result<(), KernelError> {
        let fd = classifier(&mut self.ebpf, name)?.fd().doing(|| format!("open the program {name}"))?;
        clsact::put_first(device, side, Program { name, fd: fd.as_fd() })
    }

    /// Puts `from_pod` before all programs that came before it: by way of a double, which takes the old link's place: no packet goes
    /// unjudged meanwhile, and some are judged twice. [`Self::settle_from_pod`] puts the program itself there, later: the
    /// old link is gone some milliseconds after its pin, and one hook takes no program twice.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn put_from_pod_first(&mut self, workload: WorkloadIndex, host: &Device) -> Result<(), KernelError> {
        if self.tier == Tier::Clsact {
            return self.put_filter(host.index, Side::Ingress, "from_pod");
        }
        let pin = self.pins.link(workload, Hook::FromPod);
        tcx::put_first(classifier(&mut self.ebpf, "stand_in")?, &host.name, TcAttachType::Ingress, &pin)
    }

    /// Puts `from_pod` in the place of its double.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn settle_from_pod(&mut self, workload: WorkloadIndex) -> Result<(), KernelError> {
        if self.tier == Tier::Clsact {
            return Ok(());
        }
        let pin = self.pins.link(workload, Hook::FromPod);
        tcx::take_over(classifier(&mut self.ebpf, "from_pod")?, &pin)
            .doing(|| "put from_pod in the place of its double".to_owned())
    }

    /// How the hooks of workloads stand: all that this tier has, for each.
    ///
    /// # Errors
    /// Where one cannot be looked at, there only.
    pub fn standings(&mut self, seats: &[Seat<'_>]) -> Vec<Vec<(Hook, Result<Standing, KernelError>)>> {
        if self.tier == Tier::Tcx {
            return order::standings(&self.pins, seats, &mut self.first);
        }
        let [ingress, egress] = self.numbers;
        let stand = |host: u32| {
            let hooks = [(Hook::FromPod, Side::Ingress, ingress), (Hook::ToPod, Side::Egress, egress)];
            hooks.map(|(hook, side, ours)| (hook, clsact::standing(host, side, ours))).into()
        };
        seats.iter().map(|seat| stand(seat.host.index)).collect()
    }

    /// Takes a workload's programs away from wherever they are: its packets pass unjudged from then on.
    pub fn detach(&self, workload: WorkloadIndex, host: Option<u32>) {
        self.pins.unlink(workload);
        // Where the device is gone, its filters are too.
        let _ = host.map(clsact::sweep);
    }

    /// Takes away the filters that agents of tier 2 left on devices.
    pub fn sweep_filters<'a>(&self, devices: impl IntoIterator<Item = &'a Device>) {
        for device in devices {
            if let Err(error) = clsact::sweep(device.index) {
                tracing::warn!("filters of an earlier agent may stay on {}: {error}", device.name);
            }
        }
    }

    /// Puts the gate's programs on the TAP device `interface`; they go with it.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn attach_gate(&mut self, interface: &str) -> Result<(), KernelError> {
        if self.tier == Tier::Clsact {
            let device = index_of(interface).doing(|| format!("find the device {interface}"))?;
            self.put_filter(device, Side::Egress, "gate_out")?;
            return self.put_filter(device, Side::Ingress, "host_gate_in");
        }
        for (name, direction) in [("gate_out", TcAttachType::Egress), ("gate_in", TcAttachType::Ingress)] {
            let first = TcAttachOptions::TcxOrder(LinkOrder::first());
            classifier(&mut self.ebpf, name)?
                .attach_with_options(interface, direction, first)
                .doing(|| format!("attach {name} to {interface}"))?;
        }
        Ok(())
    }
}

pub(super) fn classifier<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier, KernelError> {
    ebpf.program_mut(name)
        .ok_or_else(|| {
            KernelError::failed(name.to_owned(), anyhow::anyhow!("the object has no such program"))
        })?
        .try_into()
        .doing(|| format!("the program {name}"))
}

fn index_of(interface: &str) -> std::io::Result<u32> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    Ok(rustix::net::netdevice::name_to_index(&socket, interface)?)
}

pub(super) fn number(program: &SchedClassifier) -> Result<u32, KernelError> {
    program.info().map(|info| info.id()).doing(|| "ask which number a program has".to_owned())
}

fn take_hold(ebpf: &mut Ebpf) -> Result<(ProgramArray<MapData>, OwnedFd), KernelError> {
    let Some(Map::ProgramArray(hold)) = ebpf.take_map("HOLD") else {
        return Err(KernelError::failed("HOLD", anyhow::anyhow!("the object has no such array of programs")));
    };
    let handle = hold.fd().as_fd().try_clone_to_owned().doing(|| "keep HOLD".to_owned())?;
    Ok((program_array("HOLD", hold)?, handle))
}

fn program_array(name: &str, data: MapData) -> Result<ProgramArray<MapData>, KernelError> {
    Map::ProgramArray(data).try_into().doing(|| format!("the map {name}"))
}
