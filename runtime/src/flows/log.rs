//! The log of flows: first packets alike are one record.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use lru::LruCache;
use tokio::sync::broadcast;

use crate::model::{Destination, FlowRecord, Name, Protocol, Verdicts, WorkloadId, WorkloadRef};

/// Records kept by default: at about 600 bytes each, 40 MB when full.
pub const DEFAULT_CAPACITY: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");
/// Names kept of one destination, the latest looked-up first: a workload could bind thousands to one address.
const MAX_NAMES: usize = 16;
/// Records that a follower may be behind before it misses some.
const FOLLOW_BUFFER: usize = 1024;

/// A first packet that was judged.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When.
    pub time: Timestamp,
    /// Who.
    pub workload: Arc<WorkloadRef>,
    /// Where to.
    pub destination: Destination,
    /// What was decided.
    pub verdicts: Verdicts,
    /// Packets so far: 1, or more where the kernel merged events.
    pub packets: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
}

/// Which record: the same workload (its labels included), latest name, address, port, protocol and verdicts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey(Arc<Identity>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Identity {
    workload: Arc<WorkloadRef>,
    name: Option<Name>,
    address: IpAddr,
    port: u16,
    protocol: Protocol,
    verdicts: Verdicts,
}

/// What is added up.
#[derive(Clone, Debug, Default)]
struct Sum {
    time: Timestamp,
    names: Arc<[Name]>,
    packets: u64,
    bytes: u64,
    count: u64,
}

/// Bounded: when full, the record that was least recently added to goes, and is counted. Shared by reference; no call
/// waits for a follower, and none but [`Self::list`] holds the lock for longer than one record takes.
#[derive(Debug)]
pub struct FlowLog {
    records: Mutex<Records>,
    followers: broadcast::Sender<FlowRecord>,
}

#[derive(Debug)]
struct Records {
    sums: LruCache<FlowKey, Sum>,
    /// How many of them each workload has; never 0.
    counts: HashMap<WorkloadId, u64>,
    evicted: u64,
}

impl FlowLog {
    /// An empty log of at most `capacity` records; see [`DEFAULT_CAPACITY`].
    #[must_use]
    pub fn new(capacity: NonZeroUsize) -> Self {
        let records = Records { sums: LruCache::new(capacity), counts: HashMap::new(), evicted: 0 };
        Self { records: Mutex::new(records), followers: broadcast::Sender::new(FOLLOW_BUFFER) }
    }

    /// Adds a first packet to its record, and tells the followers. The key is for [`Self::add_traffic`].
    pub fn record(&self, seen: Seen) -> FlowKey {
        let Seen { time, workload, mut destination, verdicts, packets, bytes } = seen;
        destination.names.truncate(MAX_NAMES);
        let key = FlowKey(Arc::new(Identity {
            workload,
            name: destination.name,
            address: destination.address,
            port: destination.port,
            protocol: destination.protocol,
            verdicts,
        }));
        let one = Sum { time, names: destination.names.into(), packets, bytes, count: 1 };
        let mut records = self.lock();
        let sum = records.add(&key, one);
        if self.followers.receiver_count() > 0 {
            // Under the lock, so that no follower sees the totals of a record go back. An error says that the last
            // follower has just gone.
            let _ = self.followers.send(record_of(&key, sum));
        }
        key
    }

    /// Adds what a flow sent after its first packet. Followers learn it with the next first packet of the record.
    /// False: the record is not there any more.
    pub fn add_traffic(&self, key: &FlowKey, packets: u64, bytes: u64) -> bool {
        let mut records = self.lock();
        let Some(sum) = records.sums.get_mut(key) else { return false };
        sum.packets = sum.packets.saturating_add(packets);
        sum.bytes = sum.bytes.saturating_add(bytes);
        true
    }

    /// The records that are `wanted` by time, the newest last.
    #[must_use]
    pub fn list(&self, wanted: impl Fn(&FlowRecord) -> bool) -> Vec<FlowRecord> {
        // Two reference counts a record under the lock; the strings are copied, and looked at, without it.
        let mut all: Vec<(FlowKey, Sum)> =
            self.lock().sums.iter().rev().map(|(key, sum)| (key.clone(), sum.clone())).collect();
        all.sort_by_key(|(_, sum)| sum.time);
        all.iter().map(|(key, sum)| record_of(key, sum)).filter(wanted).collect()
    }

    /// Every record that is added to from now on, each time with its totals so far. Who falls behind misses some and
    /// is told how many; the end is that of the log.
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<FlowRecord> {
        self.followers.subscribe()
    }

    /// How many records there are of a workload.
    #[must_use]
    pub fn count_of(&self, workload: &WorkloadId) -> u64 {
        self.lock().counts.get(workload).copied().unwrap_or(0)
    }

    /// How many records went because the log was full.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.lock().evicted
    }

    /// A panic elsewhere leaves at worst one sum half added.
    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records {
    fn add(&mut self, key: &FlowKey, one: Sum) -> &Sum {
        if !self.sums.contains(key) {
            self.make_room();
            *self.counts.entry(key.0.workload.id()).or_default() += 1;
        }
        let sum = self.sums.get_or_insert_mut(key.clone(), Sum::default);
        *sum = Sum {
            packets: sum.packets.saturating_add(one.packets),
            bytes: sum.bytes.saturating_add(one.bytes),
            count: sum.count + one.count,
            ..one
        };
        sum
    }

    fn make_room(&mut self) {
        if self.sums.len() < self.sums.cap().get() {
            return;
        }
        let Some((FlowKey(oldest), _)) = self.sums.pop_lru() else { return };
        self.evicted += 1;
        if let Entry::Occupied(mut count) = self.counts.entry(oldest.workload.id()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

fn record_of(key: &FlowKey, sum: &Sum) -> FlowRecord {
    let Identity { workload, name, address, port, protocol, verdicts } = &*key.0;
    FlowRecord {
        time: sum.time,
        workload: WorkloadRef::clone(workload),
        destination: Destination {
            name: name.clone(),
            names: sum.names.to_vec(),
            address: *address,
            port: *port,
            protocol: *protocol,
        },
        applied: verdicts.applied.clone(),
        observed: verdicts.observed.clone(),
        packets: sum.packets,
        bytes: sum.bytes,
        count: sum.count,
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
