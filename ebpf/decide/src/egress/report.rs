//! What is told of a packet.

use egret_abi::{Counter, Event, Tick, action_reason as why};

use super::verdicts::Verdicts;
use super::{Egress, Pending};
use crate::parse::{DNS, FlowKey, Packet, UDP};
use crate::{Tables, budget};

/// Dropped for unmanaged workloads too: what others believe of an address must come from its owner.
#[inline(always)]
pub(super) fn spoofed<T: Tables, P: Packet, K: FlowKey>(
    tables: &T,
    packet: &P,
    pending: &Pending<K>,
) -> Egress {
    tables.count(Counter::Spoofed);
    let forged = pending.key.local_port() == DNS && pending.key.protocol() == UDP;
    let reason = if forged { why::FORGED_ANSWER } else { why::SPOOFED_SOURCE };
    report(tables, packet, pending, &Verdicts::denied(reason), tables.now());
    Egress::Drop
}

#[inline(always)]
pub(super) fn report<T: Tables, P: Packet, K: FlowKey>(
    tables: &T,
    packet: &P,
    pending: &Pending<K>,
    verdicts: &Verdicts,
    now: Tick,
) {
    let (rate, workload, key) = (tables.config().events, pending.workload, &pending.key);
    let may = tables.with_budget(workload, |b| budget::take(&mut b.events_at, &mut b.events, now, rate));
    if may != Some(true) {
        tables.count(Counter::EventsOver);
        return;
    }
    tables.report(|| Event {
        time: tables.nanoseconds(),
        generation: pending.generation,
        workload,
        length: packet.length(),
        applied: verdicts.applied,
        observed: verdicts.observed,
        class: verdicts.class,
        local_port: key.local_port(),
        remote_port: key.remote_port(),
        local: key.local(),
        remote: key.remote(),
        protocol: key.protocol(),
        applied_why: verdicts.applied_why,
        observed_why: verdicts.observed_why,
        zero: [0; 5],
    });
}
