//! What workloads may: policies accepted, compiled, put in force, and kept for the next start.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use egret_abi::{Epoch, WorkloadIndex};
use ipnet::IpNet;
use tracing::{info, warn};

use super::Reconciler;
use crate::agent::lookups::Watch;
use crate::kernel::clock;
use crate::model::{LINK_LOCAL, Modules, Policy, PolicyId, Rule, WorkloadId};
use crate::policy::{self, Problem, Ranges, Ruleset, TooLarge, compile};
use crate::state::{self, PolicyText, Snapshot};

/// Rulesets by the policies that they come from: each set is compiled once, until a policy or a range changes.
#[derive(Default)]
pub(super) struct Compiled(HashMap<Vec<PolicyId>, Result<Arc<Ruleset>, Withheld>>);

/// Policies that cannot be put in force as they are, and what of them is all the same where nothing else is.
#[derive(Clone)]
pub(super) struct Withheld {
    why: Why,
    bounds: Arc<Ruleset>,
}

#[derive(Clone)]
enum Why {
    TooLarge(TooLarge),
    /// They name services or pods, and what these are is not known yet.
    Unknown {
        /// Policies of the cluster do.
        is_of_cluster: bool,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(excess) => excess.fmt(f),
            Self::Unknown { .. } => {
                f.write_str("Kubernetes has not told yet where the services and pods are that they name")
            }
        }
    }
}

impl Why {
    fn fix(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "make the policies smaller, or select fewer workloads by each",
            Self::Unknown { .. } => {
                "wait a moment; if it stays, see in the agent's log whether it may list services, endpoints and pods \
                 (`deploy/egret.yaml`)"
            }
        }
    }
}

/// What a workload is to be judged by.
pub(super) struct Chosen {
    pub(super) ruleset: Arc<Ruleset>,
    /// The policies of the cluster that it comes from.
    bounds: Vec<Policy>,
    /// It is all that they come to.
    is_whole: bool,
}

impl Compiled {
    /// What `policies` come to.
    fn of(
        &mut self,
        policies: &[&Policy],
        ranges: &Ranges,
        modules: &Modules,
    ) -> Result<Arc<Ruleset>, Withheld> {
        let ids = policies.iter().map(|policy| policy.id.clone()).collect();
        let compiled = self.0.entry(ids).or_insert_with(|| {
            let withheld =
                |why| Withheld { why, bounds: Arc::new(policy::compile_bounds(policies, ranges, modules)) };
            let awaiting = || policies.iter().filter(|policy| policy.rules().any(Rule::is_awaiting));
            if awaiting().next().is_some() {
                let of_cluster = |policy: &&Policy| policy.id.kind.is_of_cluster();
                return Err(withheld(Why::Unknown {
                    is_of_cluster: awaiting().copied().any(|p| of_cluster(&p)),
                }));
            }
            compile(policies, ranges, modules).map(Arc::new).map_err(Why::TooLarge).map_err(withheld)
        });
        compiled.clone()
    }

    /// Forgets what comes from any of `policies`.
    fn forget(&mut self, policies: &BTreeSet<PolicyId>) {
        self.0.retain(|ids, _| ids.iter().all(|id| !policies.contains(id)));
    }

    /// Every ruleset.
    pub(super) fn rulesets(&self) -> impl Iterator<Item = &Ruleset> {
        self.0.values().map(|compiled| match compiled {
            Ok(ruleset) => &**ruleset,
            Err(withheld) => &*withheld.bounds,
        })
    }
}

/// The policies of the cluster among `policies`: what those of a namespace never keep out of force.
fn of_cluster(policies: &[&Policy]) -> Vec<Policy> {
    let of_cluster = policies.iter().filter(|policy| policy.id.kind.is_of_cluster());
    of_cluster.map(|policy| Policy::clone(policy)).collect()
}

impl Reconciler {
    pub(super) fn accept(&mut self, outcomes: Vec<policy::Outcome>) {
        let (accepted, problems) = policy::refresh(&self.accepted, outcomes);
        for problem in &problems {
            warn!("{}: {}; {}", problem.place(), problem.reason, problem.fix);
        }
        (self.accepted, self.problems) = (accepted, problems);
        // Before any of it is put in force.
        let _ = self.parts.source.look_up(&mut self.accepted);
        self.compiled = Compiled::default();
    }

    pub(super) fn put_in_force(
        &mut self,
        index: WorkloadIndex,
        ruleset: &Arc<Ruleset>,
    ) -> anyhow::Result<bool> {
        // What modules said of a workload with other labels counts no more.
        let is_in_force = self.parts.enforcer.is_in_force(index, ruleset);
        if is_in_force && !self.is_another(index, ruleset) {
            return Ok(false);
        }
        self.prepare(index, ruleset)?;
        // Its epoch is known only then; whoever decides must know it before the first packet does.
        let mut case = self.case(index, ruleset, Epoch::default());
        let (judge, lookups) = (self.parts.judge.clone(), self.parts.lookups.clone());
        if case.is_some() {
            judge.rulings().make_room(index)?;
        }
        let changed = self.parts.enforcer.put_in_force(index, ruleset, |epoch| {
            if let Some(case) = &mut case {
                case.epoch = epoch;
            }
            lookups.set(index, case.as_ref().and_then(Watch::of));
            judge.set(index, case);
        })?;
        if changed {
            self.changed.push((index, ruleset.clone()));
        }
        Ok(changed)
    }

    /// Gives `ruleset` its numbers, on disk first, and binds what the workload looked up before to its names.
    pub(super) fn prepare(&mut self, index: WorkloadIndex, ruleset: &Ruleset) -> anyhow::Result<()> {
        let patterns = self.parts.enforcer.numbers().words_of(ruleset);
        self.save(false)?;
        // A full map must not keep a stricter policy out.
        if let Err(error) = self.parts.node.binder().set_patterns(index, &patterns, clock::now()) {
            warn!("some names that were looked up stay denied until they are looked up again: {error}");
        }
        Ok(())
    }

    /// Compiles the policies of every workload, each distinct set once, and puts what changed in force.
    pub(super) fn enforce_all(&mut self) {
        let _ = self.parts.source.look_up(&mut self.accepted);
        self.compiled = Compiled::default();
        // Those that policies select now, and those that they do no more.
        if self.has_started {
            self.follow_sockets();
        }
        self.enforce_compiled();
        if let Err(error) = self.save(true) {
            warn!("a restart would not find the latest policies: {error:#}");
        }
    }

    /// Compiles what leads elsewhere in the cluster than it did, and puts that in force; whether anything does.
    pub(super) fn follow_destinations(&mut self) -> bool {
        let moved = self.parts.source.look_up(&mut self.accepted);
        if moved.is_empty() {
            return false;
        }
        self.compiled.forget(&moved);
        self.enforce_compiled();
        true
    }

    fn enforce_compiled(&mut self) {
        self.told.clear();
        self.lacking.clear();
        // Also where the agent lost sight of it: what judges its packets is still there.
        let placed = |id: &WorkloadId| Some((id.clone(), self.parts.enforcer.placed(id)?.0));
        let placed: Vec<_> = self.workers.keys().filter_map(placed).collect();
        for (id, index) in placed {
            match self.enforce(&id, index) {
                Ok(true) => info!("the policies of {id} have changed and are in force"),
                Ok(false) => {}
                Err(error) => {
                    let fix = "make the policies smaller, or select fewer workloads by each";
                    self.tell_problem(&format!("{id}: its policies stay as they were: {error:#}"), fix);
                }
            }
        }
        // Of what is no problem any more nothing was told.
        self.problems.retain(|problem| !problem.file.is_empty() || self.told.contains(&problem.reason));
    }

    /// Puts the policies of a workload in force, where they are not; whether they were not.
    pub(super) fn enforce(&mut self, id: &WorkloadId, index: WorkloadIndex) -> anyhow::Result<bool> {
        let Some(chosen) = self.choose_ruleset(id, index)? else { return Ok(false) };
        let changed = self.put_in_force(index, &chosen.ruleset)?;
        self.note_chosen(id, chosen);
        Ok(changed)
    }

    /// What the policies of a workload come to. Where they are too large, what was in force stays (`None`). But what a
    /// platform bounds is not for the tenants of a namespace to keep out of force: where nothing is in force, or the
    /// policies of the cluster have changed, it is these without what the namespace allows.
    pub(super) fn choose_ruleset(
        &mut self,
        id: &WorkloadId,
        index: WorkloadIndex,
    ) -> anyhow::Result<Option<Chosen>> {
        // Until what is chosen is in force.
        self.lacking.insert(id.clone());
        let modules = self.module_facts();
        let worker = self.workers.get(id).ok_or_else(|| anyhow::anyhow!("it is gone"))?;
        let selecting = self.accepted.selecting(&worker.namespace, &worker.workload.labels);
        let (bounds, mut policies) = (of_cluster(&selecting), selecting.iter().copied().cloned().collect());
        let mut is_whole = true;
        let ruleset = match self.compiled.of(&selecting, &self.ranges, &modules) {
            Ok(ruleset) => ruleset,
            Err(Withheld { why, bounds: strict }) => {
                let strict_policies = policy::bounds(&selecting);
                let may_stay = match why {
                    Why::TooLarge(_) => worker.bounds.as_ref() == Some(&bounds),
                    // The platform's own change, which it waits for; or an earlier agent's work.
                    Why::Unknown { is_of_cluster } => {
                        let is_same = worker.bounds.as_ref().is_none_or(|before| *before == bounds);
                        self.parts.enforcer.is_judged(index) && (is_of_cluster || is_same)
                    }
                };
                if may_stay && !self.parts.enforcer.is_in_force(index, &strict) {
                    self.tell_problem(&format!("{id}: its policies stay as they were: {why}"), why.fix());
                    return Ok(None);
                }
                self.tell_problem(
                    &format!("{id}: nothing that its namespace allows is in force: {why}"),
                    why.fix(),
                );
                policies = strict_policies;
                is_whole = false;
                strict
            }
        };
        if let Some(worker) = self.workers.get_mut(id) {
            worker.policies = policies;
        }
        Ok(Some(Chosen { ruleset, bounds, is_whole }))
    }

    /// That it is in force.
    pub(super) fn note_chosen(&mut self, id: &WorkloadId, chosen: Chosen) {
        let Chosen { bounds, is_whole, .. } = chosen;
        if is_whole {
            self.lacking.remove(id);
        }
        if let Some(worker) = self.workers.get_mut(id) {
            worker.bounds = Some(bounds);
        }
    }

    fn tell_problem(&mut self, reason: &str, fix: &str) {
        let problem = Problem::whole("", reason, fix);
        self.told.insert(problem.reason.clone());
        if self.problems.iter().all(|known| known.reason != problem.reason) {
            warn!("{reason}");
            self.problems.push(problem);
        }
    }

    pub(super) fn ranges_now(&self) -> Ranges {
        let config = &self.parts.config;
        let own = self.node_survey.addresses.iter().map(|(_, address)| range_of_node(*address));
        let own: BTreeSet<_> = own.filter(|own| !config.node_ranges.contains(own)).collect();
        Ranges {
            cluster: config.cluster_ranges.clone(),
            node: config.node_ranges.iter().copied().chain(own).collect(),
        }
    }

    /// Writes the snapshot where a number was given out, or `always`.
    pub(super) fn save(&mut self, always: bool) -> anyhow::Result<()> {
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
}

/// Link-local addresses come and go with every workload's interface: as one range they change no ruleset.
fn range_of_node(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => IpNet::from(LINK_LOCAL),
        _ => IpNet::from(address),
    }
}
