//! The judgement of a packet whose flow is not known.

use egret_abi::{
    Counter, Flow, Generation, OwnKey, Query, Ruleset, Tick, WorkloadIndex, action_reason as why,
};

use super::consult::asks;
use super::findings::look_up;
use super::report::{report, spoofed};
use super::verdicts::Verdicts;
use super::{Egress, Pending, Verdict};
use crate::inbound::{self, InboundKey};
use crate::ingress::Segment;
use crate::parse::{self, DNS, FlowKey, Packet, TCP, UDP};
use crate::{Exchange, Tables, budget, question};

/// Judges a packet whose flow is not known, or of an older epoch.
#[inline(always)]
pub fn judge<T: Tables, P: Packet, K: InboundKey>(tables: &T, packet: &P, pending: &Pending<K>) -> Verdict {
    let key = &pending.key;
    if pending.unreadable != 0 {
        return Verdict::Act(unreadable(tables, packet, pending));
    }
    if !tables.owns(&OwnKey { workload: pending.workload, address: key.local() }) {
        return Verdict::Act(spoofed(tables, packet, pending));
    }
    if key.remote_port() == DNS
        && (key.protocol() == UDP || key.protocol() == TCP)
        && tables.trusts(&OwnKey { workload: pending.workload, address: key.remote() })
    {
        // Of a question in pieces, the answer is not learned: nobody asks that much.
        if pending.is_followed() {
            tables.count(Counter::Allowed);
            report(tables, packet, pending, &Verdicts::resolver(), tables.now());
            return Verdict::Act(Egress::Pass);
        }
        if key.protocol() == UDP {
            return Verdict::Query(Exchange::of(pending.workload, key, pending.transport));
        }
        if parse::begins_connection(pending.flags) {
            tables.count(Counter::Allowed);
            report(tables, packet, pending, &Verdicts::resolver(), tables.now());
        }
        // No flow is made of it: the flow cache would let the questions by.
        return Verdict::Asking(Segment { workload: pending.workload, transport: pending.transport });
    }
    let ruleset = ruleset_of(tables, pending.generation);
    let now = tables.now();
    if pending.known != 0 && is_arming(tables, pending.generation, now) {
        return Verdict::Act(Egress::Pass);
    }
    tables.with_findings(|found| look_up(tables, pending, ruleset, now, found));
    Verdict::Settle
}

/// Acts on what [`judge`] found.
///
/// `None`: policy modules have a say, see [`super::consult()`].
#[inline(always)]
pub fn settle<T: Tables, P: Packet, K: InboundKey>(
    tables: &T,
    packet: &P,
    pending: &Pending<K>,
) -> Option<Egress> {
    let found = tables.with_findings(|found| (Verdicts::of(found), found.ruleset.silent, asks(found)));
    let Some((mut verdicts, silent, asks)) = found else { return Some(Egress::Drop) };
    let now = tables.now();
    if is_arming(tables, pending.generation, now) {
        verdicts.spare(why::NOT_ENFORCED, verdicts.class);
    } else if pending.known != 0 && tables.config().keep != 0 {
        verdicts.spare(why::ESTABLISHED, pending.class);
    } else if asks {
        return None;
    }
    if verdicts.allows() {
        admit(tables, packet, pending, &verdicts, now);
        return Some(Egress::Pass);
    }
    tables.count(Counter::Denied);
    report(tables, packet, pending, &verdicts, now);
    Some(refuse(tables, pending, silent, now))
}

/// Remembers a question, so that its answer will be learned.
#[inline(always)]
pub fn remember_query<T: Tables, P: Packet>(tables: &T, packet: &P, exchange: &Exchange) {
    tables.count(Counter::Queries);
    let message = exchange.message as usize;
    let Some(question) = question::hash(packet, message) else { return };
    let Some(id) = packet.read::<2>(message) else { return };
    if !tables.remember_query(exchange.workload, &exchange.key(id), &Query { question }) {
        tables.count(Counter::QueriesFull);
    }
}

/// How a denied packet ends.
#[inline(always)]
pub(super) fn refuse<T: Tables, K: InboundKey>(
    tables: &T,
    pending: &Pending<K>,
    silent: u8,
    now: Tick,
) -> Egress {
    let transport = pending.transport as usize;
    match pending.key.protocol() {
        // Silence is for what is tried. A connection that a change of policy ends is ended for both sides, and its
        // workload's own reset is the last that is sent of it.
        TCP if pending.known != 0 => {
            tables.count(Counter::Cut);
            if parse::is_reset(pending.flags) {
                pending.key.forget(tables, pending.workload);
            }
            Egress::Cut { transport }
        }
        _ if silent != 0 => Egress::Drop,
        TCP if !parse::is_reset(pending.flags) => Egress::Reset { transport },
        UDP if pending.is_quotable() && may_refuse(tables, pending.workload, now) => {
            Egress::Unreachable { transport }
        }
        _ => Egress::Drop,
    }
}

/// Remembers a flow that may go on, and tells it; one that is judged again keeps its counts and is not told.
#[inline(always)]
pub(super) fn admit<T: Tables, P: Packet, K: FlowKey>(
    tables: &T,
    packet: &P,
    pending: &Pending<K>,
    verdicts: &Verdicts,
    now: Tick,
) {
    if !remember(tables, packet, pending, verdicts, now) {
        tell(tables, packet, pending, verdicts, now);
    }
}

/// Remembers a flow that may go on; whether it is one that was known, and keeps its counts.
#[inline(always)]
pub(super) fn remember<T: Tables, P: Packet, K: FlowKey>(
    tables: &T,
    packet: &P,
    pending: &Pending<K>,
    verdicts: &Verdicts,
    now: Tick,
) -> bool {
    let key = &pending.key;
    let until = if key.protocol() == TCP { Tick::NEVER } else { now.plus(tables.config().idle) };
    let bytes = packet.length() as u64;
    let renew = |flow: &mut Flow| {
        flow.epoch = pending.generation.epoch();
        flow.until = until;
        flow.applied = verdicts.applied;
        flow.observed = verdicts.observed;
        flow.applied_why = verdicts.applied_why;
        flow.observed_why = verdicts.observed_why;
        flow.class = verdicts.class;
        flow.packets += 1;
        flow.bytes += bytes;
    };
    if pending.known != 0 && key.with_flow(tables, pending.workload, renew).is_some() {
        return true;
    }
    let mut flow = Flow::default();
    renew(&mut flow);
    if !key.remember(tables, pending.workload, &flow) {
        tables.count(Counter::FlowsFull);
    }
    false
}

/// Tells of a first packet that goes on.
#[inline(always)]
pub(super) fn tell<T: Tables, P: Packet, K: FlowKey>(
    tables: &T,
    packet: &P,
    pending: &Pending<K>,
    verdicts: &Verdicts,
    now: Tick,
) {
    tables.count(Counter::Allowed);
    report(tables, packet, pending, verdicts, now);
}

/// What cannot be read is denied where a policy is in force, and told where one on trial would deny it. Its source,
/// where there is one, must be the sender's own like any other: pieces put together again are as good as a whole
/// datagram.
#[inline(always)]
fn unreadable<T: Tables, P: Packet, K: InboundKey>(tables: &T, packet: &P, pending: &Pending<K>) -> Egress {
    let ruleset = ruleset_of(tables, pending.generation);
    let (mut verdicts, local) = (Verdicts::denied(why::UNPARSED), pending.key.local());
    if !pending.key.is_homeless() && !tables.owns(&OwnKey { workload: pending.workload, address: local }) {
        return spoofed(tables, packet, pending);
    }
    if ruleset.unmanaged != 0 || follows_its_flow(tables, packet, pending) {
        return Egress::Pass;
    }
    if ruleset.enforced != 0 {
        tables.count(Counter::Unparsed);
    } else {
        verdicts.applied_why = why::NOT_ENFORCED;
    }
    report(tables, packet, pending, &verdicts, tables.now());
    if verdicts.allows() { Egress::Pass } else { Egress::Drop }
}

/// Whether it is an ICMP error about a flow that may pass.
#[inline(always)]
fn follows_its_flow<T: Tables, P: Packet, K: InboundKey>(
    tables: &T,
    packet: &P,
    pending: &Pending<K>,
) -> bool {
    let Some(quoted) = pending.key.quoted(packet) else { return false };
    let epoch = pending.generation.epoch();
    let own = quoted.with_flow(tables, pending.workload, |flow| flow.epoch == epoch);
    own.unwrap_or_else(|| inbound::is_answered(tables, pending.workload, &quoted))
}

/// Whether nothing is denied to the workload yet. Not for longer than the agent said: it may have ended since.
#[inline(always)]
fn is_arming<T: Tables>(tables: &T, generation: Generation, now: Tick) -> bool {
    generation.is_arming() && now < tables.config().arming_until
}

/// A workload's ruleset; one that is not there denies everything.
#[inline(always)]
pub(super) fn ruleset_of<T: Tables>(tables: &T, generation: Generation) -> Ruleset {
    let closed =
        Ruleset { applied_default: [1; 3], observed_default: [1; 3], enforced: 1, ..Ruleset::default() };
    tables.ruleset(generation.ruleset()).unwrap_or(closed)
}

#[inline(always)]
fn may_refuse<T: Tables>(tables: &T, workload: WorkloadIndex, now: Tick) -> bool {
    let rate = tables.config().refusals;
    let may = tables.with_budget(workload, |b| budget::take(&mut b.refusals_at, &mut b.refusals, now, rate));
    let may = may.unwrap_or(false);
    tables.count(if may { Counter::Icmp } else { Counter::RefusalsOver });
    may
}
