//! Where workloads are: found, placed in the maps, attached to, followed, let go.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use egret_abi::WorkloadIndex;
use tokio::task::AbortHandle;
use tracing::{debug, info, warn};

use super::{Change, GATHER, Placed, REST, Reconciler, Worker, arm};
use crate::agent::addresses::{Own, choose, found_on};
use crate::agent::locate::{Located, NAMES, locate, other_ways_out};
use crate::enforce::Placement;
use crate::kernel::gate::DEVICE;
use crate::kernel::netns::{NetNs, Survey, Watch};
use crate::kernel::{KernelError, clock};
use crate::model::{Labels, Namespace, Place, Workload, WorkloadId};
use crate::policy::Ruleset;
use crate::workloads::{self, WorkloadsFile};

impl Reconciler {
    /// Takes the operator's word for which workloads there are.
    pub(super) fn name_workloads(&mut self, file: WorkloadsFile) {
        let WorkloadsFile { namespaces, workloads: wanted } = file;
        let namespaces: HashMap<_, _> =
            namespaces.into_iter().map(|namespace| (namespace.name.clone(), namespace)).collect();
        let names: BTreeSet<_> = wanted.iter().map(|workload| workload.id.clone()).collect();
        let gone: Vec<_> = self.workers.keys().filter(|id| !names.contains(id)).cloned().collect();
        for id in gone {
            self.workers.remove(&id);
            self.evidence.remove(&id);
            self.absent.remove(&id);
            self.retire(&id);
        }
        for workload in wanted {
            let id = workload.id.clone();
            let moved = self.workers.get(&id).is_some_and(|worker| worker.workload.place != workload.place);
            if moved {
                self.workers.remove(&id);
                self.evidence.remove(&id);
                self.retire(&id);
            }
            let (resolvers, resolvers_problem) = self.resolvers_of(&workload);
            let (netns, policies, bounds, state) = match self.workers.remove(&id) {
                Some(worker) => (worker.netns, worker.policies, worker.bounds, worker.state),
                None => (None, Vec::new(), None, Err("it is not placed yet".to_owned())),
            };
            let namespace = namespaces.get(&id.namespace).cloned();
            let namespace = namespace.unwrap_or_else(|| Namespace::new(id.namespace.clone(), Labels::new()));
            self.workers.insert(
                id,
                Worker { workload, namespace, resolvers, resolvers_problem, netns, policies, bounds, state },
            );
        }
    }

    /// Those that are not placed; those that are may have other addresses listed now.
    pub(super) async fn cover_new(&mut self) {
        let is_placed = |id: &WorkloadId| self.workers.get(id).is_some_and(|worker| worker.state.is_ok());
        let (placed, new): (Vec<_>, Vec<_>) = self.workers.keys().cloned().partition(is_placed);
        for id in placed {
            self.follow_addresses(&id);
        }
        for id in new {
            self.cover(&id).await;
        }
    }

    /// Those whose addresses are listed come last: by then nobody else has what was listed for them.
    pub(super) async fn cover_all(&mut self) {
        let mut ids: Vec<_> = self.workers.keys().cloned().collect();
        ids.sort_by_key(|id| {
            self.workers.get(id).is_some_and(|worker| !worker.workload.addresses.is_empty())
        });
        for id in ids {
            self.cover(&id).await;
        }
    }

    pub(super) fn resolvers_of(&self, workload: &Workload) -> (Vec<IpAddr>, Option<String>) {
        match workloads::resolvers_of(workload, &self.parts.config.resolvers) {
            Ok(resolvers) => (resolvers, None),
            Err(error) => {
                warn!("{}: {error}; it trusts no resolver until that is put right", workload.id);
                (Vec::new(), Some(format!("it trusts no resolver: {error}")))
            }
        }
    }

    /// Finds the workload and puts its policies in force; what hinders that is its state.
    pub(super) async fn cover(&mut self, id: &WorkloadId) {
        let Some(worker) = self.workers.get(id) else { return };
        if matches!(worker.workload.place, Place::Cgroup(_)) {
            return self.cover_sockets(id);
        }
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
            // Of a pod that is not there yet, or never will be, that is what there is to say.
            if matches!(worker.workload.place, Place::Nowhere(_)) {
                debug!("{id} is not covered: {reason}");
            } else {
                warn!("{id} is not covered: {reason}");
            }
        }
        if let Ok(placed) = &state {
            worker.netns = Some(placed.netns.inode);
        }
        worker.state = state;
    }

    pub(super) fn place(&mut self, id: &WorkloadId, located: Located) -> Result<Placed, String> {
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
            self.evidence.remove(id);
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
        let (index, arming) =
            self.place_in_maps(id, placement, &located.netns).map_err(|error| format!("{error:#}"))?;
        if let Err(error) = self.attach(index, &located) {
            if arming.is_some() {
                // Or nothing would be denied, and nothing armed at the next attempt.
                self.retire(id);
            }
            return Err(error.to_string());
        }
        self.evidence.entry(id.clone()).or_default().disturb();
        if let Some(ruleset) = arming {
            // Once more: what began before the hooks were there, and after the first look.
            let census = self.census(id, &located.netns, &own.addresses);
            self.arm(id, index, &census, &ruleset).map_err(|error| format!("{error:#}"))?;
        }
        let gap = located.gap();
        let Located { netns, watch, device, host, .. } = located;
        info!("{id} is hooked: {} in {}, {} on the node", device.name, netns.path.display(), host.name);
        self.note_unheld(id, before != Some(netns.inode));
        let watching = self.watch(id.clone(), watch);
        Ok(Placed { index, netns: Arc::new(netns), device, host, found, own, gap, watching })
    }

    /// Another workload that was found in the same namespace or behind the same interface.
    pub(super) fn twin_of(&self, id: &WorkloadId, located: &Located) -> Option<&WorkloadId> {
        let same = |worker: &Worker| {
            worker.state.as_ref().is_ok_and(|placed| {
                placed.netns.inode == located.netns.inode || placed.host.index == located.host.index
            })
        };
        self.workers.iter().find(|(other, worker)| *other != id && same(worker)).map(|(other, _)| other)
    }

    pub(super) fn own_addresses(&self, worker: &Worker, found: &[IpAddr]) -> Own {
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

    /// The workload's index, and the ruleset that it is to be armed for, where nothing is in force for it in these maps and
    /// it has connections already.
    pub(super) fn place_in_maps(
        &mut self,
        id: &WorkloadId,
        placement: Placement,
        netns: &NetNs,
    ) -> anyhow::Result<(WorkloadIndex, Option<Arc<Ruleset>>)> {
        let (index, known) = self.parts.enforcer.index_of(id, placement.ifindex)?;
        self.save(false)?;
        self.parts.enforcer.make_room(index, known)?;
        if !known {
            // Answers that were on their way when the last workload of this number went may have come after it.
            self.parts.node.binder().forget(index)?;
        }
        for (name, addresses) in self.parts.remembered.take(id, netns.inode) {
            self.parts.node.binder().recall(index, &name, &addresses, clock::now());
        }
        let own = placement.addresses.clone();
        let is_judged = self.parts.enforcer.is_judged(index);
        self.parts.enforcer.place(index, placement)?;
        if !is_judged
            && !self.census(id, netns, &own).is_empty()
            && let Some(chosen) = self.choose_ruleset(id, index)?
        {
            self.prepare(index, &chosen.ruleset)?;
            self.parts.enforcer.begin_arming(index, &chosen.ruleset, arm::deadline())?;
            let ruleset = chosen.ruleset.clone();
            self.note_chosen(id, chosen);
            return Ok((index, Some(ruleset)));
        }
        self.enforce(id, index)?;
        Ok((index, None))
    }

    pub(super) fn attach(&mut self, index: WorkloadIndex, located: &Located) -> Result<(), KernelError> {
        let Located { netns, device, host, .. } = located;
        self.parts.object.attach_to_pod(index, netns, device, host)?;
        self.parts.enforcer.open_interface(index)?;
        self.parts.object.attach_from_pod(index, host)
    }

    pub(super) fn watch(&self, id: WorkloadId, mut watch: Watch) -> AbortHandle {
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

    pub(super) async fn workload_changed(&mut self, id: &WorkloadId, survey: &Survey) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        let Ok(placed) = &mut worker.state else { return };
        let same = survey.devices.iter().find(|device| {
            device.index == placed.device.index && device.is_pair() && device.link == Some(placed.host.index)
        });
        let Some(device) = same else { return self.cover(id).await };
        if placed.device != *device {
            placed.device = device.clone();
            self.evidence.entry(id.clone()).or_default().disturb();
        }
        placed.gap = other_ways_out(survey, &placed.device);
        placed.found = found_on(survey, &placed.device);
        self.follow_addresses(id);
    }

    /// Writes the addresses that a workload's device has now, as far as they are its own.
    pub(super) fn follow_addresses(&mut self, id: &WorkloadId) {
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

    pub(super) fn retire(&mut self, id: &WorkloadId) {
        let host = self.parts.enforcer.placed(id).map(|(_, ifindex)| ifindex);
        let is_used = |(other, worker): (&WorkloadId, &Worker)| {
            other != id && worker.state.as_ref().is_ok_and(|placed| Some(placed.host.index) == host)
        };
        let host = host.filter(|host| *host != 0 && !self.workers.iter().any(is_used));
        if let Some(worker) = self.workers.get_mut(id) {
            worker.bounds = None;
        }
        self.at_sockets.remove(id);
        let retired = self.parts.enforcer.retire(id);
        match retired {
            Ok(Some(index)) => {
                self.parts.object.detach(index, host);
                self.parts.lookups.set(index, None);
                self.parts.judge.set(index, None);
                if let Err(error) = self.parts.judge.rulings().take_room(index) {
                    warn!("verdicts of {id} stay: {error}");
                }
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
    pub(super) fn retire_if_gone(&mut self, id: &WorkloadId) {
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
    pub(super) fn retire_strangers(&mut self) {
        let named = &self.workers;
        let known = self.parts.enforcer.numbers().workloads().map(|(id, ..)| id);
        let strangers: Vec<_> = known.filter(|id| !named.contains_key(*id)).cloned().collect();
        for id in strangers {
            info!("{id} is no longer named: its programs are taken away");
            self.retire(&id);
        }
    }

    /// Takes note of what changed at the host sides of workloads: their names, and whether they are up.
    pub(super) fn follow_host_sides(&mut self, survey: &Survey) {
        for (id, worker) in &mut self.workers {
            let Ok(placed) = &mut worker.state else { continue };
            let now = survey.devices.iter().find(|device| device.index == placed.host.index);
            if let Some(now) = now.filter(|now| **now != placed.host) {
                placed.host = now.clone();
                self.evidence.entry(id.clone()).or_default().disturb();
            }
        }
    }

    /// Takes away what an agent of tier 2 left on devices that are no workload's now.
    pub(super) fn sweep_filters(&mut self) {
        let numbers = self.parts.enforcer.numbers();
        let used: BTreeSet<_> = numbers.workloads().map(|(.., ifindex)| ifindex).collect();
        let left = self.node_survey.devices.iter().filter(|device| !used.contains(&device.index));
        // Its own programs are on the gate.
        self.parts.object.sweep_filters(left.filter(|device| device.name != DEVICE));
    }

    /// Whether a namespace was given a name since the last tick, or lost it.
    pub(super) fn names_changed(&mut self) -> bool {
        let now = std::fs::metadata(NAMES).and_then(|metadata| metadata.modified()).ok();
        std::mem::replace(&mut self.named_at, now) != now
    }
}
