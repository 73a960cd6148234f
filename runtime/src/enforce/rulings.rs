//! The hand on what modules said: verdicts in words in, entries of VERDICTS out.

use egret_abi::{CachedVerdict, Epoch, Said, Tick, VerdictKey, WorkloadIndex, action_reason as why};

use super::RuleNames;
use crate::kernel::maps::Verdicts as Maps;
use crate::kernel::{KernelError, Pins};
use crate::model::{Action, Reason, Verdict, Verdicts};
use crate::policy::RuleRef;

/// Writes what modules said, and rules with them. Shared behind a lock; every call is short.
pub struct Rulings {
    maps: Maps,
    rules: RuleNames,
}

impl Rulings {
    /// Opens the pinned maps; `rules` are the numbers in use.
    ///
    /// # Errors
    /// What the kernel said; the same for every method.
    pub fn open(pins: &Pins, rules: RuleNames) -> Result<Self, KernelError> {
        Ok(Self { maps: Maps::open(pins)?, rules })
    }

    /// Makes room for the verdicts of a workload, before a ruleset with modules is in force for it.
    pub fn make_room(&mut self, workload: WorkloadIndex) -> Result<(), KernelError> {
        self.maps.make_room(workload)
    }

    /// Gives the room back.
    pub fn take_room(&mut self, workload: WorkloadIndex) -> Result<(), KernelError> {
        self.maps.take_room(workload)
    }

    /// Writes the verdicts on `key`, given in `epoch`, good until `until`.
    pub fn write(
        &mut self,
        workload: WorkloadIndex,
        key: VerdictKey,
        (epoch, until): (Epoch, Tick),
        verdicts: &Verdicts,
    ) -> Result<(), KernelError> {
        let (applied, applied_why) = self.encode(&verdicts.applied);
        let (observed, observed_why) = self.encode(&verdicts.observed);
        let verdict =
            CachedVerdict { epoch, until, applied, observed, applied_why, observed_why, zero: [0; 2] };
        self.maps.write(workload, key, verdict)
    }

    fn encode(&self, verdict: &Verdict) -> (Said, u8) {
        let is_denied = verdict.action == Action::Deny;
        let id = verdict.policy.as_ref().zip(verdict.rule.as_ref()).and_then(|(policy, rule)| {
            let Ok(policy) = policy.parse();
            self.rules.id(&RuleRef { policy, rule: rule.clone() })
        });
        let said = id.map_or(Said::NOTHING, |id| if is_denied { Said::deny(id) } else { Said::allow(id) });
        (said, reason(verdict.reason) | if is_denied { why::DENY } else { 0 })
    }
}

fn reason(reason: Reason) -> u8 {
    match reason {
        Reason::Established => why::ESTABLISHED,
        Reason::Reply => why::REPLY,
        Reason::Rule => why::RULE,
        Reason::Module => why::MODULE,
        Reason::DefaultDeny => why::DEFAULT_DENY,
        Reason::NotEnforced => why::NOT_ENFORCED,
        Reason::Unmanaged => why::UNMANAGED,
        Reason::ExpiredName => why::EXPIRED_NAME,
        Reason::SpoofedSource => why::SPOOFED_SOURCE,
        Reason::ForgedAnswer => why::FORGED_ANSWER,
        Reason::Unparsed => why::UNPARSED,
        Reason::HeldTimeout => why::HELD_TIMEOUT,
        Reason::OverQuota => why::OVER_QUOTA,
        Reason::MapFull => why::MAP_FULL,
    }
}
