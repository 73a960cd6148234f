//! What a workload is sent: connections that others begin, and the answers of its resolvers.

use egret_abi::{
    Counter, Direction, Flow, OwnKey, QueryKey, Said, Tick, WorkloadIndex, action_reason as why,
};

use crate::parse::{self, DNS, FlowKey, Headers, Packet, Parsed, TCP, UDP};
use crate::{Tables, question};

/// What to do with a packet toward a workload. It is never denied: Egret judges what workloads send.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingress {
    /// It goes on.
    Pass,
    /// An answer that the workload asked a trusted resolver for: it is held until its bindings are in the map.
    Learn,
}

/// Judges a packet of `ethertype` (host order) toward `workload`.
#[inline(always)]
pub fn to_pod<T: Tables, P: Packet>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    ethertype: u16,
) -> Ingress {
    match ethertype {
        parse::IPV4 => judge(tables, packet, workload, parse::ipv4(packet)),
        parse::IPV6 => judge(tables, packet, workload, parse::ipv6(packet)),
        _ => Ingress::Pass,
    }
}

#[inline(always)]
fn judge<T: Tables, P: Packet, K: FlowKey>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    parsed: Parsed<K>,
) -> Ingress {
    let Parsed::Flow(headers) = parsed else { return Ingress::Pass };
    let protocol = headers.key.protocol();
    if protocol == TCP && !headers.begins_connection() {
        return Ingress::Pass;
    }
    let key = headers.key.reversed();
    if protocol == UDP
        && key.remote_port() == DNS
        && tables.trusts(&OwnKey { workload, address: key.remote() })
    {
        return answer(tables, packet, workload, &headers, &key);
    }
    if headers.request {
        note_incoming(tables, workload, &key);
    }
    Ingress::Pass
}

#[inline(always)]
fn answer<T: Tables, P: Packet, K: FlowKey>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    headers: &Headers<K>,
    key: &K,
) -> Ingress {
    let message = headers.transport + 8;
    let asked = packet.read::<2>(message).and_then(|id| {
        let query = QueryKey { resolver: key.remote(), local: key.local(), local_port: key.local_port(), id };
        tables.take_query(workload, &query)
    });
    match (asked, question::hash(packet, message)) {
        (Some(query), Some(question)) if query.question == question => Ingress::Learn,
        _ => {
            tables.count(Counter::AnswersUnasked);
            Ingress::Pass
        }
    }
}

/// Somebody else begins a flow: what the workload sends back must pass, whatever its policy.
#[inline(always)]
fn note_incoming<T: Tables, K: FlowKey>(tables: &T, workload: WorkloadIndex, key: &K) {
    let until = if key.protocol() == TCP { Tick::NEVER } else { tables.now().plus(tables.config().idle) };
    let known = key.with_flow(tables, workload, |flow| {
        if flow.direction == Direction::In as u8 {
            flow.until = until;
        }
    });
    if known.is_some() {
        return;
    }
    let flow = Flow {
        until,
        direction: Direction::In as u8,
        applied: Said::NOTHING,
        applied_why: why::REPLY,
        observed_why: why::REPLY,
        ..Flow::default()
    };
    if !key.remember(tables, workload, &flow) {
        tables.count(Counter::FlowsFull);
    }
}
