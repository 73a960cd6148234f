//! What a workload sends.
//!
//! [`glance()`] is the hot path: one parse, one look-up of the flow. What it cannot settle goes to [`judge()`], which asks
//! what the rules say ([`findings`]); [`settle`] acts on it. [`from_pod`] is all of them, for callers with one stack.

mod findings;
mod glance;
mod judge;
mod verdicts;

use egret_abi::{Class, Flow4Key, Flow6Key, Generation, WorkloadIndex};

pub use findings::Findings;
pub use glance::glance;
pub use judge::{judge, remember_query, settle};

use crate::inbound::InboundKey;
use crate::ingress::Segment;
use crate::parse::{self, FlowKey, Packet};
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

/// What the first look at a packet says.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    /// Nobody judges it, or its flow is known: it goes on.
    Pass,
    /// It ends here: it is neither IP nor what keeps a link alive, and a policy is in force; or it is the agent's probe.
    Drop,
    /// An IPv4 packet to be judged by [`judge`].
    Judge4(Pending<Flow4Key>),
    /// An IPv6 packet to be judged by [`judge`].
    Judge6(Pending<Flow6Key>),
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
    /// Its flow.
    pub key: K,
}

impl<K: FlowKey> Pending<K> {
    /// Nothing stands between the IP header and the transport's: an ICMP error has room to quote both.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        self.transport as usize == parse::LINK + if K::V6 { 40 } else { 20 }
    }
}

/// What [`judge`] says.
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
    match glance(tables, packet, workload, ethertype) {
        Glance::Pass => Egress::Pass,
        Glance::Drop => Egress::Drop,
        Glance::Judge4(pending) => judge_and_settle(tables, packet, &pending),
        Glance::Judge6(pending) => judge_and_settle(tables, packet, &pending),
    }
}

fn judge_and_settle<T: Tables, P: Packet, K: InboundKey>(
    tables: &T,
    packet: &P,
    pending: &Pending<K>,
) -> Egress {
    match judge(tables, packet, pending) {
        Verdict::Act(egress) => egress,
        Verdict::Settle => settle(tables, packet, pending),
        Verdict::Query(exchange) => {
            remember_query(tables, packet, &exchange);
            Egress::Pass
        }
        Verdict::Asking(_) => Egress::Pass,
    }
}
