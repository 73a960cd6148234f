//! Which modules would be asked, and what becomes of an explanation once they have been: whoever can run them does so
//! aside, where what they say counts for nothing ([`Explanation::answered`]).

use egret_contract::Scope;
use serde::{Deserialize, Serialize};

use crate::model::{Action, ModuleAnswer, ModuleStage, ModuleUse, Policy, Reason, Verdict, Verdicts};

use super::super::asked::{Asked, Which};
use super::super::evaluate::{counting, within_ceilings};
use super::{Explanation, Finding, Question, Stage, Step, shortened, words};

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

/// What a module said when it was asked for an explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// The policy that asks it, as `namespace/name`, or by its name alone if it is of the cluster.
    pub policy: String,
    /// Its name.
    pub module: String,
    /// What it says; where it fails, what its failure policy says.
    pub answer: ModuleAnswer,
    /// Why it denies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it gave no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// For what its answer to a packet would count.
    pub scope: Scope,
    /// For how long.
    pub ttl_seconds: u64,
}

impl Answered {
    /// That of `asked`: an answer, or the fault in its place.
    #[must_use]
    pub fn new(asked: &Asked, said: Result<(ModuleAnswer, Option<String>, Scope, u64), String>) -> Self {
        let (policy, module) = (asked.policy.to_string(), asked.module.name.to_string());
        match said {
            Ok((answer, reason, scope, ttl_seconds)) => {
                Self { policy, module, answer, reason, fault: None, scope, ttl_seconds }
            }
            Err(fault) => {
                let (answer, fault) = (asked.failure.into(), Some(fault));
                Self { policy, module, answer, reason: None, fault, scope: Scope::Flow, ttl_seconds: 0 }
            }
        }
    }

    fn is_of(&self, policy: Option<&String>, module: Option<&String>) -> bool {
        policy == Some(&self.policy) && module == Some(&self.module)
    }
}

impl Explanation {
    /// The same once its modules were asked aside: `verdicts` is what rules and answers together come to.
    #[must_use]
    pub fn answered(mut self, verdicts: Verdicts, answers: Vec<Answered>) -> Self {
        self.verdicts = verdicts;
        self.undecided = Undecided::default();
        for verdict in [&mut self.verdicts.applied, &mut self.verdicts.observed] {
            let of = answers.iter().find(|one| one.is_of(verdict.policy.as_ref(), verdict.module.as_ref()));
            verdict.message = of.and_then(|one| one.reason.clone().or_else(|| one.fault.clone()));
        }
        let decides = |verdict: &Verdict, step: &Step, before| match verdict.reason {
            Reason::Module => {
                step.module.is_some() && step.module == verdict.module && step.policy == verdict.policy
            }
            _ => before,
        };
        for step in &mut self.steps {
            step.decides_applied = decides(&self.verdicts.applied, step, step.decides_applied);
            step.decides_observed = decides(&self.verdicts.observed, step, step.decides_observed);
            if matches!(step.finding, Finding::Asked | Finding::Cut) && step.module.is_some() {
                let said = answers.iter().find(|one| one.is_of(step.policy.as_ref(), step.module.as_ref()));
                step.text = format!("{}; {}", step.text, words::answered(said));
            }
        }
        self.asked_now = answers;
        self
    }

    /// The same where modules cannot be asked, and why.
    #[must_use]
    pub fn not_asked(self, why: impl Into<String>) -> Self {
        Self { not_asked: Some(why.into()), ..self }
    }
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
            let step = Step::new(shown, finding, text).of_policy(policy);
            Step { module: Some(module.name.to_string()), ..step }
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
