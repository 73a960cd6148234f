//! What is looked at because time went by: nobody tells of it.

use std::path::Path;

use tokio::task::JoinHandle;
use tracing::warn;

use super::{GONE, Reconciler, Worker};
use crate::agent::locate::{NAMES, path_of};
use crate::kernel::clock;
use crate::kernel::netns::{self, NetNs};
use crate::model::Place;

/// Ticks from one look at every hook and namespace to the next.
const LOOK: u64 = 5;
/// Ticks from one writing of what workloads looked up to the next.
const REMEMBER: u64 = 30;
/// Ticks from one sweep of bindings to the next; they stay for hours.
const SWEEP: u64 = 60;

impl Reconciler {
    /// Looks for workloads that came or went without a word; whether what is told of them may be different after it.
    pub(super) async fn tick(&mut self) -> bool {
        self.ticks += 1;
        let is_due = self.parts.source.has_moved(&self.parts.own, true) || !self.starting.is_empty();
        if is_due {
            self.read_workloads().await;
        }
        let is_look = self.ticks.is_multiple_of(LOOK);
        let is_renamed = self.names_changed();
        let lost: Vec<_> = self
            .workers
            .iter()
            .filter(|(_, worker)| is_look || is_renamed || !is_named(&worker.workload.place))
            .filter(|(_, worker)| is_lost(worker, &self.parts.own))
            .map(|(id, _)| id.clone())
            .collect();
        let mut is_news = is_due || !lost.is_empty() || self.is_contested;
        // Its interface may still be there, and then it is still judged: see `retire_if_gone`.
        for id in lost {
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.state = Err("its network namespace is gone".to_owned());
                worker.netns = Some(GONE);
                warn!("{id} is not covered: its network namespace is gone");
            }
        }
        let (mut absent, mut refused) = (Vec::new(), Vec::new());
        for (id, worker) in &self.workers {
            match &worker.state {
                Err(_) if self.is_settled_at_sockets(id) => {}
                Err(_) => absent.push(id.clone()),
                Ok(placed) if placed.own.refused.is_some() => refused.push(id.clone()),
                Ok(_) => {}
            }
        }
        self.settle_doubles();
        if is_look && let Some(plugin) = &mut self.parts.plugin {
            plugin.keep();
        }
        is_news |= is_look && self.follow_door();
        is_news |= is_look && self.look_at_sockets();
        if self.is_contested || is_look {
            absent.extend(self.look_at_hooks());
        }
        is_news |= self.is_contested || !absent.is_empty() || !refused.is_empty();
        for id in absent {
            self.cover(&id).await;
        }
        // Whose address it was may be gone.
        for id in refused {
            self.follow_addresses(&id);
        }
        if self.has_expired || self.ticks.is_multiple_of(SWEEP) {
            let swept = self.parts.node.binder().sweep(clock::now());
            self.has_expired = swept.unwrap_or_else(|error| {
                warn!("expired bindings stay: {error}");
                false
            });
        }
        if self.ticks.is_multiple_of(10) {
            self.collect_traffic();
        }
        if self.ticks.is_multiple_of(REMEMBER) {
            self.remember_aside();
        }
        self.probe_due();
        is_news
    }

    /// Beside this task, for it reads every flow there is; not twice at a time.
    fn collect_traffic(&mut self) {
        if self.collecting.as_ref().is_none_or(JoinHandle::is_finished) {
            let node = self.parts.node.clone();
            self.collecting = Some(tokio::task::spawn_blocking(move || node.collect_traffic()));
        }
    }
}

/// Whether the folder of names tells when the namespace becomes another; where one is mounted over the other, it does not.
fn is_named(place: &Place) -> bool {
    matches!(place, Place::Netns(name) if path_of(name).parent() == Some(Path::new(NAMES)))
}

/// Whether the namespace of a placed workload is only kept alive by the agent that watches it, or its name now leads
/// elsewhere.
fn is_lost(worker: &Worker, own: &NetNs) -> bool {
    let Ok(placed) = &worker.state else { return false };
    let is_at = |path: &Path| placed.netns.is_at(path);
    match &worker.workload.place {
        Place::Netns(name) => !is_at(&path_of(name)),
        Place::Interface(_) | Place::Cgroup(_) | Place::Nowhere(_) => {
            !is_at(&placed.netns.path)
                && netns::all(own).iter().all(|netns| netns.inode != placed.netns.inode)
        }
    }
}
