//! What policy modules say, where rules do not decide: said before, or the packet waits for it.
//!
//! [`consult`] repeats a verdict that is known; where there is none, the packet goes on hold ([`enqueue`]) and is judged
//! again when it comes back. [`fail`] answers where nobody can be asked.

use egret_abi::{
    Asks, CachedVerdict, Counter, Flow6Key, PASSES_MAX, Tick, VerdictKey, WAITING_AT_MOST, WAITING_FOR,
    WAITING_GAP, Waiting, WorkloadIndex, action_reason as why, failure,
};

use super::findings::Findings;
use super::judge::{admit, refuse, remember, tell};
use super::report::report;
use super::verdicts::Verdicts;
use super::{Egress, Pending};
use crate::inbound::InboundKey;
use crate::parse::{self, FlowKey, Packet, TCP};
use crate::{Tables, budget};

/// Ticks after which a SYN that is sent again is put on hold again: by then the first one may be lost.
const AGAIN: Tick = Tick::lasting_seconds(1).minus(Tick(2));

/// Where a packet is that came back from the hold; all zero for one that was not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// How often it was there.
    pub passes: u32,
    /// Which one of the packets of its flow it is.
    pub sequence: u64,
}

impl Released {
    #[inline(always)]
    fn was_held(self) -> bool {
        self.passes != 0
    }
}

/// What becomes of a packet that is to be put on hold.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// It is the so-manieth of its flow.
    At(u64),
    /// Its like is there already, and it ends here.
    Repeated,
    /// Its workload has put too many there: [`fail`].
    Over,
    /// It was there too often: [`fail`].
    Enough,
}

/// Whether modules are asked about a destination, given what rules say of it.
#[inline(always)]
pub(super) fn asks(found: &Findings) -> bool {
    let (stages, applied, observed) =
        (found.ruleset.asks.of(found.kind), found.said.applied, found.said.observed);
    let is_silent = |said: egret_abi::Said| !said.allows() && !said.denies();
    (stages & Asks::ALWAYS != 0 && !(applied.denies() && observed.denies()))
        || (stages & Asks::UNMATCHED != 0 && (is_silent(applied) || is_silent(observed)))
}

/// Acts on what modules said before. `None`: nobody asked them yet, or packets of the same flow wait for it, and this
/// one must not go before them.
#[inline(always)]
pub fn consult<T: Tables, P: Packet, K: InboundKey>(
    tables: &T,
    packet: &P,
    pending: &Pending<K>,
    released: Released,
) -> Option<Egress> {
    let (workload, now, wide) = (pending.workload, tables.now(), pending.key.wide());
    let waiting = tables.waiting(workload, &wide).filter(|waiting| is_open(waiting, now)).unwrap_or_default();
    let has_waited = waiting.last != 0;
    if has_waited && !released.was_held() && !may_leave(tables, pending, &waiting, now) {
        return None;
    }
    let said = said(tables, pending, now)?;
    if !released.was_held() {
        tables.count(Counter::VerdictsUsed);
    }
    let verdicts = Verdicts::said(&said);
    // Alone it has nobody to overtake or be overtaken by. Of several each goes on by itself: a flow that is known would
    // let later packets by.
    let is_alone = !has_waited || (released.sequence == 1 && tables.end_waiting(workload, &wide, 1));
    if !is_alone && released.was_held() {
        pass(tables, workload, &wide, released, now);
    }
    if !verdicts.allows() {
        return Some(deny(tables, packet, pending, &verdicts, now));
    }
    if pending.known == 0 && (!has_waited || released.sequence == 1) {
        tell(tables, packet, pending, &verdicts, now);
    }
    if is_alone || !released.was_held() {
        remember(tables, packet, pending, &verdicts, now);
    }
    Some(Egress::Pass)
}

/// Notes that a packet from the hold goes on, and others may be behind it.
#[inline(always)]
fn pass<T: Tables>(tables: &T, workload: WorkloadIndex, flow: &Flow6Key, released: Released, now: Tick) {
    let at = tables.nanoseconds();
    tables.with_waiting(workload, flow, |waiting| {
        (waiting.passed, waiting.passed_at) = (released.sequence, at);
        if waiting.last == released.sequence && waiting.at_most == Tick::default() {
            waiting.at_most = now.plus(WAITING_AT_MOST);
        }
    });
}

/// Whether a packet need not go behind those of its flow that were on hold: all have gone on, long enough ago.
#[inline(always)]
fn may_leave<T: Tables, K: InboundKey>(
    tables: &T,
    pending: &Pending<K>,
    waiting: &Waiting,
    now: Tick,
) -> bool {
    if waiting.passed != waiting.last {
        return false;
    }
    let is_over = waiting.at_most != Tick::default() && now >= waiting.at_most;
    (is_over || tables.nanoseconds().saturating_sub(waiting.passed_at) >= WAITING_GAP)
        && tables.end_waiting(pending.workload, &pending.key.wide(), waiting.last)
}

/// Gives a packet its place among those of its flow that are on hold.
#[inline(always)]
pub fn enqueue<T: Tables, K: InboundKey>(tables: &T, pending: &Pending<K>, released: Released) -> Queued {
    let (workload, now, wide) = (pending.workload, tables.now(), pending.key.wide());
    if released.passes >= PASSES_MAX {
        return Queued::Enough;
    }
    if !released.was_held() {
        let repeats = pending.key.protocol() == TCP && parse::begins_connection(pending.flags);
        let is_fresh = |w: Waiting| is_open(&w, now) && now.plus(WAITING_FOR) < w.until.plus(AGAIN);
        if repeats && tables.waiting(workload, &wide).is_some_and(is_fresh) {
            tables.count(Counter::HoldsRepeated);
            return Queued::Repeated;
        }
        if !may_hold(tables, workload, now) {
            return Queued::Over;
        }
    }
    Queued::At(tables.wait(workload, &wide, now, now.plus(WAITING_FOR)))
}

/// Judges a packet that cannot go on hold, for `reason`: by what its modules said before, though it may overtake others
/// then, or else without them.
#[inline(always)]
pub fn fail<T: Tables, P: Packet, K: InboundKey>(
    tables: &T,
    packet: &P,
    pending: &Pending<K>,
    reason: u8,
) -> Egress {
    tables.count(if reason == why::OVER_QUOTA { Counter::HoldsOver } else { Counter::HoldsFailed });
    let now = tables.now();
    let verdicts = match said(tables, pending, now) {
        Some(said) => Some(Verdicts::said(&said)),
        None => tables.with_findings(|found| failed(found, reason)),
    };
    let Some(verdicts) = verdicts else { return Egress::Drop };
    if !verdicts.allows() {
        return deny(tables, packet, pending, &verdicts, now);
    }
    admit(tables, packet, pending, &verdicts, now);
    Egress::Pass
}

#[inline(always)]
fn is_open(waiting: &Waiting, now: Tick) -> bool {
    waiting.last < Waiting::OVER && now < waiting.until
}

/// What was said of the destination, or else of this flow alone.
#[inline(always)]
fn said<T: Tables, K: FlowKey>(tables: &T, pending: &Pending<K>, now: Tick) -> Option<CachedVerdict> {
    let key = &pending.key;
    let flow = VerdictKey {
        remote: key.remote(),
        remote_port: key.remote_port(),
        local_port: key.local_port(),
        protocol: key.rule_protocol().into(),
    };
    let live = |said: &CachedVerdict| said.epoch == pending.generation.epoch() && now < said.until;
    if let Some(said) = tables.verdict(pending.workload, &flow.for_all_flows())
        && live(&said)
    {
        return Some(said);
    }
    tables.verdict(pending.workload, &flow).filter(live)
}

#[inline(always)]
fn deny<T: Tables, P: Packet, K: InboundKey>(
    tables: &T,
    packet: &P,
    pending: &Pending<K>,
    verdicts: &Verdicts,
    now: Tick,
) -> Egress {
    tables.count(Counter::Denied);
    report(tables, packet, pending, verdicts, now);
    let silent = tables.with_findings(|found| found.ruleset.silent).unwrap_or(1);
    refuse(tables, pending, silent, now)
}

/// What rules say stays where they deny; what they leave open, or modules may veto, is up to the failure policy.
#[inline(always)]
pub(super) fn failed(found: &Findings, reason: u8) -> Verdicts {
    let mut verdicts = Verdicts::of(found);
    let ruleset = &found.ruleset;
    for (said, why, wanted) in [
        (found.said.applied, &mut verdicts.applied_why, ruleset.applied_failure),
        (found.said.observed, &mut verdicts.observed_why, ruleset.observed_failure),
    ] {
        if wanted == failure::DENY && !said.denies() {
            *why = why::DENY | reason;
        } else if wanted == failure::ALLOW && !said.denies() && !said.allows() {
            *why = reason;
        }
    }
    verdicts
}

#[inline(always)]
fn may_hold<T: Tables>(tables: &T, workload: WorkloadIndex, now: Tick) -> bool {
    let rate = tables.config().holds;
    tables.with_budget(workload, |b| budget::take(&mut b.holds_at, &mut b.holds, now, rate)).unwrap_or(false)
}
