//! What a workload is sent: connections that others begin, and the answers of its resolvers.

use egret_abi::{Address, Counter, OwnKey, QueryKey, WorkloadIndex};

use crate::inbound::{self, InboundKey};
use crate::parse::{self, DNS, FlowKey, Packet, Parsed, TCP, UDP};
use crate::{Tables, question};

const UDP_HEADER: u32 = 8;

/// What to do with a packet toward a workload. It is never denied: Egret judges what workloads send.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingress {
    /// It goes on.
    Pass,
    /// A message from a trusted resolver: [`is_asked_for`] tells whether it is held until its bindings are in the map.
    Answer(Exchange),
}

/// One side of a question and its answer, on its way to a program of its own; see [`crate::egress::Pending`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Exchange {
    /// Who asks.
    pub workload: WorkloadIndex,
    /// Where the DNS message starts.
    pub message: u32,
    /// The resolver.
    pub resolver: Address,
    /// The workload's own address.
    pub local: Address,
    /// The workload's own port.
    pub local_port: [u8; 2],
    /// Zero.
    pub zero: [u8; 6],
}

impl Exchange {
    /// The exchange of a datagram whose UDP header starts at `transport`; `key` as the workload sees it.
    #[inline(always)]
    pub fn of<K: FlowKey>(workload: WorkloadIndex, key: &K, transport: u32) -> Self {
        Self {
            workload,
            message: transport + UDP_HEADER,
            resolver: key.remote(),
            local: key.local(),
            local_port: key.local_port(),
            zero: [0; 6],
        }
    }

    /// Its key in QUERIES.
    #[inline(always)]
    pub fn key(&self, id: [u8; 2]) -> QueryKey {
        QueryKey { resolver: self.resolver, local: self.local, local_port: self.local_port, id }
    }
}

/// Looks at a packet of `ethertype` (host order) toward `workload`.
#[inline(always)]
pub fn to_pod<T: Tables, P: Packet>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    ethertype: u16,
) -> Ingress {
    match ethertype {
        parse::IPV4 => look(tables, packet, workload, parse::ipv4(packet)),
        parse::IPV6 => look(tables, packet, workload, parse::ipv6(packet)),
        _ => Ingress::Pass,
    }
}

#[inline(always)]
fn look<T: Tables, P: Packet, K: InboundKey>(
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
        return Ingress::Answer(Exchange::of(workload, &key, headers.transport as u32));
    }
    if headers.request {
        inbound::note(tables, packet, workload, &headers, &key);
    }
    Ingress::Pass
}

/// Whether the workload asked for this answer; the question counts once.
#[inline(always)]
pub fn is_asked_for<T: Tables, P: Packet>(tables: &T, packet: &P, exchange: &Exchange) -> bool {
    let message = exchange.message as usize;
    let asked = question::hash(packet, message).is_some_and(|question| {
        let query =
            packet.read::<2>(message).and_then(|id| tables.take_query(exchange.workload, &exchange.key(id)));
        query.is_some_and(|query| query.question == question)
    });
    if !asked {
        tables.count(Counter::AnswersUnasked);
    }
    asked
}
