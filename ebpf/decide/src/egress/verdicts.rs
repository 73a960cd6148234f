//! From what the rules say to both verdicts.

use egret_abi::{CachedVerdict, Class, RuleId, Said, action_reason as why};

use super::Findings;

/// Both verdicts, as flows and events carry them.
#[derive(Clone, Copy)]
pub(super) struct Verdicts {
    pub applied: Said,
    pub observed: Said,
    pub applied_why: u8,
    pub observed_why: u8,
    pub class: Class,
}

impl Verdicts {
    #[inline(always)]
    pub fn of(found: &Findings) -> Self {
        let ruleset = &found.ruleset;
        // Shift instead of index: the kind comes from a map, and an index would cost a bounds check.
        let denies = |defaults: &[u8; 3]| match found.kind {
            0 => defaults[0] != 0,
            1 => defaults[1] != 0,
            _ => defaults[2] != 0,
        };
        let why = |said: Said, expired: Said, deny: bool| match (said.denies(), said.allows(), deny) {
            (true, ..) => why::DENY | why::RULE,
            (_, true, _) => why::RULE,
            (.., true) if expired.allows() => why::DENY | why::EXPIRED_NAME,
            (.., true) => why::DENY | why::DEFAULT_DENY,
            _ if ruleset.unmanaged != 0 => why::UNMANAGED,
            _ => why::NOT_ENFORCED,
        };
        Self {
            applied: found.said.applied,
            observed: found.said.observed,
            applied_why: why(found.said.applied, found.expired.applied, denies(&ruleset.applied_default)),
            observed_why: why(found.said.observed, found.expired.observed, denies(&ruleset.observed_default)),
            class: found.class,
        }
    }

    /// What modules said before.
    #[inline(always)]
    pub fn said(said: &CachedVerdict) -> Self {
        Self {
            applied: said.applied,
            observed: said.observed,
            applied_why: said.applied_why,
            observed_why: said.observed_why,
            class: Class::NONE,
        }
    }

    /// Every workload may ask its trusted resolvers, whatever its policies.
    pub fn resolver() -> Self {
        let said = Said::allow(RuleId::DNS);
        Self {
            applied: said,
            observed: said,
            applied_why: why::RULE,
            observed_why: why::RULE,
            class: Class::NONE,
        }
    }

    pub fn denied(reason: u8) -> Self {
        let why = why::DENY | reason;
        Self {
            applied: Said::NOTHING,
            observed: Said::NOTHING,
            applied_why: why,
            observed_why: why,
            class: Class::NONE,
        }
    }

    /// Where these deny, the flow goes on all the same, for `reason`.
    #[inline(always)]
    pub fn spare(&mut self, reason: u8, class: Class) {
        if !self.allows() {
            self.applied = Said::NOTHING;
            self.applied_why = reason;
            self.class = class;
        }
    }

    #[inline(always)]
    pub fn allows(&self) -> bool {
        self.applied_why & why::DENY == 0
    }
}
