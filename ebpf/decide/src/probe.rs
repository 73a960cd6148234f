//! The agent's probes: a hook that sees one says so, and ends it.

use egret_abi::{PROBE_NUMBER_AT, Probe, WorkloadIndex};

use crate::{Packet, Tables};

/// Which way a probe goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Out of the workload.
    Out,
    /// To the workload.
    Into,
}

/// Whether a frame of the probe's ethertype is the one that the agent awaits here; from now on it is not awaited any
/// more. All others are frames like any that cannot be read: a workload that guesses 64 bits proves nothing it should not.
#[inline(always)]
pub fn is_awaited<T: Tables, P: Packet>(tables: &T, packet: &P, workload: WorkloadIndex, way: Way) -> bool {
    let Some(number) = packet.read::<8>(PROBE_NUMBER_AT) else { return false };
    let number = u64::from_ne_bytes(number);
    let take = |probe: &mut Probe| {
        let awaited = match way {
            Way::Out => &mut probe.out,
            Way::Into => &mut probe.into,
        };
        let is_it = number != 0 && *awaited == number;
        if is_it {
            *awaited = 0;
        }
        is_it
    };
    tables.with_probe(workload, take).unwrap_or(false)
}
