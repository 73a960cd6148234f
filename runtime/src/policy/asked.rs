//! The modules that a ruleset asks: in which order, for which destinations, and what counts where nobody answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::{
    Action, FailurePolicy, Kind, Mode, ModuleStage, ModuleUse, Modules, Policy, PolicyId, PolicyKind, Reason,
    Scope, Verdict,
};

use super::evaluate::in_order;
use super::ruleset::{RuleRef, Ruleset};

/// What stands before a module's name where a rule's would stand. No rule's name holds a `/`.
const PREFIX: &str = "module/";

/// Which of the two verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// By the policies in mode Enforce.
    Applied,
    /// By all policies, as if in force.
    Observed,
}

impl Which {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::Applied, Self::Observed];

    /// Whether what a policy of `mode` says counts.
    #[must_use]
    pub fn counts(self, mode: Mode) -> bool {
        self == Self::Observed || mode == Mode::Enforce
    }
}

/// A module that a policy asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    /// The policy.
    pub policy: PolicyId,
    /// Whether its answer happens or is only reported.
    pub mode: Mode,
    /// Of which destinations it is asked.
    pub scope: Scope,
    /// Which module, when, with which settings.
    pub module: ModuleUse,
    /// The digest of the module of this name; `None`: no such module is loaded.
    pub digest: Option<Arc<str>>,
    /// What counts where it gives no answer; of a module that is not loaded, deny.
    pub failure: FailurePolicy,
    /// Of the ceilings that bound what it allows: Enforce where one is in force, Observe where all are on trial, `None`
    /// where there is none.
    pub ceiling: Option<Mode>,
}

impl Asked {
    /// What verdicts name: the policy, and `module/NAME` in the place of a rule.
    #[must_use]
    pub fn rule(&self) -> RuleRef {
        RuleRef { policy: self.policy.clone(), rule: format!("{PREFIX}{}", self.module.name) }
    }

    /// Its verdict.
    pub fn verdict(&self, action: Action) -> Verdict {
        let RuleRef { policy, rule } = self.rule();
        Verdict {
            rule: Some(rule),
            policy: Some(policy.to_string()),
            module: Some(self.module.name.to_string()),
            ..Verdict::of(action, Reason::Module)
        }
    }

    /// Whether it is asked at `stage` of destinations of `kind`.
    #[must_use]
    pub fn is_asked(&self, stage: ModuleStage, kind: Kind) -> bool {
        self.module.stage == stage && self.scope.covers(kind)
    }

    /// Whether what it allows is bounded by a ceiling in this verdict.
    fn is_bounded(&self, which: Which) -> bool {
        self.ceiling.is_some_and(|mode| which.counts(mode))
    }
}

impl RuleRef {
    /// The module's name, where this is what [`Asked::rule`] gave.
    #[must_use]
    pub fn module(&self) -> Option<&str> {
        self.rule.strip_prefix(PREFIX)
    }
}

/// Whether some module is asked, at each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Asks {
    /// Where no rule speaks.
    pub unmatched: bool,
    /// Wherever no rule denies.
    pub always: bool,
}

impl Ruleset {
    /// Whether some module, of a policy in force or on trial, is asked of destinations of `kind`.
    #[must_use]
    pub fn asks(&self, kind: Kind) -> Asks {
        let any = |stage| self.modules.iter().any(|asked| asked.is_asked(stage, kind));
        Asks { unmatched: any(ModuleStage::Unmatched), always: any(ModuleStage::Always) }
    }

    /// The modules that are asked and not loaded, each once, by name.
    #[must_use]
    pub fn missing_modules(&self) -> BTreeSet<&str> {
        let missing = self.modules.iter().filter(|asked| asked.digest.is_none());
        missing.map(|asked| &*asked.module.name).collect()
    }

    /// What counts where nobody can be asked, if one word must do for every destination and stage: deny where any of
    /// [`Self::failure_at`] is, allow where all are, else next.
    #[must_use]
    pub fn failure(&self, which: Which) -> FailurePolicy {
        let stages = [ModuleStage::Always, ModuleStage::Unmatched];
        let kinds = [Kind::Internet, Kind::Cluster, Kind::Node];
        let places = stages.into_iter().flat_map(|stage| kinds.map(|kind| (stage, kind)));
        let counting = places.filter(|(stage, kind)| self.counting(which, *stage, *kind).next().is_some());
        let each: BTreeSet<_> = counting.map(|(stage, kind)| self.failure_at(which, stage, kind)).collect();
        if each.contains(&FailurePolicy::Deny) {
            FailurePolicy::Deny
        } else if each == BTreeSet::from([FailurePolicy::Allow]) {
            FailurePolicy::Allow
        } else {
            FailurePolicy::Next
        }
    }

    /// What counts at `stage`, of destinations of `kind`, where nobody can be asked: deny if any module that counts says
    /// so; at `unmatched` else allow if any does that no ceiling bounds; else next. At `always` an allow is no more than
    /// next, and whether a ceiling covers a destination is not known where nobody can be asked.
    #[must_use]
    pub fn failure_at(&self, which: Which, stage: ModuleStage, kind: Kind) -> FailurePolicy {
        let counting = || self.counting(which, stage, kind);
        let allows = |asked: &Asked| asked.failure == FailurePolicy::Allow && !asked.is_bounded(which);
        if counting().any(|asked| asked.failure == FailurePolicy::Deny) {
            FailurePolicy::Deny
        } else if stage == ModuleStage::Unmatched && counting().any(allows) {
            FailurePolicy::Allow
        } else {
            FailurePolicy::Next
        }
    }

    fn counting(&self, which: Which, stage: ModuleStage, kind: Kind) -> impl Iterator<Item = &Asked> {
        self.modules.iter().filter(move |asked| which.counts(asked.mode) && asked.is_asked(stage, kind))
    }
}

/// The modules that `policies` ask, in the order in which they are asked: by policies as rules are, and the modules of each
/// as they are written.
pub(super) fn asked_by(policies: &[&Policy], modules: &Modules) -> Vec<Asked> {
    let policies = in_order(policies);
    let ceiling = policies.iter().filter(|policy| policy.ceiling.is_some()).map(|policy| policy.mode).max();
    let of_policy = |policy: &&Policy| {
        let is_bound = policy.id.kind == PolicyKind::EgressPolicy;
        let (id, mode, scope) = (policy.id.clone(), policy.mode, policy.scope);
        let asked = policy.modules.iter().map(move |module| {
            let facts = modules.get(&module.name);
            Asked {
                policy: id.clone(),
                mode,
                scope,
                module: module.clone(),
                digest: facts.map(|facts| facts.digest.clone()),
                failure: facts.map(|facts| facts.failure).unwrap_or_default(),
                ceiling: ceiling.filter(|_| is_bound),
            }
        });
        asked.collect::<Vec<_>>()
    };
    policies.iter().flat_map(of_policy).collect()
}
