//! The eBPF objects: loaded, their maps adopted where they are pinned already, their programs put on links.

use aya::maps::{MapData, ProgramArray};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::{LinkOrder, ProgramFd, SchedClassifier, TcAttachType, TestRun, TestRunOptions};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use egret_abi::WorkloadIndex;

use super::maps::absent_is_fine;
use super::netns::{self, NetNs};
use super::{Doing, KernelError, Pins};

pub(super) static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/egret.bpf.o"));
pub(super) static DOOR: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/door.bpf.o"));

/// Every map but HOLD, which must die with the agent, and what one program uses and no other. SCRATCH and FINDINGS
/// are what one step hands to the next: while an agent takes over, a hook of the last one calls a step of this one.
const PINNED: &[&str] = &[
    "IFACES",
    "IFACES_FAR",
    "WORKLOADS",
    "LINKS",
    "RULESETS",
    "HOMES",
    "ADDRESSES",
    "RESOLVERS",
    "BINDINGS",
    "DEST",
    "EXACT",
    "RULES",
    "FLOWS4",
    "FLOWS6",
    "INBOUND4",
    "INBOUND6",
    "CALLS",
    "QUERIES",
    "HELD",
    "CONFIG",
    "BUDGETS",
    "COUNTERS",
    "PROBES",
    "EVENTS",
    "ANSWERS",
    "TO_POD",
    "STEPS",
    "SCRATCH",
    "FINDINGS",
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
];
/// What needs the agent, in the order of HOLD.
const HELD_BY: &[&str] = &["hold_answer", "copy_asking"];
pub(super) const HOOKS: &[&str] =
    &["from_pod", "stand_in", "to_pod", "hold_answer", "copy_asking", "gate_in", "gate_out"];

/// Where a program of a workload sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// tcx ingress on the host side of the interface pair.
    FromPod,
    /// tcx ingress on the workload's own device.
    ToPod,
}

impl Hook {
    /// The hooks that make a workload covered.
    pub const OF_WORKLOAD: [Self; 2] = [Self::FromPod, Self::ToPod];

    /// Its name in pins and messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::FromPod => "from_pod",
            Self::ToPod => "to_pod",
        }
    }
}

/// The programs that all workloads share.
pub struct Object {
    ebpf: Ebpf,
    pins: Pins,
    /// The one user-space handle of the hold: dropped with the agent, and then answers go the kernel's way.
    hold: ProgramArray<MapData>,
}

impl Object {
    /// Loads the programs; maps that are pinned are adopted with what they hold.
    ///
    /// # Errors
    /// What the verifier or the loader said.
    pub fn load(pins: &Pins) -> Result<Self, KernelError> {
        let mut loader = EbpfLoader::new();
        for name in PINNED {
            loader.map_pin_path(name, pins.map(name));
        }
        let mut ebpf = loader.load(OBJECT).doing(|| "load the eBPF object".to_owned())?;
        for name in STEPS.iter().chain(HOOKS) {
            classifier(&mut ebpf, name)?.load().doing(|| format!("load the eBPF program {name}"))?;
        }
        let hold = take_programs(&mut ebpf, "HOLD")?;
        let mut object = Self { ebpf, pins: pins.clone(), hold };
        object.fill("STEPS", STEPS)?;
        Ok(object)
    }

    /// Opens the hold, then puts this agent's `to_pod` behind all doors. In this order no answer goes unlearned.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn take_over_answers(&mut self) -> Result<(), KernelError> {
        for (slot, name) in (0..).zip(HELD_BY) {
            let fd = classifier(&mut self.ebpf, name)?.fd().doing(|| format!("open the program {name}"))?;
            self.hold.set(slot, fd, 0).doing(|| "open the hold".to_owned())?;
        }
        self.fill("TO_POD", &["to_pod"])
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
    pub fn attach_from_pod(&mut self, workload: WorkloadIndex, interface: &str) -> Result<(), KernelError> {
        let pin = self.pins.link(workload, Hook::FromPod);
        attach(classifier(&mut self.ebpf, "from_pod")?, interface, &pin)
    }

    /// Puts the workload's door first on its own device, inside its namespace.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn attach_to_pod(
        &self,
        workload: WorkloadIndex,
        netns: &NetNs,
        interface: &str,
    ) -> Result<(), KernelError> {
        let pin = self.pins.link(workload, Hook::ToPod);
        let mut door = self.door(workload)?;
        let program = classifier(&mut door, "door")?;
        netns::inside(netns, || attach(program, interface, &pin))?
    }

    fn door(&self, workload: WorkloadIndex) -> Result<Ebpf, KernelError> {
        let mut door = EbpfLoader::new()
            .override_global("WORKLOAD", &workload.0, true)
            .map_pin_path("TO_POD", self.pins.map("TO_POD"))
            .load(DOOR)
            .doing(|| "load the eBPF object of the door".to_owned())?;
        classifier(&mut door, "door")?.load().doing(|| "load the eBPF program door".to_owned())?;
        Ok(door)
    }

    /// Puts a double of `from_pod` before all programs that came before it, and takes the old link away: no packet goes
    /// unjudged meanwhile, and some are judged twice. [`Self::settle_from_pod`] puts the program itself there, later: the
    /// old link is gone some milliseconds after its pin, and one hook takes no program twice.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn put_from_pod_first(
        &mut self,
        workload: WorkloadIndex,
        interface: &str,
    ) -> Result<(), KernelError> {
        let pin = self.pins.link(workload, Hook::FromPod);
        put_first(classifier(&mut self.ebpf, "stand_in")?, interface, &pin)
    }

    /// Puts `from_pod` in the place of its double.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn settle_from_pod(&mut self, workload: WorkloadIndex) -> Result<(), KernelError> {
        let pin = self.pins.link(workload, Hook::FromPod);
        take_over(classifier(&mut self.ebpf, "from_pod")?, &pin)
            .doing(|| "put from_pod in the place of its double".to_owned())
    }

    /// Puts the workload's door before all programs that came before it: a new copy, then the old one goes.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn put_to_pod_first(
        &self,
        workload: WorkloadIndex,
        netns: &NetNs,
        interface: &str,
    ) -> Result<(), KernelError> {
        let pin = self.pins.link(workload, Hook::ToPod);
        let mut door = self.door(workload)?;
        let program = classifier(&mut door, "door")?;
        netns::inside(netns, || put_first(program, interface, &pin))?
    }

    /// Puts the gate's programs on the TAP device `interface`; they go with it.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn attach_gate(&mut self, interface: &str) -> Result<(), KernelError> {
        for (name, direction) in [("gate_out", TcAttachType::Egress), ("gate_in", TcAttachType::Ingress)] {
            let first = TcAttachOptions::TcxOrder(LinkOrder::first());
            classifier(&mut self.ebpf, name)?
                .attach_with_options(interface, direction, first)
                .doing(|| format!("attach {name} to {interface}"))?;
        }
        Ok(())
    }
}

impl Object {
    /// A program that is loaded, for a program array of somebody else's. For benchmarks.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn program(&mut self, name: &str) -> Result<&ProgramFd, KernelError> {
        classifier(&mut self.ebpf, name)?.fd().doing(|| format!("open the program {name}"))
    }

    /// Runs a program `repeat` times on `frame`, as if it had come in at the loopback device: what it returned last,
    /// and nanoseconds per run. For benchmarks.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn test_run(&mut self, program: &str, frame: &[u8], repeat: u32) -> Result<(i32, f64), KernelError> {
        let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::default() };
        let program: &SchedClassifier = classifier(&mut self.ebpf, program)?;
        let result = program.test_run(options).doing(|| "run a program".to_owned())?;
        Ok((result.return_value.cast_signed(), result.duration.as_nanos() as f64))
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

fn take_programs(ebpf: &mut Ebpf, name: &str) -> Result<ProgramArray<MapData>, KernelError> {
    ebpf.take_map(name)
        .ok_or_else(|| KernelError::failed(name.to_owned(), anyhow::anyhow!("the object has no such map")))?
        .try_into()
        .doing(|| format!("the map {name}"))
}

fn program_array(name: &str, data: MapData) -> Result<ProgramArray<MapData>, KernelError> {
    aya::maps::Map::ProgramArray(data).try_into().doing(|| format!("the map {name}"))
}

/// Takes over the pinned link where it is alive and on `interface`, else makes a new one in the first place and pins
/// it. A link that is alive elsewhere is of where the workload was before.
fn attach(program: &mut SchedClassifier, interface: &str, pin: &std::path::Path) -> Result<(), KernelError> {
    // What an agent left that ended while it put a hook first.
    let _ = std::fs::remove_file(Pins::next(pin));
    if pin.exists() && take_over(program, pin).is_ok() && runs_on(program, interface).unwrap_or(false) {
        return Ok(());
    }
    let _ = std::fs::remove_file(pin);
    attach_first(program, interface, pin)
}

/// Makes a new link in the first place and pins it where the old one is, which goes with that: in one step, so that
/// there is always one of them.
fn put_first(
    program: &mut SchedClassifier,
    interface: &str,
    pin: &std::path::Path,
) -> Result<(), KernelError> {
    let next = Pins::next(pin);
    let _ = std::fs::remove_file(&next);
    attach_first(program, interface, &next)?;
    std::fs::rename(&next, pin).doing(|| format!("pin the link on {interface}"))
}

fn attach_first(
    program: &mut SchedClassifier,
    interface: &str,
    pin: &std::path::Path,
) -> Result<(), KernelError> {
    let first = TcAttachOptions::TcxOrder(LinkOrder::first());
    let link = program
        .attach_with_options(interface, TcAttachType::Ingress, first)
        .doing(|| format!("attach to {interface}"))?;
    let link = program.take_link(link).doing(|| format!("the link on {interface}"))?;
    let link: FdLink = link.try_into().doing(|| format!("the link on {interface}"))?;
    link.pin(pin).doing(|| format!("pin the link on {interface}"))?;
    Ok(())
}

/// Fails where the interface of the link is gone.
fn take_over(program: &mut SchedClassifier, pin: &std::path::Path) -> anyhow::Result<()> {
    let link: SchedClassifierLink = FdLink::from(PinnedLink::from_pin(pin)?).try_into()?;
    let id = program.attach_to_link(link)?;
    // The program must not keep it: the pin does.
    drop(program.take_link(id)?);
    Ok(())
}

/// Whether `program` is among the tcx programs on `interface`, of this network namespace.
fn runs_on(program: &SchedClassifier, interface: &str) -> anyhow::Result<bool> {
    let id = program.info()?.id();
    let (_, programs) = SchedClassifier::query_tcx(interface, TcAttachType::Ingress)?;
    Ok(programs.iter().any(|program| program.id() == id))
}

/// The order of tcx programs on `interface`, by name, of this network namespace.
///
/// # Errors
/// What the kernel said.
pub fn order(interface: &str) -> Result<Vec<String>, KernelError> {
    let (_, programs) = SchedClassifier::query_tcx(interface, TcAttachType::Ingress)
        .doing(|| format!("read the programs on {interface}"))?;
    Ok(programs.iter().map(|program| program.name_as_str().unwrap_or_default().to_owned()).collect())
}
