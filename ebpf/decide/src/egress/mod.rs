//! What a workload sends.
//!
//! [`glance()`] is the hot path: one parse, one look-up of the flow. What it cannot settle goes to [`judge()`], which asks
//! what the rules say ([`findings`]); [`settle`] acts on it, and where policy modules have a say, [`consult()`]. What is rare goes aside: pieces of packets to [`fragment()`], what
//! keeps the link alive to [`link()`] and [`arp()`]. [`from_pod`] is all of it, for callers with one stack.

mod consult;
mod findings;
mod fragment;
mod glance;
mod judge;
mod link;
mod report;
pub mod socket;
mod verdicts;

use core::cell::Cell;

use egret_abi::{Class, Flow4Key, Flow6Key, Generation, WorkloadIndex, action_reason};

pub use consult::{Queued, Released, consult, enqueue, fail};
pub use findings::Findings;
pub use fragment::{PieceSteps, Pieced, Train, fragment, remember_train};
pub use glance::glance;
pub use judge::{judge, remember_query, settle};
pub use link::{arp, link};

use crate::inbound::InboundKey;
use crate::ingress::Segment;
use crate::parse::fragment::{fragment4, fragment6};
use crate::parse::{self, FlowKey, Headers, Packet};
use crate::{Exchange, Tables};

/// What to do with a packet from a workload.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Egress {
    /// It goes on.
    Pass,
    /// It ends here, in silence.
    Drop,
    /// It ends here, and its sender gets a TCP reset.
    Reset {
        /// Where its TCP header starts.
        transport: usize,
    },
    /// It goes on as a TCP reset, and its sender gets one too, unless it is one.
    Cut {
        /// Where its TCP header starts.
        transport: usize,
    },
    /// It ends here, and its sender gets an ICMP error: port unreachable.
    Unreachable {
        /// Where its UDP header starts.
        transport: usize,
    },
}

/// Where a packet goes that the first look does not settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// An IPv4 packet to be judged by [`judge()`].
    Judge4(Pending<Flow4Key>),
    /// An IPv6 packet to be judged by [`judge()`], or one that is neither.
    Judge6(Pending<Flow6Key>),
    /// A piece of an IPv4 packet, for [`fragment()`].
    Fragment4,
    /// A piece of an IPv6 packet, for [`fragment()`].
    Fragment6,
    /// What keeps the link alive over IPv4, for [`link()`].
    Link4(Pending<Flow4Key>),
    /// The same over IPv6.
    Link6(Pending<Flow6Key>),
    /// Address resolution, for [`arp()`].
    Arp,
}

/// Takes packets onward. It is called where the way is known, and not told later: LLVM merges the ways that return one
/// value of many shapes, and reads what was never written, which the verifier refuses.
pub trait Steps {
    /// Takes the packet there.
    fn go(&self, onward: Onward);
}

/// A packet on its way from [`glance`] to [`judge`] and [`settle`]: programs of their own, so that the verifier follows each once
/// and not once for every branch of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Pending<K> {
    /// The workload's epoch and ruleset, as the first look saw them.
    pub generation: Generation,
    /// Who sent it.
    pub workload: WorkloadIndex,
    /// The class that its flow was admitted by, where it is one of an older epoch; see `known`.
    pub class: Class,
    /// Where the transport header starts.
    pub transport: u32,
    /// TCP's flags.
    pub flags: u8,
    /// 1: the flow is one of an older epoch.
    pub known: u8,
    /// 1: the packet could not be read, and `key` has what is there of its addresses.
    pub unreadable: u8,
    /// Zero.
    pub zero: u8,
    /// Where it is the first piece of a packet, what all pieces have in common.
    pub id: u32,
    /// The bytes at its start that no later piece may be written over; 0: it is whole.
    pub guarded: u32,
    /// Its flow.
    pub key: K,
}

impl<K: FlowKey> Pending<K> {
    /// What was read of a packet.
    #[inline(always)]
    fn of(generation: Generation, workload: WorkloadIndex, headers: &Headers<K>) -> Self {
        Self {
            generation,
            workload,
            class: Class::NONE,
            transport: headers.transport as u32,
            flags: headers.flags,
            known: 0,
            unreadable: 0,
            zero: 0,
            id: 0,
            guarded: 0,
            key: headers.key,
        }
    }

    /// Whether others follow it: where it passes, it goes by [`remember_train`].
    #[inline(always)]
    pub fn is_followed(&self) -> bool {
        self.guarded != 0
    }

    /// What is there of one that cannot be read.
    #[inline(always)]
    fn unreadable(generation: Generation, workload: WorkloadIndex, key: K) -> Self {
        let nothing = Headers { key, transport: 0, flags: 0, request: false };
        Self { unreadable: 1, ..Self::of(generation, workload, &nothing) }
    }

    /// An ICMP error has room to quote both the IP header and the transport's: without options, which are part of the
    /// first. What is between them over IPv6 is not quoted.
    #[inline(always)]
    fn is_quotable(&self) -> bool {
        K::V6 || self.transport as usize == parse::LINK + 20
    }
}

/// What [`judge()`] says.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Do this.
    Act(Egress),
    /// What the rules say is in [`Findings`]: [`settle`].
    Settle,
    /// It is a question to a trusted resolver: [`remember_query`], then let it pass.
    Query(Exchange),
    /// It is part of questions to a trusted resolver over TCP: the agent gets a copy where it [speaks](Segment::speaks),
    /// and it passes.
    Asking(Segment),
}

/// Judges a packet of `ethertype` (host order) from `workload`: all steps, one after the other.
pub fn from_pod<T: Tables, P: Packet>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    ethertype: u16,
) -> Egress {
    let way = Cell::new(None);
    if glance(tables, packet, workload, ethertype, &way) {
        return Egress::Pass;
    }
    match way.get() {
        None => Egress::Drop,
        Some(Onward::Judge4(pending)) => judge_whole(tables, packet, &pending),
        Some(Onward::Judge6(pending)) => judge_whole(tables, packet, &pending),
        Some(Onward::Fragment4) => judge_piece(tables, packet, workload, fragment4(packet)),
        Some(Onward::Fragment6) => judge_piece(tables, packet, workload, fragment6(packet)),
        Some(Onward::Link4(pending)) => link(tables, packet, &pending),
        Some(Onward::Link6(pending)) => link(tables, packet, &pending),
        Some(Onward::Arp) => arp(tables, packet, workload),
    }
}

impl Steps for Cell<Option<Onward>> {
    fn go(&self, onward: Onward) {
        self.set(Some(onward));
    }
}

impl<K> PieceSteps<K> for Cell<Option<Pieced<K>>> {
    fn go(&self, pieced: Pieced<K>) {
        self.set(Some(pieced));
    }
}

fn judge_piece<T: Tables, P: Packet, K: InboundKey>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    piece: parse::fragment::Piece<K>,
) -> Egress {
    let way = Cell::new(None);
    if fragment(tables, packet, workload, piece, &way) {
        return Egress::Pass;
    }
    match way.get() {
        None => Egress::Drop,
        Some(Pieced::Judge(pending)) => judge_whole(tables, packet, &pending),
        Some(Pieced::Followed(train)) => {
            remember_train(tables, &train);
            Egress::Pass
        }
    }
}

fn judge_whole<T: Tables, P: Packet, K: InboundKey>(tables: &T, packet: &P, pending: &Pending<K>) -> Egress {
    let egress = judge_and_settle(tables, packet, pending);
    if egress == Egress::Pass && pending.is_followed() {
        remember_train(tables, &Train::of(pending, false, tables.now()));
    }
    egress
}

fn judge_and_settle<T: Tables, P: Packet, K: InboundKey>(
    tables: &T,
    packet: &P,
    pending: &Pending<K>,
) -> Egress {
    match judge(tables, packet, pending) {
        Verdict::Act(egress) => egress,
        Verdict::Settle => settle(tables, packet, pending).unwrap_or_else(|| {
            consult(tables, packet, pending, Released::default())
                .unwrap_or_else(|| fail(tables, packet, pending, action_reason::HELD_TIMEOUT))
        }),
        Verdict::Query(exchange) => {
            remember_query(tables, packet, &exchange);
            Egress::Pass
        }
        Verdict::Asking(_) => Egress::Pass,
    }
}
