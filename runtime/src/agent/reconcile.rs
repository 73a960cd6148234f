//! The one task that owns what changes: workloads, policies, and what they come to in the kernel.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use egret_abi::WorkloadIndex;
use ipnet::IpNet;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::task::AbortHandle;
use tracing::{info, warn};

use super::Config;
use super::locate::{Located, locate, other_ways_out, path_of};
use super::node::{Node, Shown};
use crate::api::{EffectiveMode, PolicyProblem};
use crate::enforce::{Enforcer, Placement};
use crate::kernel::netns::{self, Device, NetNs, Survey, Watch};
use crate::kernel::{KernelError, Object, Pins, clock};
use crate::model::{Coverage, Mode, Place, Workload, WorkloadId, WorkloadRef};
use crate::policy::{self, Accepted, Good, Problem, Ranges, Ruleset, compile};
use crate::state::{self, PolicyText, Snapshot};
use crate::workloads;

/// How long changes gather before they are acted on: editors and mounts change a file in several steps.
const GATHER: Duration = Duration::from_millis(20);

/// What may have changed.
#[derive(Debug)]
pub enum Change {
    /// Policy files.
    Policies,
    /// Policy files and the workloads file.
    Everything,
    /// A workload's namespace.
    Workload(WorkloadId, Survey),
    /// The node's own devices and addresses.
    Node(Survey),
    /// Time went by.
    Tick,
    /// A part of the agent ended that must not.
    Broken(&'static str),
}

/// A workload that is placed in the maps.
struct Placed {
    index: WorkloadIndex,
    inode: u64,
    device: Device,
    host: Device,
    addresses: BTreeSet<IpAddr>,
    gap: Option<String>,
    watching: AbortHandle,
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

struct Worker {
    workload: Workload,
    resolvers: Vec<IpAddr>,
    /// Why the file that should name its resolvers does not count.
    resolvers_problem: Option<String>,
    state: Result<Placed, String>,
}

/// What the task was given at its start.
pub struct Parts {
    /// The configuration.
    pub config: Config,
    /// Where things are pinned.
    pub pins: Pins,
    /// The programs.
    pub object: Object,
    /// The maps.
    pub enforcer: Enforcer,
    /// What is shared.
    pub node: Arc<Node>,
    /// The namespace of the node.
    pub own: NetNs,
    /// This boot.
    pub boot_id: String,
    /// Where the snapshot lies.
    pub snapshot: PathBuf,
    /// To send changes to itself.
    pub changes: Sender<Change>,
}

/// See the head of this file.
pub struct Reconciler {
    parts: Parts,
    workers: BTreeMap<WorkloadId, Worker>,
    accepted: Accepted,
    problems: Vec<Problem>,
    ranges: Ranges,
    node_survey: Survey,
    ticks: u64,
}

impl Reconciler {
    /// Starts from the policies that an earlier agent accepted.
    pub fn new(parts: Parts, last: &[PolicyText], node_survey: Survey) -> Self {
        let last = last.iter().map(|PolicyText { file, text }| {
            let file: Arc<str> = file.as_str().into();
            (file.clone(), Good::parse(&file, text.as_str().into()))
        });
        let (accepted, _) = policy::refresh(&Accepted::default(), last.collect());
        let mut this = Self {
            parts,
            workers: BTreeMap::new(),
            accepted,
            problems: Vec::new(),
            ranges: Ranges::default(),
            node_survey,
            ticks: 0,
        };
        this.ranges = this.ranges_now();
        this
    }

    /// Reads everything once and puts it in force.
    ///
    /// # Errors
    /// Where the workloads file or the policy folder cannot be read, or the kernel refuses.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let file = workloads::read(&self.parts.config.workloads)?;
        let outcomes = policy::load_dir(&self.parts.config.policies)?;
        self.accept(outcomes);
        self.take_workloads(file.workloads).await;
        self.retire_strangers();
        self.parts.object.take_over_answers()?;
        self.parts.enforcer.sweep();
        self.save(true)?;
        self.publish(true);
        Ok(())
    }

    /// Acts on changes until there are no more to come, or one says that the agent is broken.
    ///
    /// # Errors
    /// What broke.
    pub async fn serve(&mut self, changes: &mut Receiver<Change>) -> anyhow::Result<()> {
        while let Some(change) = changes.recv().await {
            match change {
                Change::Policies | Change::Everything => {
                    tokio::time::sleep(GATHER).await;
                    self.read_again(matches!(change, Change::Everything)).await;
                }
                Change::Workload(id, survey) => self.workload_changed(&id, &survey).await,
                Change::Node(survey) => self.node_changed(survey),
                Change::Tick => self.tick().await,
                Change::Broken(part) => anyhow::bail!("{part} ended; without it names would not be learned"),
            }
            self.parts.enforcer.sweep();
            self.publish(true);
        }
        Ok(())
    }

    /// Ends the hold, so that no answer waits for an agent that is going; takes everything away where that is wanted.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn drain(&mut self) -> anyhow::Result<()> {
        self.parts.object.close_hold()?;
        self.save(true)?;
        Ok(())
    }

    /// Takes programs, maps and the snapshot away.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn detach(&mut self) -> anyhow::Result<()> {
        self.parts.pins.remove_all()?;
        if self.parts.snapshot.exists() {
            std::fs::remove_file(&self.parts.snapshot)?;
        }
        Ok(())
    }

    async fn read_again(&mut self, workloads_too: bool) {
        match policy::load_dir(&self.parts.config.policies) {
            Ok(outcomes) => self.accept(outcomes),
            Err(problem) => {
                warn!("the policies stay as they were: {}: {}", problem.place(), problem.reason);
                self.problems = vec![problem];
            }
        }
        if workloads_too {
            match workloads::read(&self.parts.config.workloads) {
                Ok(file) => self.take_workloads(file.workloads).await,
                Err(error) => warn!("the workloads stay as they were: {error}"),
            }
        }
        self.enforce_all();
    }

    fn accept(&mut self, outcomes: Vec<policy::Outcome>) {
        let (accepted, problems) = policy::refresh(&self.accepted, outcomes);
        for problem in &problems {
            warn!("{}: {}; {}", problem.place(), problem.reason, problem.fix);
        }
        (self.accepted, self.problems) = (accepted, problems);
    }

    async fn take_workloads(&mut self, wanted: Vec<Workload>) {
        let names: BTreeSet<_> = wanted.iter().map(|workload| workload.id.clone()).collect();
        let gone: Vec<_> = self.workers.keys().filter(|id| !names.contains(id)).cloned().collect();
        for id in gone {
            self.workers.remove(&id);
            self.retire(&id);
        }
        for workload in wanted {
            let id = workload.id.clone();
            let moved = self.workers.get(&id).is_some_and(|worker| worker.workload.place != workload.place);
            if moved {
                self.workers.remove(&id);
                self.retire(&id);
            }
            let (resolvers, resolvers_problem) = self.resolvers_of(&workload);
            let state = match self.workers.remove(&id) {
                Some(worker) => worker.state,
                None => Err("it is not placed yet".to_owned()),
            };
            self.workers.insert(id.clone(), Worker { workload, resolvers, resolvers_problem, state });
            self.cover(&id).await;
        }
    }

    fn resolvers_of(&self, workload: &Workload) -> (Vec<IpAddr>, Option<String>) {
        match workloads::resolvers_of(workload, &self.parts.config.resolvers) {
            Ok(resolvers) => (resolvers, None),
            Err(error) => {
                warn!("{}: {error}; it trusts no resolver until that is put right", workload.id);
                (Vec::new(), Some(format!("it trusts no resolver: {error}")))
            }
        }
    }

    /// Finds the workload and puts its policies in force; what hinders that is its state.
    async fn cover(&mut self, id: &WorkloadId) {
        let Some(worker) = self.workers.get(id) else { return };
        let state = match locate(&worker.workload.place, &self.parts.own, &self.node_survey).await {
            Ok(located) => self.place(id, located),
            Err(reason) => Err(reason),
        };
        let Some(worker) = self.workers.get_mut(id) else { return };
        if let Err(reason) = &state
            && worker.state.as_ref().err() != Some(reason)
        {
            warn!("{id} is not covered: {reason}");
        }
        worker.state = state;
    }

    fn place(&mut self, id: &WorkloadId, located: Located) -> Result<Placed, String> {
        let worker = self.workers.get(id).ok_or("it is gone")?;
        let addresses = addresses_of(&worker.workload, &located.survey, &located.device);
        let placement = Placement {
            ifindex: located.host.index,
            addresses: addresses.clone(),
            resolvers: worker.resolvers.iter().copied().collect(),
        };
        let index = self.place_in_maps(id, placement).map_err(|error| error.to_string())?;
        self.attach(index, &located).map_err(|error| error.to_string())?;
        let gap = located.gap();
        let Located { netns, watch, device, host, .. } = located;
        info!("{id} is covered: {} in {}, {} on the node", device.name, netns.path.display(), host.name);
        let watching = self.watch(id.clone(), watch);
        Ok(Placed { index, inode: netns.inode, device, host, addresses, gap, watching })
    }

    fn place_in_maps(&mut self, id: &WorkloadId, placement: Placement) -> anyhow::Result<WorkloadIndex> {
        let (index, known) = self.parts.enforcer.index_of(id, placement.ifindex)?;
        self.save(false)?;
        self.parts.enforcer.make_room(index, known)?;
        self.parts.enforcer.place(index, placement)?;
        let worker = self.workers.get(id).ok_or_else(|| anyhow::anyhow!("it is gone"))?;
        let selecting = self.accepted.selecting(&worker.workload.id.namespace, &worker.workload.labels);
        let ruleset = Arc::new(compile(&selecting, &self.ranges)?);
        self.put_in_force(index, &ruleset)?;
        Ok(index)
    }

    fn attach(&mut self, index: WorkloadIndex, located: &Located) -> Result<(), KernelError> {
        self.parts.object.attach_to_pod(index, &located.netns, &located.device.name)?;
        self.parts.enforcer.open_interface(index)?;
        self.parts.object.attach_from_pod(index, &located.host.name)
    }

    fn put_in_force(&mut self, index: WorkloadIndex, ruleset: &Arc<Ruleset>) -> anyhow::Result<bool> {
        let patterns = self.parts.enforcer.numbers().words_of(ruleset);
        self.save(false)?;
        self.parts.node.binder().set_patterns(index, &patterns, clock::now())?;
        Ok(self.parts.enforcer.put_in_force(index, ruleset)?)
    }

    fn watch(&self, id: WorkloadId, mut watch: Watch) -> AbortHandle {
        let changes = self.parts.changes.clone();
        let task = tokio::spawn(async move {
            while watch.changed().await {
                tokio::time::sleep(GATHER).await;
                let Ok(survey) = watch.survey().await else { continue };
                if changes.send(Change::Workload(id.clone(), survey)).await.is_err() {
                    return;
                }
            }
        });
        task.abort_handle()
    }

    async fn workload_changed(&mut self, id: &WorkloadId, survey: &Survey) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        let Ok(placed) = &mut worker.state else { return };
        let same = survey.devices.iter().any(|device| {
            device.index == placed.device.index && device.is_pair() && device.link == Some(placed.host.index)
        });
        if !same {
            return self.cover(id).await;
        }
        placed.gap = other_ways_out(survey, &placed.device);
        let addresses = addresses_of(&worker.workload, survey, &placed.device);
        if addresses == placed.addresses {
            return;
        }
        placed.addresses = addresses.clone();
        let placement = Placement {
            ifindex: placed.host.index,
            addresses,
            resolvers: worker.resolvers.iter().copied().collect(),
        };
        let index = placed.index;
        if let Err(error) = self.parts.enforcer.place(index, placement) {
            warn!("the addresses of {id} stay as they were: {error}");
        }
    }

    fn node_changed(&mut self, survey: Survey) {
        self.node_survey = survey;
        let ranges = self.ranges_now();
        if ranges != self.ranges {
            self.ranges = ranges;
            self.enforce_all();
        }
    }

    /// Looks for workloads that came or went without a word.
    async fn tick(&mut self) {
        self.ticks += 1;
        let lost = self.lost();
        for id in lost {
            self.retire(&id);
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.state = Err("its network namespace is gone".to_owned());
                warn!("{id} is not covered: its network namespace is gone");
            }
        }
        let absent: Vec<_> = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.state.is_err())
            .map(|(id, _)| id.clone())
            .collect();
        for id in absent {
            self.cover(&id).await;
        }
        if self.ticks.is_multiple_of(60)
            && let Err(error) = self.parts.node.binder().sweep(clock::now())
        {
            warn!("expired bindings stay: {error}");
        }
        if self.ticks.is_multiple_of(10) {
            self.parts.node.collect_traffic();
        }
    }

    /// Compiles the policies of every workload, each distinct set once, and puts what changed in force.
    fn enforce_all(&mut self) {
        let mut compiled = HashMap::new();
        let mut work = Vec::new();
        for (id, worker) in &self.workers {
            let Ok(placed) = &worker.state else { continue };
            let selecting = self.accepted.selecting(&id.namespace, &worker.workload.labels);
            let key: Vec<_> = selecting.iter().map(|policy| &policy.id).collect();
            let ruleset = compiled.entry(key).or_insert_with(|| {
                compile(&selecting, &self.ranges).map(Arc::new).map_err(|error| error.to_string())
            });
            work.push((id.clone(), placed.index, ruleset.clone()));
        }
        drop(compiled);
        for (id, index, ruleset) in work {
            let done =
                ruleset.map_err(anyhow::Error::msg).and_then(|ruleset| self.put_in_force(index, &ruleset));
            match done {
                Ok(true) => info!("the policies of {id} have changed and are in force"),
                Ok(false) => {}
                Err(error) => {
                    warn!("the policies of {id} stay as they were: {error:#}");
                    let fix = "see docs for the limits of one node";
                    self.problems.push(Problem::whole("", format!("{id}: {error:#}"), fix));
                }
            }
        }
        if let Err(error) = self.save(true) {
            warn!("a restart would not find the latest policies: {error:#}");
        }
    }

    fn lost(&self) -> Vec<WorkloadId> {
        let by_interface = |worker: &Worker| matches!(worker.workload.place, Place::Interface(_));
        let inhabited = if self.workers.values().any(by_interface) {
            netns::all(&self.parts.own).iter().map(|netns| netns.inode).collect()
        } else {
            BTreeSet::new()
        };
        let lost = self.workers.iter().filter(|(_, worker)| is_lost(worker, &inhabited));
        lost.map(|(id, _)| id.clone()).collect()
    }

    fn retire(&mut self, id: &WorkloadId) {
        let retired = self.parts.enforcer.retire(id);
        match retired {
            Ok(Some(index)) => {
                self.parts.pins.unlink(index);
                if let Err(error) = self.parts.node.binder().forget(index) {
                    warn!("bindings of {id} stay: {error}");
                }
            }
            Ok(None) => {}
            Err(error) => warn!("{id} cannot be taken out of the maps: {error}"),
        }
    }

    /// Workloads of an earlier agent that the operator no longer names.
    fn retire_strangers(&mut self) {
        let named = &self.workers;
        let known = self.parts.enforcer.numbers().workloads().map(|(id, ..)| id);
        let strangers: Vec<_> = known.filter(|id| !named.contains_key(*id)).cloned().collect();
        for id in strangers {
            info!("{id} is no longer named: its programs are taken away");
            self.retire(&id);
        }
    }

    fn ranges_now(&self) -> Ranges {
        let config = &self.parts.config;
        let own = self.node_survey.addresses.iter().map(|(_, address)| IpNet::from(*address));
        Ranges {
            cluster: config.cluster_ranges.clone(),
            node: config.node_ranges.iter().copied().chain(own).collect(),
        }
    }

    /// Writes the snapshot where a number was given out, or `always`.
    fn save(&mut self, always: bool) -> anyhow::Result<()> {
        let numbers = self.parts.enforcer.numbers();
        if !always && !numbers.have_news() {
            return Ok(());
        }
        let texts = self.accepted.texts();
        let policies =
            texts.map(|(file, text)| PolicyText { file: file.to_string(), text: text.to_string() });
        let snapshot = Snapshot { policies: policies.collect(), ..numbers.snapshot(&self.parts.boot_id) };
        Ok(state::write(&self.parts.snapshot, &snapshot)?)
    }

    fn publish(&self, ready: bool) {
        let workloads = self.workers.iter().map(|(id, worker)| (id.clone(), self.shown(worker))).collect();
        let by_index = self.workers.values().filter_map(|worker| {
            let reference = WorkloadRef {
                namespace: worker.workload.id.namespace.clone(),
                name: worker.workload.id.name.clone(),
                labels: worker.workload.labels.clone(),
            };
            Some((worker.state.as_ref().ok()?.index, Arc::new(reference)))
        });
        let by_index = by_index.collect();
        let problems = self.problems.iter().map(|problem| PolicyProblem {
            file: problem.file.to_string(),
            line: problem.line,
            column: problem.column,
            reason: problem.reason.clone(),
            fix: Some(problem.fix.clone()),
        });
        let problems = problems.collect();
        self.parts.node.publish(|view| {
            view.workloads = workloads;
            view.accepted = self.accepted.clone();
            view.problems = problems;
            view.ranges = self.ranges.clone();
            view.by_index = by_index;
            view.ready = ready;
        });
    }

    fn shown(&self, worker: &Worker) -> Shown {
        let id = &worker.workload.id;
        let selecting = self.accepted.selecting(&id.namespace, &worker.workload.labels);
        let placed = worker.state.as_ref().ok();
        let gap = match &worker.state {
            Ok(placed) => placed.gap.clone().or_else(|| worker.resolvers_problem.clone()),
            Err(reason) => Some(reason.clone()),
        };
        let strictest: Option<Mode> = selecting.iter().map(|policy| policy.mode).max();
        Shown {
            workload: worker.workload.clone(),
            resolvers: worker.resolvers.clone(),
            coverage: gap.map_or(Coverage::Covered, |reason| Coverage::NotCovered { reason }),
            index: placed.map(|placed| placed.index),
            addresses: placed.map_or_else(Vec::new, |placed| placed.addresses.iter().copied().collect()),
            interface: placed.map(|placed| placed.host.name.clone()),
            mode: EffectiveMode::from(strictest),
            policies: selecting.iter().map(|policy| policy.id.to_string()).collect(),
        }
    }
}

/// What the operator says, else all of the device; link-local ones always, for a neighbour may be addressed by them.
fn addresses_of(workload: &Workload, survey: &Survey, device: &Device) -> BTreeSet<IpAddr> {
    let found =
        survey.addresses.iter().filter(|(index, _)| *index == device.index).map(|(_, address)| *address);
    let link_local = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    if workload.addresses.is_empty() {
        found.collect()
    } else {
        found.filter(link_local).chain(workload.addresses.iter().copied()).collect()
    }
}

/// Whether a workload was placed in a namespace that its name no longer leads to or, where it is known by its interface,
/// that nobody else is in: the agent's own view of a namespace keeps it alive.
fn is_lost(worker: &Worker, inhabited: &BTreeSet<u64>) -> bool {
    match (&worker.workload.place, &worker.state) {
        (Place::Netns(name), Ok(placed)) => {
            NetNs::open(&path_of(name)).map_or(true, |netns| netns.inode != placed.inode)
        }
        (Place::Interface(_), Ok(placed)) => !inhabited.contains(&placed.inode),
        _ => false,
    }
}
