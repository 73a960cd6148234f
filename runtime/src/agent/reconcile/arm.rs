//! Arming: a workload that is covered for the first time goes on with what it has.
//!
//! Its packets are seen but not denied while its sockets are listed; their flows are written as of the epoch to come,
//! and that begins. What began meanwhile is of the epoch before, and is judged at its next packet.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use egret_abi::{FLOWS_PER_WORKLOAD, Tick, WorkloadIndex};
use jiff::Timestamp;
use tracing::{info, warn};

use super::Reconciler;
use crate::agent::node::node_name;
use crate::agent::run::IDLE_SECONDS;
use crate::agent::tighten::Changed;
use crate::flows::Seen;
use crate::kernel::clock;
use crate::kernel::maps::ip;
use crate::kernel::netns::NetNs;
use crate::kernel::sockets::{self, Census};
use crate::model::{Action, Destination, Protocol, Reason, Verdict, Verdicts, WorkloadId, WorkloadRef};
use crate::policy::Ruleset;

/// Flows of each direction and family that are armed: a map that is nearly full loses some, and what begins needs room.
const MOST: usize = FLOWS_PER_WORKLOAD as usize / 2;
/// Flows of one workload that are told in the log, which all workloads share.
const TOLD: usize = 1000;

/// How long nothing is denied to a workload while it is armed, if the agent ends meanwhile: longer than that ever takes.
const AT_MOST_SECONDS: u32 = 10;

/// When what is being armed now is judged in any case.
pub(super) fn deadline() -> Tick {
    clock::tick(clock::now()).plus(Tick::lasting_seconds(AT_MOST_SECONDS))
}

impl Reconciler {
    /// The flows of a workload's sockets; none where they cannot be listed, and that is told.
    pub(super) fn census(&self, id: &WorkloadId, netns: &NetNs, own: &BTreeSet<IpAddr>) -> Census {
        sockets::count(netns, own, MOST).unwrap_or_else(|error| {
            warn!("{id}: connections that were there before are judged as new ones: {error}");
            Census::default()
        })
    }

    /// Both hooks are in place, and nothing is denied yet: see the head of this file.
    pub(super) fn arm(
        &mut self,
        id: &WorkloadId,
        index: WorkloadIndex,
        census: &Census,
        ruleset: &Arc<Ruleset>,
    ) -> anyhow::Result<()> {
        let until = clock::tick(clock::now()).plus(Tick::lasting_seconds(IDLE_SECONDS));
        self.parts.enforcer.seed(index, census, until)?;
        self.put_in_force(index, ruleset)?;
        // What was written is of this epoch: there is nothing to end.
        self.changed.retain(|(changed, _)| *changed != index);
        self.tell_armed(id, index, census);
        Ok(())
    }

    fn tell_armed(&self, id: &WorkloadId, index: WorkloadIndex, census: &Census) {
        let Some(worker) = self.workers.get(id) else { return };
        let node = &self.parts.node;
        let (outbound, inbound) = (census.outbound.len(), census.inbound.len());
        node.armed.fetch_add((outbound + inbound) as u64, Ordering::Relaxed);
        node.left_out.fetch_add(census.left_out, Ordering::Relaxed);
        info!("{id} is armed: {outbound} flows that it began and {inbound} that others began go on");
        if census.left_out > 0 || census.unfinished {
            let more = if census.unfinished { ", and there was no time to list all" } else { "" };
            warn!("{id}: {} sockets found no room, and are judged as new ones{more}", census.left_out);
        }
        let workload = Arc::new(WorkloadRef::new(&worker.workload, node_name()));
        let time = Timestamp::now();
        for tuple in census.outbound.iter().take(TOLD) {
            let established = || Verdict::of(Action::Allow, Reason::Established);
            let destination = Destination {
                name: None,
                names: Vec::new(),
                address: ip(tuple.remote),
                port: tuple.remote_port,
                protocol: Protocol(tuple.protocol),
            };
            let verdicts = Verdicts { applied: established(), observed: established() };
            let workload = workload.clone();
            let key = node.log.record(Seen { time, workload, destination, verdicts, packets: 0, bytes: 0 });
            node.traffic().go_on(index, *tuple, key);
        }
    }

    /// Hands the workloads whose rules have changed to who ends what they deny.
    pub(super) fn end_denied(&mut self) {
        let Some(ender) = self.parts.ender.clone() else {
            self.changed.clear();
            return;
        };
        let mut all = Vec::new();
        for (index, ruleset) in std::mem::take(&mut self.changed) {
            let placed = |worker: &super::Worker| {
                let placed = worker.state.as_ref().ok().filter(|placed| placed.index == index)?;
                Some(placed.netns.clone())
            };
            let found = self.workers.values().find_map(placed).or_else(|| self.netns_at_sockets(index));
            let Some(netns) = found else { continue };
            let patterns = self.parts.enforcer.numbers().words_of(&ruleset);
            let patterns = patterns.into_iter().map(|(pattern, class)| (class, pattern)).collect();
            let resolvers = self.parts.enforcer.resolvers_of(index);
            all.push(Changed { index, ruleset, patterns, resolvers, netns });
        }
        ender.submit(all);
    }
}
