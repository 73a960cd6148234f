//! The log of flows: first packets alike are one record.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use lru::LruCache;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::{Stream, StreamExt};

use crate::model::{Action, Destination, FlowRecord, Name, Protocol, Verdicts, WorkloadId, WorkloadRef};

/// Records kept by default: at about 600 bytes each, 40 MB when full.
pub const DEFAULT_CAPACITY: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");
/// Names kept of one destination, the latest looked-up first: a workload could bind thousands to one address.
const MAX_NAMES: usize = 16;
/// First packets that a follower may be behind before it misses some.
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
#[derive(Clone, Debug)]
struct Sum {
    time: Timestamp,
    names: Arc<[Name]>,
    packets: u64,
    bytes: u64,
    count: u64,
}

/// Which records are wanted. The default: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this workload.
    pub workload: Option<WorkloadId>,
    /// Only what was denied. Together with `would_be_denied`: what one of the two is true of.
    pub denied: bool,
    /// Only what is denied with every policy in mode Enforce.
    pub would_be_denied: bool,
}

impl Filter {
    fn wants(&self, workload: &WorkloadRef, applied: Action, observed: Action) -> bool {
        let of_workload = self
            .workload
            .as_ref()
            .is_none_or(|id| id.namespace == workload.namespace && id.name == workload.name);
        let any = !self.denied && !self.would_be_denied;
        let denied = self.denied && applied == Action::Deny;
        let would_be = self.would_be_denied && observed == Action::Deny;
        of_workload && (any || denied || would_be)
    }
}

/// What a follower gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// One first packet, as a record with the count 1.
    Record(Arc<FlowRecord>),
    /// The follower was too slow: so many first packets, of any workload, were left out here.
    Missed(u64),
}

/// Bounded: when full, the record that was least recently added to goes, and is counted. Shared by reference; every
/// call holds a lock for at most one pass over the records, and never waits for a follower.
#[derive(Debug)]
pub struct FlowLog {
    records: Mutex<Records>,
    followers: broadcast::Sender<Arc<FlowRecord>>,
}

#[derive(Debug)]
struct Records {
    sums: LruCache<FlowKey, Sum>,
    evicted: u64,
}

impl FlowLog {
    /// An empty log of at most `capacity` records; see [`DEFAULT_CAPACITY`].
    #[must_use]
    pub fn new(capacity: NonZeroUsize) -> Self {
        let records = Records { sums: LruCache::new(capacity), evicted: 0 };
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
        if self.followers.receiver_count() > 0 {
            // An error says that the last follower has just gone.
            let _ = self.followers.send(Arc::new(record_of(&key, &one)));
        }
        self.lock().add(key.clone(), one);
        key
    }

    /// Adds what a flow sent after its first packet. False: the record is not there any more.
    pub fn add_traffic(&self, key: &FlowKey, packets: u64, bytes: u64) -> bool {
        let mut records = self.lock();
        let Some(sum) = records.sums.get_mut(key) else { return false };
        sum.packets = sum.packets.saturating_add(packets);
        sum.bytes = sum.bytes.saturating_add(bytes);
        true
    }

    /// The records that `filter` wants by time, the newest last.
    #[must_use]
    pub fn list(&self, filter: &Filter) -> Vec<FlowRecord> {
        let wanted = |FlowKey(flow): &FlowKey| {
            let Verdicts { applied, observed } = &flow.verdicts;
            filter.wants(&flow.workload, applied.action, observed.action)
        };
        let mut found: Vec<(FlowKey, Sum)> = {
            let records = self.lock();
            let found = records.sums.iter().filter(|(key, _)| wanted(key));
            found.map(|(key, sum)| (key.clone(), sum.clone())).collect()
        };
        found.sort_by_key(|(_, sum)| sum.time);
        found.iter().map(|(key, sum)| record_of(key, sum)).collect()
    }

    /// First packets from now on that `filter` wants. Ends when the log is dropped.
    pub fn follow(&self, filter: Filter) -> impl Stream<Item = Followed> + Send + use<> {
        BroadcastStream::new(self.followers.subscribe()).filter_map(move |next| match next {
            Ok(record) => filter
                .wants(&record.workload, record.applied.action, record.observed.action)
                .then_some(Followed::Record(record)),
            Err(BroadcastStreamRecvError::Lagged(missed)) => Some(Followed::Missed(missed)),
        })
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
    fn add(&mut self, key: FlowKey, one: Sum) {
        if let Some(sum) = self.sums.get_mut(&key) {
            sum.time = one.time;
            sum.names = one.names;
            sum.packets = sum.packets.saturating_add(one.packets);
            sum.bytes = sum.bytes.saturating_add(one.bytes);
            sum.count += 1;
        } else if self.sums.push(key, one).is_some() {
            self.evicted += 1;
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
