//! Flows that others begin toward a workload: what it answers must pass, whatever its policy.
//!
//! Anybody can write any source address, so a call proves nothing: it is kept in CALLS, a small table that a flood may
//! empty and that gives no more than the right to answer. A TCP connection moves to INBOUND once the workload's own
//! kernel has established it, which no blind sender can bring about; there, and in the flows that the workload began,
//! nothing is evicted by calls.

use egret_abi::{Call, Flow4Key, Flow6Key, Inbound, OwnKey, Ports, Tick, WorkloadIndex};

use crate::Tables;
use crate::parse::{self, FlowKey, Headers, Packet, TCP};

/// A key by which established connections are found.
pub trait InboundKey: FlowKey {
    /// Runs `f` on the connection, where somebody else began it and it is established.
    fn with_inbound<T: Tables, R>(
        &self,
        tables: &T,
        workload: WorkloadIndex,
        f: impl FnOnce(&mut Inbound) -> R,
    ) -> Option<R>;
    /// Remembers that it is; false when that is not possible.
    fn remember_inbound<T: Tables>(&self, tables: &T, workload: WorkloadIndex) -> bool;
    /// Forgets the flow that the workload began.
    fn forget<T: Tables>(&self, tables: &T, workload: WorkloadIndex);

    /// Whether somebody else began the connection and it is established.
    #[inline(always)]
    fn is_inbound<T: Tables>(&self, tables: &T, workload: WorkloadIndex) -> bool {
        self.with_inbound(tables, workload, |_| ()).is_some()
    }

    /// The key of both families.
    #[inline(always)]
    fn wide(&self) -> Flow6Key {
        Flow6Key {
            local: self.local().0,
            remote: self.remote().0,
            ports: Ports::new(self.local_port(), self.remote_port()),
            protocol: self.protocol() as u32,
        }
    }
}

macro_rules! inbound_key {
    ($key:ty, $with:ident, $remember:ident, $forget:ident) => {
        impl InboundKey for $key {
            #[inline(always)]
            fn with_inbound<T: Tables, R>(
                &self,
                tables: &T,
                workload: WorkloadIndex,
                f: impl FnOnce(&mut Inbound) -> R,
            ) -> Option<R> {
                tables.$with(workload, self, f)
            }
            #[inline(always)]
            fn remember_inbound<T: Tables>(&self, tables: &T, workload: WorkloadIndex) -> bool {
                tables.$remember(workload, self, &Inbound(0))
            }
            #[inline(always)]
            fn forget<T: Tables>(&self, tables: &T, workload: WorkloadIndex) {
                tables.$forget(workload, self);
            }
        }
    };
}
inbound_key!(Flow4Key, with_inbound4, remember_inbound4, forget_flow4);
inbound_key!(Flow6Key, with_inbound6, remember_inbound6, forget_flow6);

/// What the numbers of a TCP segment tell of a handshake.
struct Segment {
    sequence: u32,
    acknowledgment: u32,
    payload: bool,
}

impl Segment {
    #[inline(always)]
    fn read<P: Packet>(packet: &P, transport: usize) -> Option<Self> {
        let [_, sequence, acknowledgment, control, _] = packet.words(transport)?;
        let [length, ..] = control.to_ne_bytes();
        let header = (length >> 4) as usize * 4;
        Some(Self {
            sequence: u32::from_be(sequence),
            acknowledgment: u32::from_be(acknowledgment),
            payload: packet.length() as usize > transport + header,
        })
    }
}

enum Answer {
    Pass,
    /// The workload's kernel has established the connection.
    Established,
    Nobody,
}

/// Whether a packet from the workload, of a flow that it did not begin, answers somebody.
#[inline(always)]
pub fn answers<T: Tables, P: Packet, K: InboundKey>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    headers: &Headers<K>,
) -> bool {
    let (key, flags) = (&headers.key, headers.flags);
    let mut segment = None;
    if key.protocol() == TCP {
        if key.is_inbound(tables, workload) {
            return true;
        }
        segment = Segment::read(packet, headers.transport);
    }
    let now = tables.now();
    let answer = tables.with_call(workload, &key.wide(), |call| {
        if now >= call.until {
            return Answer::Nobody;
        }
        let Some(segment) = segment else {
            call.until = now.plus(tables.config().idle);
            return Answer::Pass;
        };
        answer_call(call, flags, &segment)
    });
    match answer.unwrap_or(Answer::Nobody) {
        Answer::Nobody => false,
        Answer::Pass => true,
        Answer::Established => {
            if !key.remember_inbound(tables, workload) {
                tables.count(egret_abi::Counter::FlowsFull);
            }
            true
        }
    }
}

/// Before a handshake is complete, a kernel answers with nothing but its SYN, resets, and acknowledgements of no more
/// than that SYN's. Whatever goes beyond was sent on an established connection.
#[inline(always)]
fn answer_call(call: &mut Call, flags: u8, segment: &Segment) -> Answer {
    if parse::answers_connection(flags) {
        if segment.acknowledgment != call.caller {
            return Answer::Nobody;
        }
        call.workload = segment.sequence.wrapping_add(1);
        call.answered = 1;
        return Answer::Pass;
    }
    let goes_on =
        segment.payload || segment.sequence != call.workload || segment.acknowledgment != call.caller;
    if call.answered != 0 && goes_on && !parse::is_reset(flags) { Answer::Established } else { Answer::Pass }
}

/// Whether a flow is one that somebody else began.
#[inline(always)]
pub fn is_answered<T: Tables, K: InboundKey>(tables: &T, workload: WorkloadIndex, key: &K) -> bool {
    let now = tables.now();
    let called = || tables.with_call(workload, &key.wide(), |call| now < call.until).unwrap_or(false);
    (key.protocol() == TCP && key.is_inbound(tables, workload)) || called()
}

/// Somebody else begins a flow: what the workload sends back must pass, whatever its policy. `headers` as their sender
/// sees them, `key` as the workload does.
#[inline(always)]
pub fn note<T: Tables, P: Packet, K: InboundKey>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    headers: &Headers<K>,
    key: &K,
) {
    // One that the workload began stays its own: a peer could keep alive what a policy no longer allows.
    if key.with_flow(tables, workload, |_| ()).is_some() {
        return;
    }
    let mut caller = 0;
    if key.protocol() == TCP {
        let Some(segment) = Segment::read(packet, headers.transport) else { return };
        caller = segment.sequence.wrapping_add(1);
    }
    let (wide, until) = (key.wide(), until(tables));
    let known = tables.with_call(workload, &wide, |call| {
        call.until = until;
        if call.caller != caller {
            (call.caller, call.answered) = (caller, 0);
        }
    });
    // A multicast group or somebody else's address is none that the workload may answer from: a flow of it would let
    // it speak as a resolver, because what answers a call is not asked for its source again.
    if known.is_some() || !tables.owns(&OwnKey { workload, address: key.local() }) {
        return;
    }
    if !tables.remember_call(workload, &wide, &Call { until, caller, ..Call::default() }) {
        tables.count(egret_abi::Counter::FlowsFull);
    }
}

#[inline(always)]
fn until<T: Tables>(tables: &T) -> Tick {
    tables.now().plus(tables.config().idle)
}
