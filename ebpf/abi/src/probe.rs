//! Frames by which the agent proves that a workload's hooks see its packets.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Ethertype of a probe: the first that IEEE 802 sets aside for local experiments, which no stack listens to.
pub const PROBE: u16 = 0x88b5;
/// Where its number is, in the machine's own order.
pub const PROBE_NUMBER_AT: usize = 14;
/// Bytes of a probe: the least that Ethernet has.
pub const PROBE_LENGTH: usize = 60;

/// Value of PROBES: the numbers of the probes on their way at one workload. A hook that sees its own puts zero there,
/// so each counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Probe {
    /// Of the one that leaves the workload.
    pub out: u64,
    /// Of the one that comes to it.
    pub into: u64,
}
