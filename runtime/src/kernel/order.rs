//! The order of the programs at a hook: whether Egret's is first there, and who is before it.

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{ProgramInfo, SchedClassifier, TcAttachType};

use super::netns::NetNs;
use super::{Doing, Hook, KernelError, Pins, netns};
use egret_abi::WorkloadIndex;

/// Where one of Egret's programs stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Before all others.
    First,
    /// Behind a program of somebody else, who can let packets go on past Egret's, or take them elsewhere.
    Behind(Other),
    /// Nowhere: its link or its pin is gone, or it is on another interface.
    Gone,
}

/// A program of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Its number in the kernel.
    pub id: u32,
    /// Its name there, of which the kernel keeps 15 characters.
    pub name: String,
}

impl Other {
    pub(super) fn of(program: &ProgramInfo) -> Self {
        Self::named(program.id(), &String::from_utf8_lossy(program.name()))
    }

    /// Whoever loads a program chooses its name: it must not write into a terminal what it likes.
    pub(super) fn named(id: u32, name: &str) -> Self {
        Self { id, name: name.chars().filter(|c| c.is_ascii_graphic()).collect() }
    }
}

/// What [`standing`] looks at.
#[derive(Clone, Copy, Debug)]
pub struct Seat<'a> {
    /// Whose.
    pub workload: WorkloadIndex,
    /// Its namespace.
    pub netns: &'a NetNs,
    /// Its own device.
    pub device: &'a str,
    /// The host side of its pair.
    pub host: &'a str,
    /// Its number.
    pub host_index: u32,
}

/// How the hooks of workloads stand, each by its own. All namespaces are visited by one thread, for a thread is what
/// such a look would cost most.
///
/// # Errors
/// Where a namespace cannot be entered, there only.
pub fn standings(pins: &Pins, seats: &[Seat<'_>]) -> Vec<Vec<(Hook, Result<Standing, KernelError>)>> {
    let outside = seats.iter().map(|seat| {
        let of = |hook, side| (hook, standing(pins, seat.workload, hook, seat.host, side));
        [of(Hook::FromPod, TcAttachType::Ingress), of(Hook::HostDoor, TcAttachType::Egress)]
    });
    let visits = seats.iter().map(|seat| {
        let look = move || standing(pins, seat.workload, Hook::ToPod, seat.device, TcAttachType::Ingress);
        (seat.netns, look)
    });
    let inside = netns::visit(visits.collect()).into_iter().map(|visit| visit.and_then(|standing| standing));
    outside
        .zip(inside)
        .map(|([from_pod, host_door], inside)| vec![from_pod, (Hook::ToPod, inside), host_door])
        .collect()
}

/// How the program of a pinned link stands on one side of `interface` of this thread's network namespace.
fn standing(
    pins: &Pins,
    workload: WorkloadIndex,
    hook: Hook,
    interface: &str,
    side: TcAttachType,
) -> Result<Standing, KernelError> {
    let Ok(link) = PinnedLink::from_pin(pins.link(workload, hook)) else { return Ok(Standing::Gone) };
    let doing = || format!("read the order of programs on {interface}");
    let ours = FdLink::from(link).info().doing(doing)?.program_id();
    let (_, programs) = SchedClassifier::query_tcx(interface, side).doing(doing)?;
    Ok(match programs.first() {
        Some(first) if first.id() == ours => Standing::First,
        Some(first) if programs.iter().any(|program| program.id() == ours) => {
            Standing::Behind(Other::of(first))
        }
        _ => Standing::Gone,
    })
}
