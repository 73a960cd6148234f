//! Workloads in the node's own network: their programs are on their control groups, and only while a policy selects them.
//! The node itself is there too, and the agent: what no policy names is left alone, and the agent's own pod always is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use egret_abi::WorkloadIndex;
use tracing::{debug, info, warn};

use super::{Reconciler, Worker};
use crate::enforce::Placement;
use crate::kernel::ControlGroup;
use crate::kernel::netns::NetNs;
use crate::model::{Place, Policy, Rule, Target, WorkloadId};

/// From one search for a control group that stays away to the next, at most.
const LONGEST: Duration = Duration::from_secs(32);

const UNSELECTED: &str =
    "it is in the node's own network namespace, and no policy selects it: nothing is put at its sockets";
const OWN: &str = "it is the agent's own pod, which no policy touches";
const UNSEEN: &str =
    "frames that it makes itself (packet sockets), and connections that it began before, are not seen";
const NAMELESS: &str = "no names are learned, so no rule by fqdn matches";
const UNASKED: &str = "no packet waits, so modules are not asked and their failure policy counts";

/// A workload whose programs are on its control group.
#[derive(Debug)]
pub(super) struct AtSockets {
    index: WorkloadIndex,
    group: ControlGroup,
}

/// A control group that is not there: when to look again, and how long to wait then.
#[derive(Debug)]
pub(super) struct Absent {
    again: Instant,
    wait: Duration,
}

impl Reconciler {
    /// Puts programs on the control groups of the workloads in the node's network that policies select, and takes them off
    /// the others.
    pub(super) fn follow_sockets(&mut self) {
        let of_node = |worker: &Worker| matches!(worker.workload.place, Place::Cgroup(_));
        let ids: Vec<_> =
            self.workers.iter().filter(|(_, worker)| of_node(worker)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.cover_sockets(&id);
        }
    }

    /// Whether it is one of those, and placed where it should be or not to be looked for yet.
    pub(super) fn is_settled_at_sockets(&self, id: &WorkloadId) -> bool {
        let Some(worker) = self.workers.get(id) else { return false };
        let is_waiting = || self.absent.get(id).is_some_and(|absent| Instant::now() < absent.again);
        matches!(worker.workload.place, Place::Cgroup(_))
            && (self.at_sockets.contains_key(id) || !self.is_selected(worker) || is_waiting())
    }

    /// The same for one of them; what hinders that is its state.
    pub(super) fn cover_sockets(&mut self, id: &WorkloadId) {
        let outcome = self.place_at_sockets(id);
        let (before, now) = (self.absent.remove(id), Instant::now());
        if outcome.is_err() && self.workers.get(id).is_some_and(|worker| self.is_selected(worker)) {
            let wait = match before {
                None => Duration::from_secs(1),
                // Not only time went by.
                Some(Absent { again, wait }) if now < again => wait,
                Some(Absent { wait, .. }) => (wait * 2).min(LONGEST),
            };
            self.absent.insert(id.clone(), Absent { again: now + wait, wait });
        }
        let Some(worker) = self.workers.get_mut(id) else { return };
        if let Err(reason) = outcome {
            if worker.state.as_ref().err() != Some(&reason) {
                debug!("{id} is not covered: {reason}");
            }
            worker.state = Err(reason);
        }
    }

    fn is_selected(&self, worker: &Worker) -> bool {
        !self.accepted.selecting(&worker.namespace, &worker.workload.labels).is_empty()
    }

    fn place_at_sockets(&mut self, id: &WorkloadId) -> Result<(), String> {
        let worker = self.workers.get(id).ok_or("it is gone")?;
        let Place::Cgroup(named) = &worker.workload.place else {
            return Err("it has no control group".to_owned());
        };
        if !self.is_selected(worker) {
            self.retire(id);
            return Err(UNSELECTED.to_owned());
        }
        if self.at_sockets.get(id).is_some_and(|at| at.group.is_there()) {
            return Ok(());
        }
        let resolvers = worker.resolvers.iter().copied().collect();
        let group = match ControlGroup::find(named) {
            Ok(group) => group,
            Err(reason) => {
                // What was in it has ended, and another one of this name has its own.
                self.retire(id);
                return Err(reason);
            }
        };
        if group.holds(std::process::id()) {
            self.retire(id);
            return Err(OWN.to_owned());
        }
        if let Some((twin, _)) =
            self.at_sockets.iter().find(|(other, at)| *other != id && at.group.id == group.id)
        {
            return Err(format!("{twin} is in the same control group; give each workload one of its own"));
        }
        if self.at_sockets.contains_key(id) {
            self.retire(id);
        }
        let placement = Placement { resolvers, ..Placement::default() };
        let placed = self.put_at_sockets(id, placement, &group);
        let index = placed.inspect_err(|_| self.retire(id)).map_err(|error| format!("{error:#}"))?;
        info!("{id} is judged at its sockets: those of {}", group.path.display());
        self.at_sockets.insert(id.clone(), AtSockets { index, group });
        Ok(())
    }

    /// Its ruleset is in force before its programs are there.
    fn put_at_sockets(
        &mut self,
        id: &WorkloadId,
        placement: Placement,
        group: &ControlGroup,
    ) -> anyhow::Result<WorkloadIndex> {
        let (index, known) = self.parts.enforcer.index_of(id, placement.ifindex)?;
        self.save(false)?;
        self.parts.enforcer.make_room(index, known)?;
        self.parts.enforcer.place(index, placement)?;
        self.enforce(id, index)?;
        self.parts.object.attach_to_sockets(index, group)?;
        Ok(index)
    }

    /// Looks whether the programs are where they were put; whether any were not.
    pub(super) fn look_at_sockets(&mut self) -> bool {
        let object = &self.parts.object;
        let is_lost = |at: &AtSockets| !at.group.is_there() || !object.are_at_sockets(at.index, &at.group);
        let lost: Vec<_> =
            self.at_sockets.iter().filter(|(_, at)| is_lost(at)).map(|(id, _)| id.clone()).collect();
        for id in &lost {
            if self.at_sockets.get(id).is_some_and(|at| at.group.is_there()) {
                warn!("{id} was not judged: a hook at its sockets is gone; it is put back");
            }
            self.at_sockets.remove(id);
            self.cover_sockets(id);
        }
        !lost.is_empty()
    }

    /// The node's namespace, where the workload of this index is in it.
    pub(super) fn netns_at_sockets(&self, index: WorkloadIndex) -> Option<Arc<NetNs>> {
        self.at_sockets.values().find(|at| at.index == index)?;
        NetNs::open(&self.parts.own.path).ok().map(Arc::new)
    }

    /// What is not seen of a workload whose programs are on its control group, which `policies` select; `None`: they are not.
    pub(super) fn unseen(&self, id: &WorkloadId, policies: &[&Policy]) -> Option<String> {
        self.at_sockets.get(id)?;
        let names = |policy: &&Policy| policy.rules().any(by_name);
        let asks = |policy: &&Policy| !policy.modules.is_empty();
        let told = [
            Some(UNSEEN),
            policies.iter().any(names).then_some(NAMELESS),
            policies.iter().any(asks).then_some(UNASKED),
        ];
        Some(told.into_iter().flatten().collect::<Vec<_>>().join("; "))
    }
}

fn by_name(rule: &Rule) -> bool {
    rule.to.iter().any(|target| matches!(target, Target::Fqdn(_)))
}
