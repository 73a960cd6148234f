//! Which modules would be asked. They cannot be asked for an explanation: what they say of an attempt may count, and may
//! change with it.

use serde::{Deserialize, Serialize};

use crate::model::{Action, ModuleStage, ModuleUse, Policy, Reason, Verdict};

use super::super::asked::Which;
use super::super::evaluate::{counting, within_ceilings};
use super::{Finding, Question, Stage, Step, shortened, words};

/// The modules on whose answers the verdicts depend; none, where they are certain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undecided {
    /// Those of the applied verdict, in the order in which they are asked.
    pub applied: Vec<Decider>,
    /// Those of the observed verdict.
    pub observed: Vec<Decider>,
}

/// A module that may decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decider {
    /// The policy that asks it, as `namespace/name`, or by its name alone if it is of the cluster.
    pub policy: String,
    /// Its name.
    pub module: String,
    /// When it is asked.
    pub stage: ModuleStage,
}

impl Undecided {
    /// Whether both verdicts are certain.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.observed.is_empty()
    }
}

/// Whether a module is asked for a verdict, and if not, why not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Comes,
    /// Its policy is on trial.
    NotCounted,
    OutOfScope,
    /// A rule has the last word, or the last but that of `always` modules.
    Rule(Action),
}

impl Question<'_> {
    /// A step of `shown` for each module of `stage`.
    pub(super) fn by_modules(&self, stage: ModuleStage, shown: Stage) -> Vec<Step> {
        let steps = self.modules(stage).map(|(policy, module)| {
            let turns = Which::BOTH.map(|which| self.turn(which, policy, module));
            let comes = |which: &Which| self.turn(*which, policy, module) == Turn::Comes;
            let may_allow = stage == ModuleStage::Always
                || Which::BOTH
                    .iter()
                    .filter(|which| comes(which))
                    .any(|which| self.may_allow(*which, policy));
            let finding = match (turns.contains(&Turn::Comes), may_allow) {
                (false, _) => Finding::Nothing,
                (true, true) => Finding::Asked,
                (true, false) => Finding::Cut,
            };
            let text = words::module(policy, module, turns, finding, self.kind);
            Step::new(shown, finding, text).of_policy(policy)
        });
        shortened(shown, steps.collect())
    }

    /// The modules whose answers may turn a verdict.
    pub(super) fn undecided(&self) -> Undecided {
        let [applied, observed] = Which::BOTH.map(|which| self.deciders(which));
        Undecided { applied, observed }
    }

    fn deciders(&self, which: Which) -> Vec<Decider> {
        let coming = |stage| {
            self.modules(stage)
                .filter(move |(policy, module)| self.turn(which, policy, module) == Turn::Comes)
        };
        let allowing: Vec<_> =
            coming(ModuleStage::Unmatched).filter(|(policy, _)| self.may_allow(which, policy)).collect();
        // Where it is denied anyway, a veto changes nothing.
        let may_go_on = self.by_rules_in(which).action == Action::Allow || !allowing.is_empty();
        let vetoing = coming(ModuleStage::Always).filter(|_| may_go_on);
        let deciders = vetoing.chain(allowing).map(|(policy, module)| Decider {
            policy: policy.id.to_string(),
            module: module.name.to_string(),
            stage: module.stage,
        });
        deciders.collect()
    }

    fn modules(&self, stage: ModuleStage) -> impl Iterator<Item = (&Policy, &ModuleUse)> {
        let all =
            self.policies.iter().flat_map(|policy| policy.modules.iter().map(|module| (*policy, module)));
        all.filter(move |(_, module)| module.stage == stage)
    }

    /// Whether the ceilings above `policy` let what its modules allow pass.
    fn may_allow(&self, which: Which, policy: &Policy) -> bool {
        within_ceilings(&counting(&self.policies, which), &policy.id, self.attempt, |_| true)
    }

    fn turn(&self, which: Which, policy: &Policy, module: &ModuleUse) -> Turn {
        let Verdict { action, reason, .. } = self.by_rules_in(which);
        if !which.counts(policy.mode) {
            Turn::NotCounted
        } else if !policy.scope.covers(self.kind) {
            Turn::OutOfScope
        } else if *reason == Reason::Rule
            && (*action == Action::Deny || module.stage == ModuleStage::Unmatched)
        {
            Turn::Rule(*action)
        } else {
            Turn::Comes
        }
    }

    fn by_rules_in(&self, which: Which) -> &Verdict {
        match which {
            Which::Applied => &self.verdicts.applied,
            Which::Observed => &self.verdicts.observed,
        }
    }
}
