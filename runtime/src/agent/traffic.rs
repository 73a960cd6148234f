//! Packets and bytes of flows: read from the kernel's flow maps, added to the records as differences.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use egret_abi::WorkloadIndex;
use lru::LruCache;

use crate::flows::{FlowKey, FlowLog};
use crate::kernel::maps::{FlowTuple, Reader};

/// Flows whose record is known; a flow beyond it keeps what was added so far.
const KNOWN: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

struct Known {
    key: FlowKey,
    packets: u64,
    bytes: u64,
}

/// Which record a live flow adds to, and what was added.
pub struct Traffic {
    known: LruCache<(WorkloadIndex, FlowTuple), Known>,
}

impl Traffic {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self { known: LruCache::new(KNOWN) }
    }

    /// A flow began, and its first packet is in the record.
    pub fn begin(&mut self, workload: WorkloadIndex, flow: FlowTuple, key: FlowKey, bytes: u64) {
        self.known.put((workload, flow), Known { key, packets: 1, bytes });
    }

    /// A flow was there before, and nothing of it is in the record yet.
    pub fn go_on(&mut self, workload: WorkloadIndex, flow: FlowTuple, key: FlowKey) {
        self.known.put((workload, flow), Known { key, packets: 0, bytes: 0 });
    }

    /// Those who have flows of which anything is known: to walk the flow map of one who has none costs as much.
    pub fn senders(&self) -> BTreeSet<WorkloadIndex> {
        self.known.iter().map(|((workload, _), _)| *workload).collect()
    }

    /// Adds what the flows of a workload sent since the last time.
    pub fn collect(&mut self, workload: WorkloadIndex, reader: &Reader, log: &FlowLog) {
        for (tuple, flow) in reader.flows(workload) {
            let Some(known) = self.known.peek_mut(&(workload, tuple)) else { continue };
            let (packets, bytes) =
                (flow.packets.saturating_sub(known.packets), flow.bytes.saturating_sub(known.bytes));
            if packets > 0 && log.add_traffic(&known.key, packets, bytes) {
                (known.packets, known.bytes) = (flow.packets, flow.bytes);
            }
        }
    }
}
