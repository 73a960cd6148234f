//! What the rules say of a destination: by address, by the name that admitted a known flow, by the names it is bound to.

use egret_abi::{Class, Dest, OwnKey, RuleKey, RuleValue, Ruleset, Said, Slot, Tick};

use super::Pending;
use crate::Tables;
use crate::parse::{self, FlowKey, TCP};

/// What rules say of a destination, on its way from [`super::judge()`] to [`super::settle`]: part of the ABI, as what
/// steps hand over is, though it is no type of `egret_abi`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Findings {
    pub(super) said: RuleValue,
    /// What rules would say if no binding had expired.
    pub(super) expired: RuleValue,
    pub(super) class: Class,
    /// 1: of the names in hand, `class` is one that Kubernetes' policies accept.
    pub(super) accepted: u32,
    pub(super) kind: u32,
    /// The defaults, which count where no rule speaks.
    pub(super) ruleset: Ruleset,
}

/// Names first: where they allow in both verdicts, and no rule could deny the address, its range need not be looked up.
#[inline(always)]
pub(super) fn look_up<T: Tables, K: FlowKey>(
    tables: &T,
    pending: &Pending<K>,
    ruleset: Ruleset,
    now: Tick,
    found: &mut Findings,
) {
    *found = Findings { ruleset, ..Findings::default() };
    let says = |class: Class| {
        let (key, ruleset) = (&pending.key, pending.generation.ruleset());
        tables.rule(&RuleKey::new(ruleset, class, key.rule_protocol(), key.remote_port())).unwrap_or_default()
    };
    if pending.class.is_name() {
        found.add(pending.class, says(pending.class));
    }
    if ruleset.nameless == 0 {
        by_names(tables, pending, now, found, says);
    }
    let allowed = found.said.applied.allows() && found.said.observed.allows();
    if allowed && ruleset.denies_ranges == 0 && !ruleset.asks.has_always() {
        return;
    }
    let dest = pending.key.dest(pending.generation.ruleset());
    let Dest { class, kind } = tables.dest(&dest).unwrap_or_default();
    found.kind = kind;
    if class != Class::NONE {
        found.add(class, says(class));
    }
    found.ask_tiers();
}

#[inline(always)]
fn by_names<T: Tables, K: FlowKey>(
    tables: &T,
    pending: &Pending<K>,
    now: Tick,
    found: &mut Findings,
    says: impl Fn(Class) -> RuleValue,
) {
    let own = OwnKey { workload: pending.workload, address: pending.key.remote() };
    let Some(binding) = tables.binding(&own) else { return };
    // A connection under way may use a name for a while after it expired; a new one may not.
    let begins = parse::begins_connection(pending.flags) || pending.key.protocol() != TCP;
    let limit = if pending.known != 0 || !begins { now.minus(tables.config().flow_grace) } else { now };
    for Slot { class, until } in &binding.slots {
        if *class == Class::NONE {
            continue;
        }
        let said = says(*class);
        if *until > limit {
            found.add(*class, said);
        } else {
            found.expired.applied = found.expired.applied.and(said.applied);
            found.expired.observed = found.expired.observed.and(said.observed);
        }
    }
}

impl Findings {
    #[inline(always)]
    fn add(&mut self, class: Class, said: RuleValue) {
        // The class whose rule, of a policy in force, is the one told; else of a policy on trial, so that a connection
        // begun under Observe is known by its name when enforcement is switched on. A name that Kubernetes' policies
        // accept before it: what Egret's allow as well is told by the narrower of two names, where one holds the other.
        let admits = said.applied.allows() && said.applied.0 > self.said.applied.0;
        let would = said.observed.allows() && said.observed.0 > self.said.observed.0;
        let accepts = class.is_name() && (said.tiers[0].speaks() || said.tiers[1].speaks());
        let would = would && !self.said.applied.allows();
        if (admits || would || (accepts && self.accepted == 0)) && (accepts || self.accepted == 0) {
            self.class = class;
        }
        self.accepted |= accepts as u32;
        self.said.applied = self.said.applied.and(said.applied);
        self.said.observed = self.said.observed.and(said.observed);
        self.said.tiers[0] = self.said.tiers[0].or(said.tiers[0]);
        self.said.tiers[1] = self.said.tiers[1].or(said.tiers[1]);
    }

    /// What Kubernetes' policies say counts as what Egret's do: a denial, and where nothing of Egret's has a say, what is
    /// accepted.
    #[inline(always)]
    fn ask_tiers(&mut self) {
        let [first, next] = self.said.tiers;
        let decides = if first.accepts() || first.denies() { first } else { next };
        let tells = u32::from(self.ruleset.tells) >> (self.kind & 3);
        let with = |said: Said, tells: u32| match said {
            _ if decides.denies() && !said.denies() => Said::deny(decides.rule),
            Said::NOTHING if decides.accepts() && tells & 1 != 0 => Said::allow(decides.rule),
            _ => said,
        };
        self.said.applied = with(self.said.applied, tells);
        self.said.observed = with(self.said.observed, tells >> Ruleset::TELLS_OBSERVED);
    }
}
