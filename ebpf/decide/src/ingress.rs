//! What a workload is sent: connections that others begin, and the answers of its resolvers.

use egret_abi::{AT_HOST, Address, Counter, OwnKey, QueryKey, SEEN, WorkloadIndex};

use crate::inbound::{self, InboundKey};
use crate::parse::extensions;
use crate::parse::fragment::{fragment4, fragment6};
use crate::parse::{self, DNS, FlowKey, Headers, Packet, Parsed, TCP, UDP};
use crate::{Tables, question};

const UDP_HEADER: u32 = 8;
/// IPv6's fragment header.
const FRAGMENT: u8 = 44;

/// What to do with a packet toward a workload. It is never denied: Egret judges what workloads send.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingress {
    /// It goes on.
    Pass,
    /// A message from a trusted resolver: [`is_asked_for`] tells whether it is held until its bindings are in the map.
    Answer(Exchange),
    /// A TCP segment from port 53 of a trusted resolver: [`Segment::speaks`] tells whether it is held.
    Segment(Segment),
    /// A packet of a trusted resolver that shows no ports: [`piece`] tells whether it is part of an answer.
    Piece(WorkloadIndex),
}

/// What a packet without ports from a trusted resolver is.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The first fragment of what may be an answer: [`is_asked_for`] tells.
    First(Exchange),
    /// A later fragment of some datagram.
    Later,
    /// Nothing of that kind.
    Other,
}

/// A TCP segment between a workload and port 53 of a resolver that it trusts, either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Segment {
    /// Whose it is.
    pub workload: WorkloadIndex,
    /// Where its TCP header starts.
    pub transport: u32,
}

impl Segment {
    /// Whether it says anything: it has data, or opens or ends the stream. A mere acknowledgement may count as one that
    /// speaks, where its frame was filled up to the least length; no harm comes of that.
    #[inline(always)]
    pub fn speaks<P: Packet>(&self, packet: &P) -> bool {
        let transport = self.transport as usize;
        let Some([words, flags]) = packet.read::<2>(transport + 12) else { return false };
        let end = transport + (words >> 4) as usize * 4;
        flags & parse::FIN_SYN_RST != 0 || packet.length() as usize > end
    }
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

/// Whether this door looks at a packet that comes to a workload. Where nothing is delivered past the host side of pairs, it
/// is the one there: inside, a workload that may redirect packets makes its own look like the world's. Else the one
/// inside looks too, at what a device of the node has seen (`is_seen`).
#[inline(always)]
pub fn is_watched<T: Tables>(tables: &T, door: u32, is_seen: impl FnOnce() -> bool) -> bool {
    let says = tables.config().door;
    says == door || (says == SEEN && (door == AT_HOST || is_seen()))
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
        parse::IPV4 => match parse::ipv4(packet) {
            Parsed::Flow(headers) => look(tables, packet, workload, &headers),
            Parsed::Fragment => first(tables, packet, workload, fragment4(packet)),
            Parsed::Unreadable(key) => portless(tables, workload, &key),
            Parsed::Link(_) => Ingress::Pass,
        },
        parse::IPV6 => match parse::ipv6(packet) {
            Parsed::Flow(headers) => look(tables, packet, workload, &headers),
            Parsed::Fragment => first(tables, packet, workload, fragment6(packet)),
            Parsed::Unreadable(key) => portless(tables, workload, &key),
            Parsed::Link(_) => Ingress::Pass,
        },
        _ => Ingress::Pass,
    }
}

/// The first piece of a packet speaks for all of it.
#[inline(always)]
fn first<T: Tables, P: Packet, K: InboundKey>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    piece: parse::fragment::Piece<K>,
) -> Ingress {
    use parse::fragment::Piece::{First, Later, Unreadable, Whole};
    match piece {
        Whole(headers) | First { headers, .. } => look(tables, packet, workload, &headers),
        Later { key, .. } | Unreadable(key) => portless(tables, workload, &key),
    }
}

/// A packet that shows no ports may be part of an answer.
#[inline(always)]
fn portless<T: Tables, K: FlowKey>(tables: &T, workload: WorkloadIndex, key: &K) -> Ingress {
    if tables.trusts(&OwnKey { workload, address: key.local() }) {
        Ingress::Piece(workload)
    } else {
        Ingress::Pass
    }
}

#[inline(always)]
fn look<T: Tables, P: Packet, K: InboundKey>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    headers: &Headers<K>,
) -> Ingress {
    let protocol = headers.key.protocol();
    if protocol == TCP && !headers.begins_connection() {
        if headers.key.local_port() == DNS
            && tables.trusts(&OwnKey { workload, address: headers.key.local() })
        {
            return Ingress::Segment(Segment { workload, transport: headers.transport as u32 });
        }
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
        inbound::note(tables, packet, workload, headers, &key);
    }
    Ingress::Pass
}

/// Reads a packet of `ethertype` for which [`to_pod`] said [`Ingress::Piece`].
#[inline(always)]
pub fn piece<P: Packet>(packet: &P, workload: WorkloadIndex, ethertype: u16) -> Piece {
    match ethertype {
        parse::IPV4 => piece4(packet),
        parse::IPV6 => piece6(packet, workload).unwrap_or(Piece::Other),
        _ => Piece::Other,
    }
}

/// The first fragment shows its ports, and is read like a whole packet.
#[inline(always)]
fn piece4<P: Packet>(packet: &P) -> Piece {
    match packet.read::<4>(parse::LINK + 6) {
        Some([high, low, _, UDP]) if u16::from_be_bytes([high, low]) & 0x1fff != 0 => Piece::Later,
        _ => Piece::Other,
    }
}

#[inline(always)]
fn piece6<P: Packet>(packet: &P, workload: WorkloadIndex) -> Option<Piece> {
    let (next, at) = extensions::skip(packet, packet.read::<2>(parse::LINK + 6)?[0], parse::LINK + 40)?;
    let at = packet.forget(at);
    let [protocol, _, high, low] = packet.read::<4>(at)?;
    if next != FRAGMENT || protocol != UDP {
        return None;
    }
    if u16::from_be_bytes([high, low]) & 0xfff8 != 0 {
        return Some(Piece::Later);
    }
    let transport = at + 8;
    let [from0, from1, local_port @ ..] = packet.read::<4>(transport)?;
    let exchange = Exchange {
        workload,
        message: transport as u32 + UDP_HEADER,
        resolver: Address(packet.read::<16>(parse::LINK + 8)?),
        local: Address(packet.read::<16>(parse::LINK + 24)?),
        local_port,
        zero: [0; 6],
    };
    ([from0, from1] == DNS).then_some(Piece::First(exchange))
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
