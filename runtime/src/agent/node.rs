//! What the parts of the agent share, and what the API reads.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use egret_abi::{Counter, Flow, Generation, WorkloadIndex};
use jiff::Timestamp;
use tokio::sync::broadcast;

use super::holds::Judge;
use super::lessons::Lessons;
use super::lookups::LookUps;
use super::report::Denials;
use super::traffic::Traffic;
use crate::api::{
    AGENT_COUNTERS, ApiPlaces, AtSockets, Dest, EffectiveMode, ExplainError, FlowFilter, NameRow, Names,
    NotCovered, NotReady, Policies, PolicyProblem, PolicyRow, PolicyStatus, Source, Status, UnknownWorkload,
    WorkloadRow, WorkloadTotals,
};
use crate::cluster::Listed;
use crate::enforce::Binder;
use crate::flows::{DEFAULT_NAMESPACES, FirstPackets, FlowLog, Totals};
use crate::kernel::maps::{FlowTuple, Reader};
use crate::kernel::{Door, Tier, clock, preflight};
use crate::model::{Coverage, FlowRecord, Name, Namespace, Workload, WorkloadId, WorkloadRef};
use crate::policy::{Accepted, Ranges};

/// Names of one address in a flow record.
const NAMES_TOLD: usize = 16;

/// A workload as the reconciling task left it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What the operator said of it.
    pub workload: Workload,
    /// Its namespace.
    pub namespace: Namespace,
    /// The resolvers it trusts.
    pub resolvers: Vec<IpAddr>,
    /// Whether it is covered.
    pub coverage: Coverage,
    /// Its index, where it has one.
    pub index: Option<WorkloadIndex>,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
    /// The host side of its interface pair.
    pub interface: Option<String>,
    /// What its policies come to, once they are in the maps.
    pub mode: EffectiveMode,
    /// The policies that select it, once they are in the maps.
    pub policies: Vec<String>,
    /// Those of them in mode Enforce.
    pub enforcing: Arc<[String]>,
    /// What is in force for it is not what these say.
    pub is_lacking: bool,
}

/// What the reconciling task publishes after every change.
#[derive(Debug, Default)]
pub struct View {
    /// Every workload.
    pub workloads: BTreeMap<WorkloadId, Shown>,
    /// The policies in force.
    pub accepted: Accepted,
    /// What is wrong with policy files.
    pub problems: Vec<PolicyProblem>,
    /// The policies of the API server, as it had them when these were read; `None`: there is none, or it did not tell.
    pub listed: Option<Arc<[Listed]>>,
    /// What is of the cluster and of the node.
    pub ranges: Ranges,
    /// Which door looks at what comes to workloads.
    pub door: Door,
    /// Whether the first pass is done.
    pub ready: bool,
    /// For events: who sent.
    pub by_index: HashMap<WorkloadIndex, Arc<WorkloadRef>>,
}

/// The shared half of the agent.
pub struct Node {
    /// Flow records.
    pub log: FlowLog,
    /// First packets by namespace.
    pub totals: Totals,
    /// First packets that were denied.
    pub denials: Denials,
    /// Flows that were there before their workload was covered, and go on.
    pub armed: AtomicU64,
    /// Sockets that were there before, and found no room among the flows.
    pub left_out: AtomicU64,
    /// Sockets ended because a change of policy denied their flow.
    pub ended: AtomicU64,
    view: RwLock<View>,
    binder: Arc<Mutex<Binder>>,
    lessons: Arc<Lessons>,
    /// What modules are asked.
    pub judge: Arc<Judge>,
    lookups: Arc<LookUps>,
    traffic: Mutex<Traffic>,
    reader: Reader,
    probes_unseen: AtomicU64,
    starts_held: AtomicU64,
    starts_unheld: AtomicU64,
    resolvers: Vec<IpAddr>,
    places: ApiPlaces,
    tier: Tier,
    since: Timestamp,
}

/// Where numbers and names come from.
pub struct Sources {
    /// What was learned.
    pub binder: Arc<Mutex<Binder>>,
    /// What was not.
    pub lessons: Arc<Lessons>,
    /// What modules were asked.
    pub judge: Arc<Judge>,
    /// What modules said of DNS answers.
    pub lookups: Arc<LookUps>,
    /// The maps.
    pub reader: Reader,
}

impl Node {
    /// An agent that has nothing to show yet.
    pub fn new(
        log: FlowLog,
        sources: Sources,
        resolvers: Vec<IpAddr>,
        places: ApiPlaces,
        tier: Tier,
    ) -> Self {
        let Sources { binder, lessons, judge, lookups, reader } = sources;
        Self {
            log,
            totals: Totals::new(DEFAULT_NAMESPACES),
            denials: Denials::new(),
            armed: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            view: RwLock::default(),
            binder,
            lessons,
            judge,
            lookups,
            traffic: Mutex::new(Traffic::new()),
            reader,
            probes_unseen: AtomicU64::new(0),
            starts_held: AtomicU64::new(0),
            starts_unheld: AtomicU64::new(0),
            resolvers,
            places,
            tier,
            since: Timestamp::now(),
        }
    }

    /// Publishes a change.
    pub fn publish(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.view.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Reads what was published.
    pub fn view<R>(&self, read: impl FnOnce(&View) -> R) -> R {
        read(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The binder, for one short call.
    pub fn binder(&self) -> MutexGuard<'_, Binder> {
        self.binder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The traffic of live flows.
    pub fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who has an index.
    pub fn workload_at(&self, index: WorkloadIndex) -> Option<Arc<WorkloadRef>> {
        self.view(|view| view.by_index.get(&index).cloned())
    }

    /// The policies in mode Enforce that select a workload.
    pub fn enforcing(&self, workload: &WorkloadId) -> Arc<[String]> {
        self.view(|view| view.workloads.get(workload).map(|shown| shown.enforcing.clone()))
            .unwrap_or_default()
    }

    /// The live names of an address, as many as a record tells: who controls a domain gives an address thousands.
    pub fn names_of(&self, index: WorkloadIndex, address: IpAddr) -> Vec<Name> {
        self.binder().names_of(index, address, clock::now(), NAMES_TOLD)
    }

    /// The latest name of an address, even if it has expired.
    pub fn last_name_of(&self, index: WorkloadIndex, address: IpAddr) -> Option<Name> {
        self.binder().last_name_of(index, address)
    }

    /// A probe was sent, and a hook did not see it.
    pub fn count_unseen_probe(&self) {
        self.probes_unseen.fetch_add(1, Ordering::Relaxed);
    }

    /// A pod that was held for its policies was answered.
    pub fn count_held_start(&self) {
        self.starts_held.fetch_add(1, Ordering::Relaxed);
    }

    /// A pod was found that nothing held.
    pub fn count_unheld_start(&self) {
        self.starts_unheld.fetch_add(1, Ordering::Relaxed);
    }

    /// A workload's flows, and what is in force for it.
    pub fn flows_of(&self, index: WorkloadIndex) -> (Generation, Vec<(FlowTuple, Flow)>) {
        (self.reader.generation(index), self.reader.flows(index))
    }

    /// What is in force for a workload.
    pub fn generation(&self, index: WorkloadIndex) -> Generation {
        self.reader.generation(index)
    }

    /// Adds the packets and bytes of live flows to their records.
    pub fn collect_traffic(&self) {
        let senders = self.traffic().senders();
        let there = |index: &WorkloadIndex| self.view(|view| view.by_index.contains_key(index));
        for index in senders.into_iter().filter(there) {
            self.traffic().collect(index, &self.reader, &self.log);
        }
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        let mut counters: BTreeMap<_, _> = Counter::ALL
            .iter()
            .map(|counter| (counter.word().to_owned(), self.reader.counter(*counter)))
            .collect();
        let (crowded, over_quota) = {
            let binder = self.binder();
            (binder.crowded(), binder.over_quota())
        };
        let own = [crowded, over_quota, self.log.evicted()].into_iter().chain(self.lessons.counts());
        let counted = [
            &self.probes_unseen,
            &self.armed,
            &self.left_out,
            &self.ended,
            &self.starts_held,
            &self.starts_unheld,
        ];
        let own = own
            .chain(counted.map(|count| count.load(Ordering::Relaxed)))
            .chain(self.judge.counts.all())
            .chain(self.lookups.counts.all());
        counters.extend(AGENT_COUNTERS.iter().zip(own).map(|((word, _), count)| ((*word).to_owned(), count)));
        counters
    }
}

impl Source for Node {
    fn status(&self) -> Status {
        let counters = self.counters();
        self.view(|view| {
            let (not_covered, sockets) = gaps(&view.workloads);
            Status {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                node: node_name(),
                kernel: preflight::release(),
                ready: view.ready,
                since: self.since,
                tier: self.tier.number(),
                door: view.door,
                policies: PolicyStatus {
                    accepted: view.accepted.policies().count() as u64,
                    problems: view.problems.clone(),
                },
                workloads: WorkloadTotals {
                    total: view.workloads.len() as u64,
                    covered: (view.workloads.len() - not_covered.len() - sockets.len()) as u64,
                    sockets,
                    not_covered,
                },
                counters,
                resolvers: self.resolvers.clone(),
                api: self.places.clone(),
            }
        })
    }

    fn workloads(&self) -> Vec<WorkloadRow> {
        let shown: Vec<_> = self.view(|view| view.workloads.values().cloned().collect());
        let now = clock::now();
        let row = |shown: Shown| WorkloadRow {
            names: shown.index.map_or(0, |index| self.binder().live(index, now) as u64),
            flows: self.log.count_of(&shown.workload.id),
            namespace: shown.workload.id.namespace,
            name: shown.workload.id.name,
            labels: shown.workload.labels,
            service_account: shown.workload.service_account,
            mode: shown.mode,
            coverage: shown.coverage,
            addresses: shown.addresses,
            resolvers: shown.resolvers,
            interface: shown.interface,
            policies: shown.policies,
        };
        shown.into_iter().map(row).collect()
    }

    fn names(&self, workload: Option<&WorkloadId>, most: usize) -> Result<Names, UnknownWorkload> {
        let asked = |view: &View| -> Vec<_> {
            let all = view.workloads.iter().filter(|(id, _)| workload.is_none_or(|asked| asked == *id));
            all.map(|(id, shown)| (id.clone(), shown.index)).collect()
        };
        let asked = self.view(asked);
        if let (Some(unknown), true) = (workload, asked.is_empty()) {
            return Err(UnknownWorkload(unknown.clone()));
        }
        let now = clock::now();
        let mut told = Names::default();
        for (id, index) in asked.into_iter().filter_map(|(id, index)| Some((id, index?))) {
            // A lock for each: the thread that holds DNS answers waits for it, and gets in between.
            let (pairs, total) = self.binder().pairs(index, now, most - told.names.len());
            told.total += total as u64;
            told.names.extend(pairs.into_iter().map(|(name, address, until)| NameRow {
                workload: id.clone(),
                name,
                address,
                seconds_left: until.saturating_sub(now).as_secs(),
            }));
        }
        Ok(told)
    }

    fn policies(&self) -> Policies {
        self.view(|view| {
            let mut selected: HashMap<&str, Vec<String>> = HashMap::new();
            for (id, shown) in &view.workloads {
                for policy in &shown.policies {
                    selected.entry(policy).or_default().push(id.to_string());
                }
            }
            let row = |policy| {
                PolicyRow::new(policy, selected.remove(policy.id.to_string().as_str()).unwrap_or_default())
            };
            Policies {
                policies: view.accepted.policies().map(row).collect(),
                problems: view.problems.clone(),
            }
        })
    }

    fn first_packets(&self) -> Vec<FirstPackets> {
        self.totals.list()
    }

    fn flows(&self, filter: &FlowFilter) -> Vec<FlowRecord> {
        self.collect_traffic();
        self.log.list(|record| filter.admits(record))
    }

    fn follow(&self) -> broadcast::Receiver<FlowRecord> {
        self.log.follow()
    }

    fn explain(&self, workload: &WorkloadId, destination: &Dest) -> Result<serde_json::Value, ExplainError> {
        let explanation = self.explanation(workload, destination)?;
        serde_json::to_value(explanation).map_err(|error| ExplainError::Unavailable(error.to_string()))
    }

    fn ready(&self) -> Result<(), NotReady> {
        let waiting = || NotReady("the policies are not in force on every workload yet".to_owned());
        self.view(|view| view.ready).then_some(()).ok_or_else(waiting)
    }
}

/// What this node is called.
pub fn node_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn gaps(workloads: &BTreeMap<WorkloadId, Shown>) -> (Vec<NotCovered>, Vec<AtSockets>) {
    let (mut not_covered, mut sockets) = (Vec::new(), Vec::new());
    for (WorkloadId { namespace, name }, shown) in workloads {
        let (namespace, name) = (namespace.clone(), name.clone());
        match shown.coverage.clone() {
            Coverage::Covered => {}
            Coverage::Sockets { unseen } => sockets.push(AtSockets { namespace, name, unseen }),
            Coverage::NotCovered { reason } => not_covered.push(NotCovered { namespace, name, reason }),
        }
    }
    (not_covered, sockets)
}
