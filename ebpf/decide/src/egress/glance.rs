//! The first look at a packet.

use egret_abi::{Class, Flow6Key, Generation, OwnKey, PROBE, Tick, WorkloadIndex};

use super::{Onward, Pending, Steps};
use crate::Tables;
use crate::inbound::{self, InboundKey};
use crate::parse::{self, FlowKey, Headers, Packet, Parsed, TCP};
use crate::probe;

/// The hot path: one parse, one look-up. True: nobody judges it, or its flow is known, and it goes on; else it went
/// onward by `steps`.
#[inline(always)]
pub fn glance<T: Tables, P: Packet>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    ethertype: u16,
    steps: &impl Steps,
) -> bool {
    let Some(generation) = tables.generation(workload) else { return true };
    match ethertype {
        parse::IPV4 => {
            if let Some(key) = parse::established4(packet) {
                match hit(tables, workload, &key, generation, packet.length()) {
                    Hit::Pass => return true,
                    Hit::Miss if key.is_inbound(tables, workload) => return true,
                    Hit::Miss | Hit::Stale(_) => {}
                }
            }
            match parse::ipv4(packet) {
                Parsed::Flow(headers) => {
                    let judge = |pending| steps.go(Onward::Judge4(pending));
                    return look(tables, packet, workload, generation, &headers, judge);
                }
                Parsed::Link(headers) => steps.go(Onward::Link4(Pending::of(generation, workload, &headers))),
                Parsed::Fragment => steps.go(Onward::Fragment4),
                Parsed::Unreadable(key) => {
                    steps.go(Onward::Judge4(Pending::unreadable(generation, workload, key)))
                }
            }
        }
        parse::IPV6 => match parse::ipv6(packet) {
            Parsed::Flow(headers) => {
                let judge = |pending| steps.go(Onward::Judge6(pending));
                return look(tables, packet, workload, generation, &headers, judge);
            }
            Parsed::Link(headers) => steps.go(Onward::Link6(Pending::of(generation, workload, &headers))),
            Parsed::Fragment => steps.go(Onward::Fragment6),
            Parsed::Unreadable(key) => {
                steps.go(Onward::Judge6(Pending::unreadable(generation, workload, key)))
            }
        },
        parse::ARP => steps.go(Onward::Arp),
        PROBE if probe::is_awaited(tables, packet, workload, probe::Way::Out) => {}
        _ => steps.go(Onward::Judge6(Pending::unreadable(generation, workload, Flow6Key::default()))),
    }
    false
}

/// True: its flow is known, and it goes on; else it went to `judge`.
#[inline(always)]
pub(super) fn look<T: Tables, P: Packet, K: InboundKey>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    generation: Generation,
    headers: &Headers<K>,
    judge: impl FnOnce(Pending<K>),
) -> bool {
    let mut pending = Pending::of(generation, workload, headers);
    // A query to a resolver is never answered from the flow cache: each one must be remembered, or its answer would
    // not be learned.
    let query = headers.is_query() && tables.trusts(&OwnKey { workload, address: headers.key.remote() });
    if !(headers.begins_connection() || query) {
        match hit(tables, workload, &headers.key, generation, packet.length()) {
            Hit::Pass => return true,
            Hit::Stale(class) => (pending.known, pending.class) = (1, class),
            Hit::Miss if inbound::answers(tables, packet, workload, headers) => return true,
            Hit::Miss => {}
        }
    }
    judge(pending);
    false
}

/// What is known of a flow.
pub(super) enum Hit {
    /// It may go on.
    Pass,
    /// It is of an older epoch, and was admitted by this class.
    Stale(Class),
    /// Nothing.
    Miss,
}

/// The hot path: one look-up.
#[inline(always)]
pub(super) fn hit<T: Tables, K: FlowKey>(
    tables: &T,
    workload: WorkloadIndex,
    key: &K,
    generation: Generation,
    bytes: u32,
) -> Hit {
    let hit = key.with_flow(tables, workload, |flow| {
        // A flow without an end, as TCP's are, asks for no clock.
        if flow.until != Tick::NEVER {
            let now = tables.now();
            // A flow that ran out is a new one.
            if now >= flow.until {
                return Hit::Miss;
            }
            if key.protocol() != TCP && flow.epoch == generation.epoch() {
                flow.until = now.plus(tables.config().idle);
            }
        }
        // One of an older epoch is asked again whether its rule still stands.
        if flow.epoch != generation.epoch() {
            return Hit::Stale(flow.class);
        }
        flow.packets += 1;
        flow.bytes += bytes as u64;
        Hit::Pass
    });
    hit.unwrap_or(Hit::Miss)
}
