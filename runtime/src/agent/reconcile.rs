//! The one task that owns what changes: workloads, policies, and what they come to in the kernel.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use egret_abi::WorkloadIndex;
use ipnet::{IpNet, Ipv6Net};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::task::{AbortHandle, JoinHandle};
use tracing::{info, warn};

use super::Config;
use super::addresses::{Own, choose, found_on};
use super::locate::{Located, locate, other_ways_out, path_of};
use super::node::{Node, Shown};
use crate::api::{EffectiveMode, PolicyProblem};
use crate::enforce::{Enforcer, GRACE, Placement};
use crate::kernel::netns::{self, Device, NetNs, Survey, Watch};
use crate::kernel::{KernelError, Object, Pins, clock};
use crate::model::{Coverage, Mode, Place, Workload, WorkloadId, WorkloadRef};
use crate::policy::{self, Accepted, Good, Problem, Ranges, Ruleset, compile};
use crate::state::{self, PolicyText, Snapshot};
use crate::workloads;

/// How long changes gather before they are acted on: editors and mounts change a file in several steps.
const GATHER: Duration = Duration::from_millis(20);
/// fe80::/10, without its length.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
/// Ticks from one look at every hook to the next.
const PROBE: u64 = 5;
/// How long a namespace that was looked at is left alone: its workload may change it in a loop.
const REST: Duration = Duration::from_millis(200);

/// What may have changed.
#[derive(Debug)]
pub enum Change {
    /// Policy files.
    Policies,
    /// Policy files and the workloads file.
    Everything,
    /// A workload's namespace.
    Workload(WorkloadId, Survey),
    /// A workload's namespace cannot be watched any more.
    Unwatched(WorkloadId),
    /// The node's own devices and addresses.
    Node(Survey),
    /// Time went by.
    Tick,
}

/// A workload that is placed in the maps.
struct Placed {
    index: WorkloadIndex,
    inode: u64,
    /// Where its namespace was found.
    path: PathBuf,
    device: Device,
    host: Device,
    /// The addresses of its device.
    found: Vec<IpAddr>,
    own: Own,
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
    /// The namespace that it was last placed in.
    netns: Option<u64>,
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
    collecting: Option<JoinHandle<()>>,
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
            collecting: None,
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
        self.name_workloads(file.workloads);
        self.retire_strangers();
        // What an earlier agent left in force gets its policies first, for its packets and answers come all the time.
        self.enforce_all();
        self.parts.object.take_over_answers()?;
        self.cover_all().await;
        self.sweep().await;
        self.save(true)?;
        self.publish(true);
        Ok(())
    }

    /// Acts on changes until there are no more to come.
    pub async fn serve(&mut self, changes: &mut Receiver<Change>) {
        while let Some(change) = changes.recv().await {
            match change {
                Change::Policies | Change::Everything => {
                    tokio::time::sleep(GATHER).await;
                    self.read_again(matches!(change, Change::Everything)).await;
                }
                Change::Workload(id, survey) => self.workload_changed(&id, &survey).await,
                Change::Unwatched(id) => self.cover(&id).await,
                Change::Node(survey) => self.node_changed(survey),
                Change::Tick => self.tick().await,
            }
            self.sweep().await;
            self.publish(true);
        }
    }

    async fn sweep(&mut self) {
        if self.parts.enforcer.has_litter() {
            tokio::time::sleep(GRACE).await;
            self.parts.enforcer.sweep();
        }
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
                Ok(file) => {
                    self.name_workloads(file.workloads);
                    self.cover_all().await;
                }
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

    /// Takes the operator's word for which workloads there are.
    fn name_workloads(&mut self, wanted: Vec<Workload>) {
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
            let (netns, state) = match self.workers.remove(&id) {
                Some(worker) => (worker.netns, worker.state),
                None => (None, Err("it is not placed yet".to_owned())),
            };
            self.workers.insert(id, Worker { workload, resolvers, resolvers_problem, netns, state });
        }
    }

    /// Those whose addresses are listed come last: by then nobody else has what was listed for them.
    async fn cover_all(&mut self) {
        let mut ids: Vec<_> = self.workers.keys().cloned().collect();
        ids.sort_by_key(|id| {
            self.workers.get(id).is_some_and(|worker| !worker.workload.addresses.is_empty())
        });
        for id in ids {
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
            Err(reason) => {
                self.retire_if_gone(id);
                Err(reason)
            }
        };
        let Some(worker) = self.workers.get_mut(id) else { return };
        if let Err(reason) = &state
            && worker.state.as_ref().err() != Some(reason)
        {
            warn!("{id} is not covered: {reason}");
        }
        if let Ok(placed) = &state {
            worker.netns = Some(placed.inode);
        }
        worker.state = state;
    }

    fn place(&mut self, id: &WorkloadId, located: Located) -> Result<Placed, String> {
        if let Some(twin) = self.twin_of(id, &located) {
            return Err(format!(
                "{twin} is in the same place; give each workload a network namespace of its own"
            ));
        }
        let elsewhere =
            self.parts.enforcer.placed(id).is_some_and(|(_, ifindex)| ifindex != located.host.index);
        let before = self.workers.get(id).and_then(|worker| worker.netns);
        if elsewhere || before.is_some_and(|inode| inode != located.netns.inode) {
            // It is a new one of the same name: what the last one looked up and began is not its own.
            self.retire(id);
        }
        let worker = self.workers.get(id).ok_or("it is gone")?;
        let found = found_on(&located.survey, &located.device);
        let own = self.own_addresses(worker, &found);
        if let Some(reason) = &own.refused {
            warn!("{id}: {reason}");
        }
        let placement = Placement {
            ifindex: located.host.index,
            addresses: own.addresses.clone(),
            resolvers: worker.resolvers.iter().copied().collect(),
        };
        let index = self.place_in_maps(id, placement).map_err(|error| format!("{error:#}"))?;
        self.attach(index, &located).map_err(|error| error.to_string())?;
        let gap = located.gap();
        let Located { netns, watch, device, host, .. } = located;
        info!("{id} is covered: {} in {}, {} on the node", device.name, netns.path.display(), host.name);
        let watching = self.watch(id.clone(), watch);
        Ok(Placed { index, inode: netns.inode, path: netns.path, device, host, found, own, gap, watching })
    }

    /// Another workload that was found in the same namespace or behind the same interface.
    fn twin_of(&self, id: &WorkloadId, located: &Located) -> Option<&WorkloadId> {
        let same = |worker: &Worker| {
            worker.state.as_ref().is_ok_and(|placed| {
                placed.inode == located.netns.inode || placed.host.index == located.host.index
            })
        };
        self.workers.iter().find(|(other, worker)| *other != id && same(worker)).map(|(other, _)| other)
    }

    fn own_addresses(&self, worker: &Worker, found: &[IpAddr]) -> Own {
        let (id, none) = (&worker.workload.id, BTreeSet::new());
        let before = worker.state.as_ref().map_or(&none, |placed| &placed.own.addresses);
        choose(&worker.workload.addresses, found, before, |address, is_listed| {
            if let Some(owner) = self.parts.enforcer.owner_of(address, id) {
                return Some(format!("it is that of {owner}"));
            }
            if is_listed {
                return None;
            }
            let mut others = self.workers.values().filter(|other| other.workload.id != *id);
            if let Some(other) = others.find(|other| other.workload.addresses.contains(&address)) {
                return Some(format!("it is listed for {}", other.workload.id));
            }
            if self.node_survey.addresses.iter().any(|(_, of_node)| *of_node == address) {
                return Some("it is the node's".to_owned());
            }
            let trusted = self.parts.config.resolvers.contains(&address)
                || self.workers.values().any(|worker| worker.resolvers.contains(&address));
            trusted
                .then(|| "it is that of a trusted resolver; list it if the workload is that one".to_owned())
        })
    }

    fn place_in_maps(&mut self, id: &WorkloadId, placement: Placement) -> anyhow::Result<WorkloadIndex> {
        let (index, known) = self.parts.enforcer.index_of(id, placement.ifindex)?;
        self.save(false)?;
        self.parts.enforcer.make_room(index, known)?;
        if !known {
            // Answers that were on their way when the last workload of this number went may have come after it.
            self.parts.node.binder().forget(index)?;
        }
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
        if self.parts.enforcer.is_in_force(index, ruleset) {
            return Ok(false);
        }
        let patterns = self.parts.enforcer.numbers().words_of(ruleset);
        self.save(false)?;
        // A full map must not keep a stricter policy out.
        if let Err(error) = self.parts.node.binder().set_patterns(index, &patterns, clock::now()) {
            warn!("some names that were looked up stay denied until they are looked up again: {error}");
        }
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
                tokio::time::sleep(REST).await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _ = changes.send(Change::Unwatched(id)).await;
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
        placed.found = found_on(survey, &placed.device);
        self.follow_addresses(id);
    }

    /// Writes the addresses that a workload's device has now, as far as they are its own.
    fn follow_addresses(&mut self, id: &WorkloadId) {
        let Some(worker) = self.workers.get(id) else { return };
        let Ok(placed) = &worker.state else { return };
        let own = self.own_addresses(worker, &placed.found);
        if own == placed.own {
            return;
        }
        let placement = Placement {
            ifindex: placed.host.index,
            addresses: own.addresses.clone(),
            resolvers: worker.resolvers.iter().copied().collect(),
        };
        if own.addresses != placed.own.addresses
            && let Err(error) = self.parts.enforcer.place(placed.index, placement)
        {
            return warn!("the addresses of {id} stay as they were: {error}");
        }
        if let Some(reason) = own.refused.as_ref().filter(|_| own.refused != placed.own.refused) {
            warn!("{id}: {reason}");
        }
        if let Some(Worker { state: Ok(placed), .. }) = self.workers.get_mut(id) {
            placed.own = own;
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
        let lost: Vec<_> = self
            .workers
            .iter()
            .filter(|(_, worker)| is_lost(worker, &self.parts.own))
            .map(|(id, _)| id.clone())
            .collect();
        // Its interface may still be there, and then it is still judged: see `retire_if_gone`.
        for id in lost {
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.state = Err("its network namespace is gone".to_owned());
                warn!("{id} is not covered: its network namespace is gone");
            }
        }
        let (mut absent, mut refused) = (Vec::new(), Vec::new());
        for (id, worker) in &self.workers {
            match &worker.state {
                Err(_) => absent.push(id.clone()),
                Ok(placed) if placed.own.refused.is_some() => refused.push(id.clone()),
                Ok(_) => {}
            }
        }
        if self.ticks.is_multiple_of(PROBE) {
            absent.extend(self.unhooked());
        }
        for id in absent {
            self.cover(&id).await;
        }
        // Whose address it was may be gone.
        for id in refused {
            self.follow_addresses(&id);
        }
        if let Err(error) = self.parts.node.binder().sweep(clock::now()) {
            warn!("expired bindings stay: {error}");
        }
        if self.ticks.is_multiple_of(10) {
            self.collect_traffic();
        }
    }

    /// Workloads that are covered, and whose hook is gone: taken away by somebody, or with an interface that came back
    /// at once under the same numbers.
    fn unhooked(&mut self) -> Vec<WorkloadId> {
        let object = &mut self.parts.object;
        let mut unhooked = Vec::new();
        for (id, worker) in &self.workers {
            if worker.state.as_ref().is_ok_and(|placed| !object.judges(&placed.host.name)) {
                warn!("{id} was not judged: its hook is gone; it is put back");
                unhooked.push(id.clone());
            }
        }
        unhooked
    }

    /// Beside this task, for it reads every flow there is; not twice at a time.
    fn collect_traffic(&mut self) {
        if self.collecting.as_ref().is_none_or(JoinHandle::is_finished) {
            let node = self.parts.node.clone();
            self.collecting = Some(tokio::task::spawn_blocking(move || node.collect_traffic()));
        }
    }

    /// Compiles the policies of every workload, each distinct set once, and puts what changed in force.
    fn enforce_all(&mut self) {
        let mut compiled = HashMap::new();
        let mut work = Vec::new();
        for (id, worker) in &self.workers {
            // Also where the agent lost sight of it: what judges its packets is still there.
            let Some((index, _)) = self.parts.enforcer.placed(id) else { continue };
            let selecting = self.accepted.selecting(&id.namespace, &worker.workload.labels);
            let key: Vec<_> = selecting.iter().map(|policy| &policy.id).collect();
            let ruleset = compiled.entry(key).or_insert_with(|| {
                compile(&selecting, &self.ranges).map(Arc::new).map_err(|error| error.to_string())
            });
            work.push((id.clone(), index, ruleset.clone()));
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
                    let problem = Problem::whole("", format!("{id}: {error:#}"), fix);
                    if self.problems.iter().all(|known| known.reason != problem.reason) {
                        self.problems.push(problem);
                    }
                }
            }
        }
        if let Err(error) = self.save(true) {
            warn!("a restart would not find the latest policies: {error:#}");
        }
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

    /// Takes a workload out of the maps whose interface is gone: its addresses may be another's by now, and so may the
    /// number of its interface.
    fn retire_if_gone(&mut self, id: &WorkloadId) {
        let Some((_, ifindex)) = self.parts.enforcer.placed(id) else { return };
        let is_another_s = |(other, worker): (&WorkloadId, &Worker)| {
            other != id && worker.state.as_ref().is_ok_and(|placed| placed.host.index == ifindex)
        };
        let is_there = self.node_survey.devices.iter().any(|device| device.index == ifindex);
        if !is_there || self.workers.iter().any(is_another_s) {
            self.retire(id);
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
        let own = self.node_survey.addresses.iter().map(|(_, address)| range_of_node(*address));
        let own: BTreeSet<_> = own.filter(|own| !config.node_ranges.contains(own)).collect();
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
            Some((self.parts.enforcer.placed(&worker.workload.id)?.0, Arc::new(reference)))
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
            Ok(placed) => placed
                .gap
                .clone()
                .or_else(|| worker.resolvers_problem.clone())
                .or_else(|| placed.own.refused.clone()),
            Err(reason) => Some(reason.clone()),
        };
        let strictest: Option<Mode> = selecting.iter().map(|policy| policy.mode).max();
        Shown {
            workload: worker.workload.clone(),
            resolvers: worker.resolvers.clone(),
            coverage: gap.map_or(Coverage::Covered, |reason| Coverage::NotCovered { reason }),
            index: placed.map(|placed| placed.index),
            addresses: placed.map_or_else(Vec::new, |placed| placed.own.addresses.iter().copied().collect()),
            interface: placed.map(|placed| placed.host.name.clone()),
            mode: EffectiveMode::from(strictest),
            policies: selecting.iter().map(|policy| policy.id.to_string()).collect(),
        }
    }
}

/// Link-local addresses come and go with every workload's interface: as one range they change no ruleset.
fn range_of_node(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => IpNet::from(Ipv6Net::new_assert(LINK_LOCAL, 10)),
        _ => IpNet::from(address),
    }
}

/// Whether the namespace of a placed workload is only kept alive by the agent that watches it, or its name now leads
/// elsewhere.
fn is_lost(worker: &Worker, own: &NetNs) -> bool {
    let Ok(placed) = &worker.state else { return false };
    let is_at = |path: &Path| NetNs::open(path).is_ok_and(|netns| netns.inode == placed.inode);
    match &worker.workload.place {
        Place::Netns(name) => !is_at(&path_of(name)),
        Place::Interface(_) => {
            !is_at(&placed.path) && netns::all(own).iter().all(|netns| netns.inode != placed.inode)
        }
    }
}
