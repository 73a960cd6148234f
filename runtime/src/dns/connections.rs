//! DNS over TCP: the connections of workloads to their trusted resolvers, as far as they are under way.
//!
//! In come copies of what a workload sends to port 53 of a trusted resolver ([`Connections::sent`]) and the segments that
//! are on hold on their way back ([`Connections::received`]). Out come the messages that the workload asked for: from a
//! connection that it opened itself, at the sequence numbers that both ends agreed on, to a question of its own. A
//! held segment may go on as soon as this has seen it and its messages are learned: what lies behind a gap cannot be
//! read before the segment that fills the gap, and that one comes through here too.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

use egret_abi::WorkloadIndex;
use lru::LruCache;

use super::question::Question;
use super::stream::{Broken, Stream};
use super::tcp::TcpFrame;

/// The longest query that is read.
const LONGEST_QUERY: usize = 4096;
/// Questions of one connection that have no answer yet.
const QUESTIONS: usize = 1024;
/// How far behind what was sent an acknowledgement may be.
const ACKNOWLEDGED: u32 = 1 << 20;

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections of one workload; the least recently used goes.
    pub connections: usize,
    /// Bytes of parts of messages of one workload.
    pub bytes: usize,
    /// Bytes of parts of messages of all workloads.
    pub bytes_in_all: usize,
    /// How long a connection that says nothing is remembered.
    pub idle: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections: 128, bytes: 1 << 20, bytes_in_all: 1 << 25, idle: Duration::from_mins(10) }
    }
}

/// Why a segment, or a message in it, teaches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    /// It is of no connection that the workload was seen to open, or not at its place in one.
    Segment,
    /// It is not the answer to a question that the workload asked on this connection.
    Message,
    /// The connection contradicts itself, or is not one of DNS.
    Broken,
    /// More would have to be remembered than is.
    Full,
}

type Ends = (SocketAddr, SocketAddr);

#[derive(Debug)]
struct Connection {
    /// The sequence number of the workload's SYN.
    opened: u32,
    asking: Stream,
    /// Behind the highest sequence number that the workload has sent.
    sent: u32,
    /// Once the resolver has agreed.
    answering: Option<Stream>,
    questions: HashSet<u64>,
    used: Duration,
}

#[derive(Debug)]
struct OfWorkload {
    connections: LruCache<Ends, Connection>,
    kept: usize,
}

impl Default for OfWorkload {
    fn default() -> Self {
        Self { connections: LruCache::unbounded(), kept: 0 }
    }
}

/// All connections.
#[derive(Debug, Default)]
pub struct Connections {
    bounds: Bounds,
    of: HashMap<WorkloadIndex, OfWorkload>,
    kept: usize,
    /// Keyed, so that nobody can choose two questions with one hash.
    hasher: RandomState,
}

impl Connections {
    /// None yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// A segment that `workload` sends to a trusted resolver.
    ///
    /// # Errors
    /// Why the answers to what it asks will teach nothing.
    pub fn sent(
        &mut self,
        workload: WorkloadIndex,
        frame: &TcpFrame<'_>,
        now: Duration,
    ) -> Result<(), Stray> {
        let ends = (frame.source, frame.destination);
        if frame.opens() {
            self.open(workload, ends, frame.sequence, now);
        }
        let hasher = self.hasher.clone();
        self.with(workload, ends, now, |connection| {
            if frame.resets() {
                return Err(End::Over);
            }
            let first = frame.sequence.wrapping_add(frame.opens().into());
            let end = first.wrapping_add(frame.payload.len() as u32).wrapping_add(frame.ends().into());
            if connection.asking.is_near(first) && end.wrapping_sub(connection.sent).cast_signed() > 0 {
                connection.sent = end;
            }
            let Connection { asking, questions, .. } = connection;
            let mut full = false;
            asking.push(first, frame.payload, |query| {
                if let Some(question) = Question::of(query, false) {
                    full |= questions.len() >= QUESTIONS;
                    if !full {
                        questions.insert(hasher.hash_one(question));
                    }
                }
            })?;
            if full { Err(End::Stray(Stray::Full)) } else { Ok(()) }
        })
    }

    /// A segment toward `workload` from a trusted resolver; every message that it completes and that answers a question
    /// of the workload's own goes to `each`.
    ///
    /// # Errors
    /// Why it, or something in it, teaches nothing; it may go on all the same.
    pub fn received(
        &mut self,
        workload: WorkloadIndex,
        frame: &TcpFrame<'_>,
        now: Duration,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Stray> {
        let hasher = self.hasher.clone();
        self.with(workload, (frame.destination, frame.source), now, |connection| {
            // What acknowledges something that was never sent is not from the other end.
            let behind = connection.sent.wrapping_sub(frame.acknowledgment);
            let sent = connection.sent.wrapping_sub(connection.opened);
            if !frame.acknowledges() || behind >= sent.min(ACKNOWLEDGED) {
                return Err(End::Stray(Stray::Segment));
            }
            if frame.agrees() && connection.answering.is_none() {
                let first = frame.sequence.wrapping_add(1);
                connection.answering = Some(Stream::starting_at(first, usize::from(u16::MAX)));
            }
            let Connection { answering, questions, .. } = connection;
            let Some(answering) = answering else {
                return Err(if frame.resets() { End::Over } else { End::Stray(Stray::Segment) });
            };
            if frame.resets() {
                let at_its_place = frame.sequence == answering.next();
                return Err(if at_its_place { End::Over } else { End::Stray(Stray::Segment) });
            }
            let first = frame.sequence.wrapping_add(frame.agrees().into());
            if !answering.is_near(first) {
                return Err(End::Stray(Stray::Segment));
            }
            let mut unasked = false;
            answering.push(first, frame.payload, |answer| {
                let question = Question::of(answer, true);
                match question.is_some_and(|question| questions.remove(&hasher.hash_one(question))) {
                    true => each(answer),
                    false => unasked = true,
                }
            })?;
            let end = first.wrapping_add(frame.payload.len() as u32);
            if frame.ends() && answering.next() == end {
                return Err(End::Over);
            }
            if unasked { Err(End::Stray(Stray::Message)) } else { Ok(()) }
        })
    }

    /// Forgets the connections that have said nothing for long.
    pub fn sweep(&mut self, now: Duration) {
        let oldest = now.saturating_sub(self.bounds.idle);
        let kept = &mut self.kept;
        self.of.retain(|_, of| {
            while of.connections.peek_lru().is_some_and(|(_, connection)| connection.used < oldest) {
                *kept -= of.pop();
            }
            !of.connections.is_empty()
        });
    }

    /// A SYN of the workload's own: a new connection, unless it is the same SYN again.
    fn open(&mut self, workload: WorkloadIndex, ends: Ends, opened: u32, now: Duration) {
        let of = self.of.entry(workload).or_default();
        if of.connections.peek(&ends).is_some_and(|connection| connection.opened == opened) {
            return;
        }
        let first = opened.wrapping_add(1);
        let connection = Connection {
            opened,
            asking: Stream::starting_at(first, LONGEST_QUERY),
            sent: first,
            answering: None,
            questions: HashSet::new(),
            used: now,
        };
        if let Some(last) = of.connections.put(ends, connection) {
            of.kept -= last.kept();
            self.kept -= last.kept();
        }
        if of.connections.len() > self.bounds.connections {
            self.kept -= of.pop();
        }
    }

    /// Does `what` with a connection, and keeps the account of bytes; a connection that ends or breaks is forgotten, and
    /// what comes on it later is [`Stray::Segment`].
    fn with(
        &mut self,
        workload: WorkloadIndex,
        ends: Ends,
        now: Duration,
        what: impl FnOnce(&mut Connection) -> Result<(), End>,
    ) -> Result<(), Stray> {
        let of = self.of.get_mut(&workload).ok_or(Stray::Segment)?;
        let connection = of.connections.get_mut(&ends).ok_or(Stray::Segment)?;
        let before = connection.kept();
        connection.used = now;
        let mut end = what(connection);
        let after = connection.kept();
        of.kept = of.kept - before + after;
        self.kept = self.kept - before + after;
        if after > before && (of.kept > self.bounds.bytes || self.kept > self.bounds.bytes_in_all) {
            end = Err(End::Broken(Stray::Full));
        }
        match end {
            Ok(()) => Ok(()),
            Err(End::Stray(why)) => Err(why),
            Err(End::Over | End::Broken(_)) => {
                of.connections.pop(&ends);
                of.kept -= after;
                self.kept -= after;
                if let Err(End::Broken(why)) = end { Err(why) } else { Ok(()) }
            }
        }
    }
}

impl OfWorkload {
    /// Takes the least recently used connection away; how many bytes were kept of it.
    fn pop(&mut self) -> usize {
        let kept = self.connections.pop_lru().map_or(0, |(_, connection)| connection.kept());
        self.kept -= kept;
        kept
    }
}

impl Connection {
    fn kept(&self) -> usize {
        self.asking.kept() + self.answering.as_ref().map_or(0, Stream::kept)
    }
}

/// What a segment does to its connection.
enum End {
    /// Nothing: it taught nothing.
    Stray(Stray),
    /// It ends it.
    Over,
    /// It breaks it.
    Broken(Stray),
}

impl From<Broken> for End {
    fn from(broken: Broken) -> Self {
        Self::Broken(match broken {
            Broken::Full => Stray::Full,
            Broken::Contradiction | Broken::TooLong => Stray::Broken,
        })
    }
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
