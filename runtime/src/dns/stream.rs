//! One direction of a TCP stream, put together from copies of its segments, and the DNS messages in it.
//!
//! What is handed on is what the receiver reads: bytes count once, at their sequence numbers, whatever way they were cut
//! and in whatever order they came. Where two segments say different things about the same bytes, nobody can tell which
//! of them the receiver takes, and the stream teaches nothing more.

use std::collections::BTreeMap;

/// Bytes of the length that stands before each message.
const LENGTH: usize = 2;
/// Sequence numbers farther than this from what is expected next are of no segment of this stream: no receiver has so
/// large a window for a resolver.
const WINDOW: i64 = 1 << 20;
/// Pieces that wait for a gap before them to be filled.
const PIECES: usize = 256;
/// Bytes that wait for the same.
const AHEAD: usize = 1 << 18;

/// Why a stream teaches nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Two segments differ in the same bytes.
    Contradiction,
    /// More waits for a gap to be filled than is kept.
    Full,
    /// A message is longer than any that is read.
    TooLong,
}

/// A direction of a stream.
#[derive(Debug)]
pub struct Stream {
    /// Sequence number of the first byte that is still missing.
    next: u32,
    /// Bytes before `next` that are of a message not complete yet.
    ready: Vec<u8>,
    /// Bytes behind a gap, by how far they are from where the stream began; no two overlap.
    ahead: BTreeMap<i64, Vec<u8>>,
    /// How far `next` is from where the stream began.
    position: i64,
    longest: usize,
}

impl Stream {
    /// A stream whose first byte has the sequence number `first`, of messages of at most `longest` bytes.
    #[must_use]
    pub fn starting_at(first: u32, longest: usize) -> Self {
        Self { next: first, ready: Vec::new(), ahead: BTreeMap::new(), position: 0, longest }
    }

    /// The sequence number of the first byte that is still missing.
    #[must_use]
    pub fn next(&self) -> u32 {
        self.next
    }

    /// Bytes that are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.ready.len() + self.ahead.values().map(Vec::len).sum::<usize>()
    }

    /// Whether `sequence` can be of this stream.
    #[must_use]
    pub fn is_near(&self, sequence: u32) -> bool {
        i64::from(sequence.wrapping_sub(self.next).cast_signed()).abs() <= WINDOW
    }

    /// Takes the bytes of a segment, and hands every message that they complete to `each`, in order. Bytes that cannot
    /// be of this stream are passed over.
    ///
    /// # Errors
    /// [`Broken`]: then this must not be asked again.
    pub fn push(&mut self, sequence: u32, bytes: &[u8], each: impl FnMut(&[u8])) -> Result<(), Broken> {
        if bytes.is_empty() || !self.is_near(sequence) {
            return Ok(());
        }
        let start = self.position + i64::from(sequence.wrapping_sub(self.next).cast_signed());
        self.compare(self.position - self.ready.len() as i64, &self.ready, start, bytes)?;
        let old = usize::try_from(self.position - start).unwrap_or(0).min(bytes.len());
        self.keep(start + old as i64, &bytes[old..])?;
        while let Some(first) = self.ahead.first_entry() {
            if *first.key() != self.position {
                break;
            }
            let piece = first.remove();
            self.position += piece.len() as i64;
            self.next = self.next.wrapping_add(piece.len() as u32);
            self.ready.extend(piece);
        }
        self.take_messages(each)
    }

    /// Puts what is not there yet among the pieces ahead.
    fn keep(&mut self, start: i64, bytes: &[u8]) -> Result<(), Broken> {
        let end = start + bytes.len() as i64;
        let before = self.ahead.range(..start).next_back().map(|(at, _)| *at);
        let mut missing = Vec::new();
        let mut from = start;
        for (at, piece) in self.ahead.range(before.unwrap_or(start)..end) {
            self.compare(*at, piece, start, bytes)?;
            if *at > from {
                missing.push((from, *at));
            }
            from = from.max(at + piece.len() as i64);
        }
        if from < end {
            missing.push((from, end));
        }
        for (from, to) in missing {
            let piece = &bytes[(from - start) as usize..(to - start) as usize];
            self.ahead.insert(from, piece.to_vec());
        }
        let in_order = self.ahead.first_key_value().is_some_and(|(at, _)| *at == self.position);
        let waiting = self.ahead.values().map(Vec::len).sum::<usize>();
        if !in_order && (self.ahead.len() > PIECES || waiting > AHEAD) { Err(Broken::Full) } else { Ok(()) }
    }

    /// Fails where `kept` at `at` and `new` at `start` differ in what they have in common.
    fn compare(&self, at: i64, kept: &[u8], start: i64, new: &[u8]) -> Result<(), Broken> {
        let (from, to) = (at.max(start), (at + kept.len() as i64).min(start + new.len() as i64));
        if from >= to {
            return Ok(());
        }
        let part = |bytes: &[u8], at: i64| bytes[(from - at) as usize..(to - at) as usize].to_vec();
        if part(kept, at) == part(new, start) { Ok(()) } else { Err(Broken::Contradiction) }
    }

    fn take_messages(&mut self, mut each: impl FnMut(&[u8])) -> Result<(), Broken> {
        let mut taken = 0;
        while let Some([high, low, rest @ ..]) = self.ready.get(taken..) {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if length > self.longest {
                return Err(Broken::TooLong);
            }
            let Some(message) = rest.get(..length) else { break };
            each(message);
            taken += LENGTH + length;
        }
        self.ready.drain(..taken);
        if self.ready.is_empty() {
            // What is idle costs nothing.
            self.ready = Vec::new();
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
