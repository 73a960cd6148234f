//! What a workload in the node's own network sends, judged at its sockets: it has no interface pair of its own.
//!
//! [`connect`] and [`send`] judge where an application asks to go, before the node translates it, and refuse at once.
//! [`leave`] judges what leaves a socket again, for there is no way past that: a TCP segment by the connection that its
//! socket begins, a datagram by where its socket is connected to, and else a packet by what it says itself. What a UDP
//! socket that is not connected sends is judged by [`send`] alone, for the packet may have another destination by then.
//! [`arrive`] notes who calls, for what answers a caller is not denied.
//! Nothing of it waits: modules are not asked, and names are not learned.

use egret_abi::{Call, Counter, Generation, OwnKey, Ruleset, WorkloadIndex, action_reason as why};

use super::Pending;
use super::consult::{asks, failed};
use super::findings::{Findings, look_up};
use super::glance::{Hit, hit};
use super::judge::{admit, ruleset_of};
use super::report::report;
use super::verdicts::Verdicts;
use crate::Tables;
use crate::inbound::InboundKey;
use crate::parse::{self, DNS, FlowKey, Headers, LINK, Packet, Parsed, TCP, UDP, WINDOW};

/// Where a TCP header has its flags.
const FLAGS: usize = 13;
/// `::1`.
const LOOPBACK: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// What becomes of it.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on.
    Pass,
    /// It ends here, and the application is told that it was refused.
    Refuse,
    /// It ends here, and the application is told no more than that it may not.
    Drop,
}

/// What leaves a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The first segment of a TCP connection.
    Begins,
    /// Another segment of one.
    Goes,
    /// Anything else, which has no beginning.
    Datagram,
    /// It cannot be read.
    Unreadable,
}

/// What leaves a socket, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left<K> {
    key: K,
    what: What,
}

impl<K: FlowKey> Left<K> {
    /// A segment of the TCP connection `key`.
    #[inline(always)]
    pub fn segment(key: &K, begins: bool) -> Self {
        Self { key: *key, what: if begins { What::Begins } else { What::Goes } }
    }

    /// A datagram of the flow `key`. Its own address is one of the node's, and may be another one on the way: it does not
    /// count.
    #[inline(always)]
    pub fn datagram(key: &K) -> Self {
        Self { key: key.without_local(), what: What::Datagram }
    }

    /// What a packet says itself; `None`: it keeps the link alive, and speaks for the node.
    #[inline(always)]
    pub fn packet(parsed: &Parsed<K>) -> Option<Self> {
        Some(match parsed {
            Parsed::Link(_) => return None,
            Parsed::Flow(headers) => Self::datagram(&headers.key),
            Parsed::Fragment => Self { key: K::default(), what: What::Unreadable },
            Parsed::Unreadable(key) => Self { key: key.without_local(), what: What::Unreadable },
        })
    }
}

/// An application asks to be connected. What it may is not told: its first packet is.
#[inline(always)]
pub fn connect<T: Tables, K: InboundKey>(tables: &T, workload: WorkloadIndex, key: &K) -> Outcome {
    let Some(generation) = tables.generation(workload) else { return Outcome::Pass };
    let is_answer = || key.protocol() == UDP && is_answer(tables, workload, &key.without_local());
    if is_loopback(key) || is_question(tables, workload, key) || is_answer() {
        return Outcome::Pass;
    }
    let (verdicts, silent) = judge(tables, &pending(workload, generation, *key));
    if verdicts.allows() {
        return Outcome::Pass;
    }
    deny(tables, &Unread(0), &pending(workload, generation, *key), &verdicts, silent)
}

/// An application sends a datagram to somebody whom its socket is not connected to.
#[inline(always)]
pub fn send<T: Tables, K: InboundKey>(tables: &T, workload: WorkloadIndex, key: &K) -> Outcome {
    leave(tables, &Unread(0), workload, Left::datagram(key))
}

/// Something leaves a socket of the workload.
#[inline(always)]
pub fn leave<T: Tables, P: Packet, K: InboundKey>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    left: Left<K>,
) -> Outcome {
    let Some(generation) = tables.generation(workload) else { return Outcome::Pass };
    let Left { key, what } = left;
    if is_loopback(&key) {
        return Outcome::Pass;
    }
    let mut pending = pending(workload, generation, key);
    if what == What::Unreadable {
        return unreadable(tables, packet, &pending);
    }
    let is_segment = what != What::Datagram;
    if !is_segment && is_question(tables, workload, &key) {
        return Outcome::Pass;
    }
    if what != What::Begins {
        match hit(tables, workload, &key, generation, packet.length()) {
            Hit::Pass => return Outcome::Pass,
            Hit::Stale(class) => (pending.known, pending.class) = (1, class),
            // A connection that somebody else began, or that was there before there was anybody to judge it.
            Hit::Miss if is_segment || is_answer(tables, workload, &key) => return Outcome::Pass,
            Hit::Miss => {}
        }
    }
    settle(tables, packet, &pending)
}

/// Something that is not TCP comes to a socket of the workload. Its answer may go back, unless it is itself an answer.
#[inline(always)]
pub fn arrive<T: Tables, K: InboundKey>(tables: &T, workload: WorkloadIndex, parsed: &Parsed<K>) {
    let Parsed::Flow(headers) = parsed else { return };
    let key = headers.key.reversed().without_local();
    // A raw socket is sent what others are sent too.
    let calls = headers.request && key.protocol() != TCP;
    if !calls || tables.generation(workload).is_none() || is_loopback(&key) {
        return;
    }
    // One that the workload began stays its own: a peer could keep alive what a policy no longer allows.
    if key.with_flow(tables, workload, |_| ()).is_some() {
        return;
    }
    let until = tables.now().plus(tables.config().idle);
    let wide = key.wide();
    let is_known = tables.with_call(workload, &wide, |call| call.until = until).is_some();
    if !is_known && !tables.remember_call(workload, &wide, &Call { until, ..Call::default() }) {
        tables.count(Counter::FlowsFull);
    }
}

#[inline(always)]
fn settle<T: Tables, P: Packet, K: InboundKey>(tables: &T, packet: &P, pending: &Pending<K>) -> Outcome {
    let (mut verdicts, silent) = judge(tables, pending);
    if is_question(tables, pending.workload, &pending.key) {
        verdicts = Verdicts::resolver();
    } else if pending.known != 0 && tables.config().keep != 0 {
        verdicts.spare(why::ESTABLISHED, pending.class);
    }
    if verdicts.allows() {
        admit(tables, packet, pending, &verdicts, tables.now());
        return Outcome::Pass;
    }
    if pending.known != 0 {
        tables.count(Counter::Cut);
        // What ends the connection for its peer is the last that is sent of it.
        if is_reset(packet, &pending.key) {
            pending.key.forget(tables, pending.workload);
            return Outcome::Pass;
        }
    }
    deny(tables, packet, pending, &verdicts, silent)
}

/// Whether it is a segment that resets its connection. The node's own kernel made it, and puts no header in between.
#[inline(always)]
fn is_reset<P: Packet, K: FlowKey>(packet: &P, key: &K) -> bool {
    let transport = match packet.read::<1>(LINK) {
        Some([first]) if !K::V6 => LINK + (first & 15) as usize * 4,
        _ => LINK + 40,
    };
    key.protocol() == TCP && packet.read::<1>(transport + FLAGS).is_some_and(|[flags]| parse::is_reset(flags))
}

/// What the rules say, and where modules would be asked the failure policy; and whether a denial is silent.
#[inline(always)]
fn judge<T: Tables, K: InboundKey>(tables: &T, pending: &Pending<K>) -> (Verdicts, u8) {
    // No name is bound to what the workload looks up.
    let ruleset = Ruleset { nameless: 1, ..ruleset_of(tables, pending.generation) };
    // On the stack: these run where others may run in between, on the same processor.
    let mut found = Findings::default();
    look_up(tables, pending, ruleset, tables.now(), &mut found);
    if asks(&found) {
        tables.count(Counter::HoldsFailed);
        return (failed(&found, why::HELD_TIMEOUT), ruleset.silent);
    }
    (Verdicts::of(&found), ruleset.silent)
}

#[inline(always)]
fn deny<T: Tables, P: Packet, K: InboundKey>(
    tables: &T,
    packet: &P,
    pending: &Pending<K>,
    verdicts: &Verdicts,
    silent: u8,
) -> Outcome {
    tables.count(Counter::Denied);
    report(tables, packet, pending, verdicts, tables.now());
    if silent != 0 { Outcome::Drop } else { Outcome::Refuse }
}

#[inline(always)]
fn unreadable<T: Tables, P: Packet, K: InboundKey>(tables: &T, packet: &P, pending: &Pending<K>) -> Outcome {
    let ruleset = ruleset_of(tables, pending.generation);
    if ruleset.unmanaged != 0 {
        return Outcome::Pass;
    }
    let mut verdicts = Verdicts::denied(why::UNPARSED);
    if ruleset.enforced == 0 {
        verdicts.applied_why = why::NOT_ENFORCED;
    } else {
        tables.count(Counter::Unparsed);
    }
    report(tables, packet, pending, &verdicts, tables.now());
    if verdicts.allows() { Outcome::Pass } else { Outcome::Drop }
}

/// Whether somebody called from there. An answer keeps the right to answer alive.
#[inline(always)]
fn is_answer<T: Tables, K: InboundKey>(tables: &T, workload: WorkloadIndex, key: &K) -> bool {
    let now = tables.now();
    let until = now.plus(tables.config().idle);
    let renew = |call: &mut Call| {
        let is_live = now < call.until;
        if is_live {
            call.until = until;
        }
        is_live
    };
    tables.with_call(workload, &key.wide(), renew).unwrap_or(false)
}

/// Whether it goes to port 53 of a trusted resolver, which no policy denies.
#[inline(always)]
fn is_question<T: Tables, K: InboundKey>(tables: &T, workload: WorkloadIndex, key: &K) -> bool {
    key.remote_port() == DNS
        && (key.protocol() == UDP || key.protocol() == TCP)
        && tables.trusts(&OwnKey { workload, address: key.remote() })
}

#[inline(always)]
fn is_loopback<K: FlowKey>(key: &K) -> bool {
    let address = key.remote();
    match address.as_v4() {
        Some([first, ..]) => first == 127,
        None => address.0 == LOOPBACK,
    }
}

#[inline(always)]
fn pending<K: InboundKey>(workload: WorkloadIndex, generation: Generation, key: K) -> Pending<K> {
    Pending::of(generation, workload, &Headers { key, transport: 0, flags: 0, request: true })
}

/// What is asked for before there is a packet: of it only the length counts, which is not known.
struct Unread(u32);

impl Packet for Unread {
    #[inline(always)]
    fn read<const N: usize>(&self, _at: usize) -> Option<[u8; N]> {
        None
    }

    #[inline(always)]
    fn words<const N: usize>(&self, _at: usize) -> Option<[u32; N]> {
        None
    }

    #[inline(always)]
    fn window(&self, _at: usize) -> Option<(&[u8; WINDOW], usize)> {
        None
    }

    #[inline(always)]
    fn length(&self) -> u32 {
        self.0
    }
}
