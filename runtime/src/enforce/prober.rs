//! The hand on probes: sends one each way past a workload's hooks, and reads which of them saw theirs.

use std::io;

use egret_abi::{Held, Probe, WorkloadIndex};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::kernel::netns::NetNs;
use crate::kernel::probe::{Leaving, ProbeWriter, frame, send};
use crate::kernel::{Gate, KernelError, Pins};

/// A workload to be probed.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its index.
    pub workload: WorkloadIndex,
    /// Its namespace.
    pub netns: &'a NetNs,
    /// The number of its own device there.
    pub device: u32,
    /// The number of the host side of its pair.
    pub host: u32,
}

/// What a workload's hooks saw of the last probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// `from_pod` saw what left.
    pub out: bool,
    /// `to_pod` saw what came.
    pub into: bool,
}

impl Sight {
    /// Whether both hooks saw theirs.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.out && self.into
    }
}

/// Why a probe could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum Unsent {
    /// The device does not take it.
    #[error("{0}")]
    Device(io::Error),
    /// The gate, a map or the namespace.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// Sends probes. Each carries a random number that is good once, so that a workload which records or invents such
/// frames proves nothing; and only the programs on its hooks can say that one was seen.
pub struct Prober {
    writer: ProbeWriter,
}

impl Prober {
    /// Opens the pinned maps.
    ///
    /// # Errors
    /// Where one is not there.
    pub fn open(pins: &Pins) -> Result<Self, KernelError> {
        Ok(Self { writer: ProbeWriter::open(pins)? })
    }

    /// Sends one probe out of each workload's device and one to it, the way that answers are released.
    ///
    /// # Errors
    /// Why either was not sent.
    pub fn send(&mut self, gate: &Gate, targets: &[Target<'_>]) -> Vec<Result<(), Unsent>> {
        let probes: Vec<_> = targets.iter().map(|_| Probe { out: number(), into: number() }).collect();
        let pairs = || targets.iter().zip(&probes);
        let noted: Vec<_> = pairs().map(|(target, probe)| self.writer.set(target.workload, *probe)).collect();
        let leaving: Vec<_> = pairs()
            .map(|(&Target { netns, device, .. }, probe)| Leaving { netns, device, frame: frame(probe.out) })
            .collect();
        let left = send(&leaving);
        let sent = pairs().zip(noted.into_iter().zip(left));
        sent.map(|((target, probe), (noted, left))| {
            noted?;
            left?.map_err(Unsent::Device)?;
            self.put_in(gate, target, probe.into)
        })
        .collect()
    }

    fn put_in(&mut self, gate: &Gate, target: &Target<'_>, probe: u64) -> Result<(), Unsent> {
        let ticket = number() as u32;
        let mut frame = frame(probe);
        let mut held = Held { workload: target.workload, ifindex: target.host, ..Held::default() };
        if let Some(addresses) = frame.first_chunk() {
            held.addresses = *addresses;
        }
        self.writer.hold(ticket, held)?;
        let released = gate.release(ticket, &mut frame, None);
        if released.is_err() {
            self.writer.release(ticket)?;
        }
        released.map_err(|error| KernelError::failed("write a probe to the gate", error).into())
    }

    /// What was seen of them so far.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn sight(&self, workload: WorkloadIndex) -> Result<Sight, KernelError> {
        let probe = self.writer.get(workload)?;
        Ok(Sight { out: probe.out == 0, into: probe.into == 0 })
    }
}

/// Random, and never the zero that stands for none.
fn number() -> u64 {
    let mut bytes = [0; 8];
    // Fails only where the buffer is no buffer.
    let _ = getrandom(&mut bytes, GetRandomFlags::empty());
    u64::from_ne_bytes(bytes) | 1
}
