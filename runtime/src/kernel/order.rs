//! The order of the programs at a hook: whether Egret's is first there, and who is before it.

use std::collections::HashMap;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{ProgramInfo, SchedClassifier, TcAttachType};

use super::netns::NetNs;
use super::{Doing, Hook, KernelError, Pins, bpf, netns};
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
    pub device: At<'a>,
    /// The host side of its pair.
    pub host: At<'a>,
}

/// A device.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: &'a str,
}

/// The programs that were first at the last look, by their numbers in the kernel, which gives none out twice in any
/// time that matters. Where the same one is first again there is nothing more to read: one system call a hook.
pub type Known = HashMap<(WorkloadIndex, Hook), u32>;

/// How the hooks of workloads stand, each by its own. All namespaces are visited by one thread, for a thread is what
/// such a look would cost most.
///
/// # Errors
/// Where a namespace cannot be entered, there only.
pub fn standings(
    pins: &Pins,
    seats: &[Seat<'_>],
    known: &mut Known,
) -> Vec<Vec<(Hook, Result<Standing, KernelError>)>> {
    let before = std::mem::take(known);
    let before = &before;
    let look = move |seat: &Seat<'_>, hook, at, side| {
        standing(pins, seat.workload, hook, at, side, before.get(&(seat.workload, hook)).copied())
    };
    let outside: Vec<_> = seats
        .iter()
        .map(|seat| {
            let of = |hook, side| (hook, look(seat, hook, seat.host, side));
            [of(Hook::FromPod, TcAttachType::Ingress), of(Hook::HostDoor, TcAttachType::Egress)]
        })
        .collect();
    let visits = seats
        .iter()
        .map(|seat| (seat.netns, move || look(seat, Hook::ToPod, seat.device, TcAttachType::Ingress)));
    let inside = netns::visit(visits.collect()).into_iter().map(|visit| visit.and_then(|found| found));
    let found = outside.into_iter().zip(inside);
    let found = found.map(|([from_pod, host_door], inside)| [from_pod, (Hook::ToPod, inside), host_door]);
    let mut first = |workload, hook, found: Result<(Standing, Option<u32>), KernelError>| {
        let (standing, first) = found?;
        known.extend(first.map(|first| ((workload, hook), first)));
        Ok(standing)
    };
    let found = seats.iter().zip(found).map(|(seat, found)| {
        found.into_iter().map(|(hook, found)| (hook, first(seat.workload, hook, found))).collect()
    });
    found.collect()
}

/// How the program of a pinned link stands on one side of a device of this thread's network namespace; and its number,
/// where it is first. `before`: which was first there at the last look.
fn standing(
    pins: &Pins,
    workload: WorkloadIndex,
    hook: Hook,
    at: At<'_>,
    side: TcAttachType,
    before: Option<u32>,
) -> Result<(Standing, Option<u32>), KernelError> {
    // Where the device is gone the question fails, and the longer way tells.
    if before.is_some() && bpf::first_at(at.index, side).is_ok_and(|first| first == before) {
        return Ok((Standing::First, before));
    }
    let Ok(link) = PinnedLink::from_pin(pins.link(workload, hook)) else { return Ok((Standing::Gone, None)) };
    let doing = || format!("read the order of programs on {}", at.name);
    let ours = FdLink::from(link).info().doing(doing)?.program_id();
    let (_, programs) = SchedClassifier::query_tcx(at.name, side).doing(doing)?;
    Ok(match programs.first() {
        Some(first) if first.id() == ours => (Standing::First, Some(ours)),
        Some(first) if programs.iter().any(|program| program.id() == ours) => {
            (Standing::Behind(Other::of(first)), None)
        }
        _ => (Standing::Gone, None),
    })
}
