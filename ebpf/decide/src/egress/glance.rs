//! The first look at a packet.

use egret_abi::{Class, Counter, Generation, OwnKey, PROBE, Tick, WorkloadIndex};

use super::judge::ruleset_of;
use super::{Glance, Pending};
use crate::Tables;
use crate::inbound::{self, InboundKey};
use crate::parse::{self, FlowKey, Packet, Parsed, TCP};
use crate::probe;

/// The hot path: one parse, one look-up.
#[inline(always)]
pub fn glance<T: Tables, P: Packet>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    ethertype: u16,
) -> Glance {
    let Some(generation) = tables.generation(workload) else { return Glance::Pass };
    match ethertype {
        parse::IPV4 => {
            if let Some(key) = parse::established4(packet) {
                match hit(tables, workload, &key, generation, packet.length()) {
                    Hit::Pass => return Glance::Pass,
                    Hit::Miss if key.is_inbound(tables, workload) => return Glance::Pass,
                    Hit::Miss | Hit::Stale(_) => {}
                }
            }
            let parsed = parse::ipv4(packet);
            look(tables, packet, workload, generation, parsed).map_or(Glance::Pass, Glance::Judge4)
        }
        parse::IPV6 => {
            let parsed = parse::ipv6(packet);
            look(tables, packet, workload, generation, parsed).map_or(Glance::Pass, Glance::Judge6)
        }
        parse::ARP => Glance::Pass,
        PROBE if probe::is_awaited(tables, packet, workload, probe::Way::Out) => Glance::Drop,
        _ if ruleset_of(tables, generation).enforced != 0 => {
            tables.count(Counter::Unparsed);
            Glance::Drop
        }
        _ => Glance::Pass,
    }
}

/// `None`: it goes on.
#[inline(always)]
fn look<T: Tables, P: Packet, K: InboundKey + Default>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    generation: Generation,
    parsed: Parsed<K>,
) -> Option<Pending<K>> {
    let mut pending = Pending {
        generation,
        workload,
        class: Class::NONE,
        transport: 0,
        flags: 0,
        known: 0,
        unreadable: 0,
        zero: 0,
        key: K::default(),
    };
    let headers = match parsed {
        Parsed::Flow(headers) => headers,
        Parsed::Link => return None,
        Parsed::Unreadable(key) => {
            pending.key = key;
            pending.unreadable = 1;
            return Some(pending);
        }
    };
    // A query to a resolver is never answered from the flow cache: each one must be remembered, or its answer would
    // not be learned.
    let query = headers.is_query() && tables.trusts(&OwnKey { workload, address: headers.key.remote() });
    if !(headers.begins_connection() || query) {
        match hit(tables, workload, &headers.key, generation, packet.length()) {
            Hit::Pass => return None,
            Hit::Stale(class) => (pending.known, pending.class) = (1, class),
            Hit::Miss if inbound::answers(tables, packet, workload, &headers) => return None,
            Hit::Miss => {}
        }
    }
    pending.key = headers.key;
    pending.transport = headers.transport as u32;
    pending.flags = headers.flags;
    Some(pending)
}

enum Hit {
    Pass,
    Stale(Class),
    Miss,
}

/// The hot path: one look-up.
#[inline(always)]
fn hit<T: Tables, K: FlowKey>(
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
