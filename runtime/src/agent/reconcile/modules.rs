//! Policy modules, given to workloads with their policies.

use std::sync::Arc;

use egret_abi::{Epoch, WorkloadIndex};

use super::shelf::{Loaded, Shelf};
use super::{Change, GATHER, Reconciler, Worker};
use crate::agent::holds::Case;
use crate::agent::node::node_name;
use crate::model::{ModuleStage, Modules};
use crate::policy::{Problem, Ruleset};
use crate::wasm::{self, Input};

impl Reconciler {
    /// Reads the modules, before anything is put in force.
    pub(super) fn load_modules(&mut self) {
        if let Some(shelf) = &mut self.parts.shelf {
            shelf.fill();
        }
    }

    /// Has the modules read again by a thread of its own, which tells when that is done: policies and workloads do not wait
    /// for a large module to be compiled. Nothing is different yet: `false`, for [`Reconciler::act_on`].
    pub(super) fn load_modules_aside(&mut self) -> bool {
        let order = self.parts.shelf.as_mut().and_then(Shelf::order_aside);
        let Some(order) = order else { return false };
        let changes = self.parts.changes.clone();
        tokio::spawn(async move {
            tokio::time::sleep(GATHER).await;
            let gave_up = order.without();
            let loaded = tokio::task::spawn_blocking(move || order.load()).await;
            // Where nobody listens any more, nobody asks modules either.
            let _ = changes.send(Change::Loaded(loaded.unwrap_or_else(|_| gave_up()))).await;
        });
        false
    }

    /// Puts what was loaded aside in force.
    pub(super) fn modules_loaded(&mut self, loaded: Loaded) {
        let Some(shelf) = &mut self.parts.shelf else { return };
        let has_changed_since = shelf.take(loaded);
        if has_changed_since {
            let _ = self.load_modules_aside();
        }
        self.enforce_all();
    }

    /// What decisions need to know of the modules.
    pub(super) fn module_facts(&self) -> Modules {
        self.parts.shelf.as_ref().map(Shelf::facts).unwrap_or_default()
    }

    /// What is wrong with modules, and with what policies ask of them.
    pub(super) fn module_problems(&self) -> Vec<Problem> {
        let missing: std::collections::BTreeSet<_> =
            self.compiled.rulesets().flat_map(|ruleset| ruleset.missing_modules()).collect();
        let missing = missing.into_iter().map(|name| {
            let reason = format!(
                "policies ask the module `{name}`, which is not loaded; at the stages `unmatched` and `always` its failure policy, deny, counts"
            );
            let fix = match &self.parts.shelf {
                Some(shelf) => format!("put {name}.wasm into {}", shelf.folder().display()),
                None => "start the agent with --modules DIR".to_owned(),
            };
            Problem::whole("", &reason, &fix)
        });
        let Some(shelf) = &self.parts.shelf else { return missing.collect() };
        let refused = shelf.refused().map(|(name, reason)| {
            let fix = "correct the settings in the policy";
            Problem::whole("", format!("module `{name}`: {reason}"), fix)
        });
        let deaf = self.compiled.rulesets().flat_map(|ruleset| &ruleset.modules);
        let deaf = deaf.filter(|asked| asked.module.stage == ModuleStage::Answers);
        let deaf = deaf.map(|asked| &asked.module.name).filter(|name| shelf.is_deaf(name));
        let deaf: std::collections::BTreeSet<_> = deaf.collect();
        let deaf = deaf.into_iter().map(|name| {
            let reason = format!(
                "policies name the module `{name}` at the stage `answers`, and it exports no on-answer"
            );
            Problem::whole(
                "",
                reason,
                "name it at the stage `unmatched` or `always`, or give it an on-answer",
            )
        });
        missing.chain(refused).chain(deaf).chain(shelf.problems().iter().cloned()).collect()
    }

    /// Whether modules know a workload by what it is no longer.
    pub(super) fn is_another(&self, index: WorkloadIndex, ruleset: &Ruleset) -> bool {
        if ruleset.modules.is_empty() {
            return false;
        }
        let placed = |id| self.parts.enforcer.placed(id).is_some_and(|(placed, _)| placed == index);
        let worker = self.workers.iter().find(|(id, _)| placed(id));
        worker.is_some_and(|(_, worker)| !self.parts.judge.knows(index, &who(worker)))
    }

    /// What a workload's modules decide by, once `ruleset` is in force for it in `epoch`; `None` where it has none.
    pub(super) fn case(
        &mut self,
        index: WorkloadIndex,
        ruleset: &Arc<Ruleset>,
        epoch: Epoch,
    ) -> Option<Case> {
        if ruleset.modules.is_empty() {
            return None;
        }
        let placed = |id| self.parts.enforcer.placed(id).is_some_and(|(placed, _)| placed == index);
        let worker = self.workers.iter().find(|(id, _)| placed(id)).map(|(_, worker)| worker)?;
        let (who, policies) = (who(worker), worker.policies.clone());
        let modules: Vec<_> = ruleset
            .modules
            .iter()
            .map(|asked| match &mut self.parts.shelf {
                Some(shelf) => shelf.policy(asked),
                None => Err("the agent has no folder of modules".to_owned()),
            })
            .collect();
        let counts =
            |policy: &Arc<wasm::Policy>| policy.module().description().inputs.contains(&Input::Counters);
        let asked = ruleset.modules.iter().zip(&modules);
        let mut asked = asked.filter(|(asked, _)| asked.module.stage != ModuleStage::Answers);
        let alone = asked.any(|(_, module)| module.as_ref().is_ok_and(counts));
        Some(Case {
            epoch,
            who: Arc::new(who),
            policies,
            ranges: self.ranges.clone(),
            ruleset: ruleset.clone(),
            modules,
            alone,
        })
    }
}

/// A workload as modules see it.
fn who(worker: &Worker) -> wasm::Who {
    let workload = &worker.workload;
    wasm::Who {
        namespace: workload.id.namespace.clone(),
        name: workload.id.name.clone(),
        labels: workload.labels.clone().into_iter().collect(),
        service_account: workload.service_account.clone().unwrap_or_default(),
        node: node_name(),
    }
}
