//! What the API shows of it.

use std::sync::Arc;

use super::{Reconciler, Worker};
use crate::agent::coverage::Evidence;
use crate::agent::locate::xdp_before;
use crate::agent::node::{Shown, node_name};
use crate::api::{EffectiveMode, PolicyProblem};
use crate::model::{Coverage, Mode, WorkloadRef};

impl Reconciler {
    pub(super) fn publish(&self, ready: bool) {
        let workloads = self.workers.iter().map(|(id, worker)| (id.clone(), self.shown(worker))).collect();
        let node = node_name();
        let by_index = self.workers.values().filter_map(|worker| {
            let reference = WorkloadRef::new(&worker.workload, node.clone());
            Some((self.parts.enforcer.placed(&worker.workload.id)?.0, Arc::new(reference)))
        });
        let by_index = by_index.collect();
        let of_modules = self.module_problems();
        let problems = self.problems.iter().chain(&of_modules).map(|problem| PolicyProblem {
            file: problem.file.to_string(),
            line: problem.line,
            column: problem.column,
            path: problem.path.clone(),
            reason: problem.reason.clone(),
            fix: Some(problem.fix.clone()),
        });
        let problems = problems.collect();
        self.parts.node.publish(|view| {
            view.workloads = workloads;
            view.accepted = self.accepted.clone();
            view.problems = problems;
            view.listed = self.listed.clone();
            view.ranges = self.ranges.clone();
            view.by_index = by_index;
            view.door = self.parts.enforcer.door();
            view.ready = ready;
        });
    }

    pub(super) fn shown(&self, worker: &Worker) -> Shown {
        let selecting = self.accepted.selecting(&worker.namespace, &worker.workload.labels);
        let placed = worker.state.as_ref().ok();
        let gap = match &worker.state {
            Ok(placed) => placed
                .gap
                .clone()
                .or_else(|| xdp_before(&placed.device, &placed.host))
                .or_else(|| self.evidence.get(&worker.workload.id).unwrap_or(&Evidence::default()).gap())
                .or_else(|| worker.resolvers_problem.clone())
                .or_else(|| placed.own.refused.clone()),
            Err(reason) => Some(reason.clone()),
        };
        let coverage = match (self.unseen(&worker.workload.id, &selecting), gap) {
            (Some(unseen), _) => Coverage::Sockets { unseen },
            (None, Some(reason)) => Coverage::NotCovered { reason },
            (None, None) => Coverage::Covered,
        };
        let strictest: Option<Mode> = selecting.iter().map(|policy| policy.mode).max();
        let enforcing = selecting.iter().filter(|policy| policy.mode == Mode::Enforce);
        Shown {
            workload: worker.workload.clone(),
            namespace: worker.namespace.clone(),
            resolvers: worker.resolvers.clone(),
            coverage,
            index: placed.map(|placed| placed.index),
            addresses: placed.map_or_else(Vec::new, |placed| placed.own.addresses.iter().copied().collect()),
            interface: placed.map(|placed| placed.host.name.clone()),
            mode: EffectiveMode::from(strictest),
            policies: selecting.iter().map(|policy| policy.id.to_string()).collect(),
            enforcing: enforcing.map(|policy| policy.id.to_string()).collect(),
            is_lacking: self.lacking.contains(&worker.workload.id),
        }
    }
}
