//! Whether workloads are covered: their hooks looked at, put back and put first, and proven by probes.

use tracing::{info, warn};

use super::{Placed, Reconciler, Worker};
use crate::agent::coverage::{Evidence, Remedy};
use crate::agent::probes::{Errand, Probed};
use crate::kernel::netns::Device;
use crate::kernel::order::{At, Other, Seat, Standing};
use crate::kernel::{Door, Hook, KernelError, Tier, clock, door};
use crate::model::WorkloadId;

impl Reconciler {
    /// Looks how the hooks of all workloads stand: puts first those that are not, as often as that is worth while, and
    /// gives the workloads that lost one.
    pub(super) fn look_at_hooks(&mut self) -> Vec<WorkloadId> {
        let placed = self.workers.iter().filter_map(|(id, worker)| Some((id, worker.state.as_ref().ok()?)));
        let (ids, seats): (Vec<_>, Vec<_>) = placed.map(|(id, placed)| (id.clone(), seat(placed))).unzip();
        let found: Vec<_> = ids.into_iter().zip(self.parts.object.standings(&seats)).collect();
        self.is_contested = false;
        let mut unhooked = Vec::new();
        for (id, standings) in found {
            for (hook, standing) in standings {
                match standing {
                    Ok(Standing::First) => self.is_first(&id, hook),
                    Ok(Standing::Behind(other)) => self.is_behind(&id, hook, &other),
                    Ok(Standing::Gone) if !unhooked.contains(&id) => unhooked.push(id.clone()),
                    Ok(Standing::Gone) => {}
                    // Its device has another name by now, or is gone: the watch of its namespace tells.
                    Err(error) => tracing::debug!("the hooks of {id} could not be looked at: {error}"),
                }
            }
        }
        for id in &unhooked {
            warn!("{id} was not judged: its hook is gone; it is put back");
            self.evidence.entry(id.clone()).or_default().forget();
        }
        unhooked
    }

    /// Lets the door look that the programs of others on the node ask for: the one inside as soon as one may deliver past
    /// the other, back to the other once two looks found none. Whether another looks now.
    pub(super) fn follow_door(&mut self) -> bool {
        let other = door::deliverer(&mut self.parts.delivery, &self.node_survey.devices);
        let door = Door::choose(self.parts.object.tier(), self.parts.config.door, other.as_ref());
        let was_free = std::mem::replace(&mut self.is_free, other.is_none());
        let is_same = door == self.parts.enforcer.door() || (door == Door::Host && !was_free);
        if is_same {
            self.note_at_devices(true);
            return false;
        }
        if let Err(error) = self.parts.enforcer.set_door(door) {
            warn!("what comes to workloads is to be looked at {door}, and is not yet: {error}");
            return false;
        }
        let why = other.map_or_else(|| "nothing on the node".to_owned(), |other| format!("{other}, which"));
        info!("{why} may deliver past the host side of pairs: what comes to workloads is looked at {door}");
        self.note_at_devices(true);
        self.evidence.values_mut().for_each(Evidence::disturb);
        true
    }

    /// Has the devices of the node note what comes in, where the door inside asks for that.
    pub(super) fn note_at_devices(&mut self, look: bool) {
        let door = self.parts.enforcer.door();
        let placed = self.workers.values().filter_map(|worker| worker.state.as_ref().ok());
        let hosts = placed.map(|placed| placed.host.index).collect();
        let gate = self.parts.enforcer.gate();
        let devices = self.node_survey.devices.iter();
        let outer = |device: &&Device| door == Door::Node && !device.loopback && device.index != gate;
        let devices: Vec<_> = devices.filter(outer).collect();
        if let Err(error) = self.parts.object.note_at(&mut self.noting, &devices, &hosts, look) {
            warn!(
                "what comes in at some device of the node, and is delivered past it, teaches nothing: {error}"
            );
        }
    }

    fn is_first(&mut self, id: &WorkloadId, hook: Hook) {
        if self.evidence.get_mut(id).is_some_and(|evidence| evidence.is_first(hook)) {
            info!("{id}: the hook {} is first again", hook.word());
        }
    }

    fn is_behind(&mut self, id: &WorkloadId, hook: Hook, other: &Other) {
        let Some(Worker { state: Ok(placed), .. }) = self.workers.get(id) else { return };
        let place = match hook {
            Hook::ToPod if self.parts.object.tier() == Tier::Tcx => &placed.device.name,
            _ => &placed.host.name,
        };
        self.is_contested = true;
        let evidence = self.evidence.entry(id.clone()).or_default();
        match evidence.is_behind(hook, other, place, clock::now()) {
            Remedy::Nothing => {}
            Remedy::GiveUp => warn!("{id} is not covered: {}", evidence.gap().unwrap_or_default()),
            Remedy::PutFirst => {
                let (name, number) = (&other.name, other.id);
                warn!(
                    "{id}: the program `{name}` (id {number}) was put before the hook {} on `{place}`; the hook is put first again",
                    hook.word()
                );
                if let Err(error) = self.put_first(id, hook) {
                    warn!("{id}: the hook {} stays behind it: {error}", hook.word());
                }
            }
        }
    }

    fn put_first(&mut self, id: &WorkloadId, hook: Hook) -> Result<(), KernelError> {
        let Some(Worker { state: Ok(placed), .. }) = self.workers.get(id) else { return Ok(()) };
        let object = &mut self.parts.object;
        match hook {
            Hook::FromPod => {
                object.put_from_pod_first(placed.index, &placed.host)?;
                self.doubled.insert(id.clone());
                Ok(())
            }
            Hook::HostDoor => object.put_host_door_first(placed.index, &placed.host),
            Hook::ToPod => object.put_to_pod_first(placed.index, &placed.netns, &placed.device, &placed.host),
        }
    }

    /// Puts the program itself in the place of each double, as soon as the kernel lets it.
    pub(super) fn settle_doubles(&mut self) {
        for id in std::mem::take(&mut self.doubled) {
            let Some(Worker { state: Ok(placed), .. }) = self.workers.get(&id) else { continue };
            if let Err(error) = self.parts.object.settle_from_pod(placed.index) {
                tracing::debug!("{id}: its double stays for now: {error}");
                self.doubled.insert(id);
            }
        }
    }

    /// Sends for a proof of every workload of which one is due.
    pub(super) fn probe_due(&mut self) {
        let now = clock::now();
        let placed = self.workers.iter().filter_map(|(id, worker)| Some((id, worker.state.as_ref().ok()?)));
        let due: Vec<_> = placed
            .filter(|(id, _)| self.evidence.get(*id).is_none_or(|evidence| evidence.is_due(now)))
            .map(|(id, placed)| errand(id, placed))
            .collect();
        if due.is_empty() {
            return;
        }
        for errand in &due {
            self.evidence.entry(errand.id.clone()).or_default().sent(now);
        }
        // Where the thread is no more, the agent ends for that.
        let _ = self.parts.errands.send(due);
    }

    /// True: what is to be told of a workload has changed.
    pub(super) fn probed(&mut self, outcomes: Vec<Probed>) -> bool {
        let mut is_news = false;
        for Probed { id, inode, outcome } in outcomes {
            let Some(Worker { state: Ok(placed), .. }) = self.workers.get(&id) else { continue };
            if placed.netns.inode != inode {
                continue;
            }
            if let Err(reason) = &outcome {
                self.parts.node.count_unseen_probe();
                tracing::debug!("{id}: {reason}");
            }
            let evidence = self.evidence.entry(id.clone()).or_default();
            if evidence.probed(outcome) {
                is_news = true;
                match evidence.gap() {
                    Some(reason) => warn!("{id} is not covered: {reason}"),
                    None => info!("{id} is covered: a probe passed both of its hooks"),
                }
            }
        }
        is_news
    }
}

fn seat(placed: &Placed) -> Seat<'_> {
    Seat { workload: placed.index, netns: &placed.netns, device: at(&placed.device), host: at(&placed.host) }
}

fn at(device: &Device) -> At<'_> {
    At { index: device.index, name: &device.name }
}

fn errand(id: &WorkloadId, placed: &Placed) -> Errand {
    Errand {
        id: id.clone(),
        index: placed.index,
        netns: placed.netns.clone(),
        device: (placed.device.index, placed.device.name.clone()),
        host: (placed.host.index, placed.host.name.clone()),
    }
}
