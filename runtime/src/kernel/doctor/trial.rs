//! What only trying tells: whether this kernel takes the maps, the programs and the hook that Egret is made of.
#![allow(unsafe_code, reason = "unshare is unsafe for the sake of a flag that is not used here")]

use std::os::fd::AsFd;

use aya::maps::MapData;
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};
use aya::{Ebpf, EbpfLoader};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::super::clsact::{self, Program, Side};
use super::super::object::{self, DOOR, HOOKS, OBJECT, STEPS};
use super::super::order::Standing;
use super::super::tcx;
use super::super::{Doing, KernelError};

const BPF_MAP_TYPE_RINGBUF: u32 = 27;
/// Bytes: whole pages on every machine.
const SMALLEST_RING: u32 = 1 << 16;
/// The device that every network namespace is born with.
const LOOPBACK: &str = "lo";

/// What came of trying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// A ring buffer was made.
    pub ring: Tried,
    /// Every map was made, maps of maps among them.
    pub maps: Tried,
    /// The verifier took every program.
    pub programs: Tried,
    /// A program was put on a device by tcx.
    pub tcx: Tried,
    /// The same by clsact.
    pub clsact: Tried,
}

/// What came of one thing tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It works.
    Works,
    /// It does not, and this was said.
    Fails(String),
    /// Nothing to try it with, for something before it failed.
    Not,
}

impl From<Result<(), KernelError>> for Tried {
    fn from(result: Result<(), KernelError>) -> Self {
        result.map_or_else(|error| Self::Fails(error.to_string()), |()| Self::Works)
    }
}

/// Tries everything out. Nothing is pinned, and no device is touched that was there before.
pub(super) fn run() -> Trial {
    let mut loaded = load();
    let programs = match &mut loaded {
        Ok(object) => verify(object).into(),
        Err(_) => Tried::Not,
    };
    Trial {
        ring: make_ring().into(),
        maps: loaded.map(drop).into(),
        programs,
        tcx: elsewhere(hook_by_tcx).into(),
        clsact: elsewhere(hook_by_clsact).into(),
    }
}

fn make_ring() -> Result<(), KernelError> {
    let ring = aya_obj::Map::new_from_params(BPF_MAP_TYPE_RINGBUF, 0, 0, SMALLEST_RING, 0);
    MapData::create(ring, "trial", None).map(drop).doing(|| "make a ring buffer".to_owned())
}

/// Makes every map, pinned nowhere.
fn load() -> Result<Ebpf, KernelError> {
    EbpfLoader::new().load(OBJECT).doing(|| "load the eBPF object".to_owned())
}

fn verify(object: &mut Ebpf) -> Result<(), KernelError> {
    STEPS.iter().chain(HOOKS).try_for_each(|name| {
        object::classifier(object, name)?.load().doing(|| format!("load the eBPF program {name}"))
    })
}

/// Puts a door on the loopback device of a network namespace that nobody else has, and sees whether it is there.
fn elsewhere(hook: fn(&mut SchedClassifier) -> Result<(), KernelError>) -> Result<(), KernelError> {
    let try_out = || {
        // SAFETY: only the network namespace is left; descriptors stay shared with the other threads.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.doing(|| "make a network namespace".to_owned())?;
        let mut door =
            EbpfLoader::new().load(DOOR).doing(|| "load the eBPF object of the door".to_owned())?;
        let program = object::classifier(&mut door, "door")?;
        program.load().doing(|| "load the eBPF program door".to_owned())?;
        hook(program)
    };
    std::thread::scope(|scope| scope.spawn(try_out).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn hook_by_tcx(program: &mut SchedClassifier) -> Result<(), KernelError> {
    let first = TcAttachOptions::TcxOrder(LinkOrder::first());
    program
        .attach_with_options(LOOPBACK, TcAttachType::Ingress, first)
        .doing(|| "attach a program by tcx".to_owned())?;
    if tcx::order(LOOPBACK)? == ["door"] {
        Ok(())
    } else {
        let error = anyhow::anyhow!("the kernel does not list it");
        Err(KernelError::failed("attach a program by tcx", error))
    }
}

fn hook_by_clsact(program: &mut SchedClassifier) -> Result<(), KernelError> {
    let doing = "attach a program by clsact";
    let id = program.info().doing(|| doing.to_owned())?.id();
    let fd = program.fd().doing(|| doing.to_owned())?.as_fd();
    // The first device of a namespace has the first number.
    clsact::put_first(1, Side::Egress, Program { name: "door", fd })?;
    if clsact::standing(1, Side::Egress, id)? == Standing::First {
        Ok(())
    } else {
        Err(KernelError::failed(doing, anyhow::anyhow!("the kernel does not list it")))
    }
}
