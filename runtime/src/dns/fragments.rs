//! Answers over UDP that come in fragments, put together from copies.
//!
//! Fragments carry no ports but in the first, and their number is guessed in 65,536 tries. So a datagram counts only if
//! the kernel program found its first fragment to be the answer to a question, its pieces do not overlap, all came from
//! the same neighbour over as many hops, and it has a checksum that is right. A fragment may go on as soon as this has seen it: the
//! one that completes the datagram comes through here too, and what the datagram says is bound before it goes on.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use egret_abi::WorkloadIndex;

use super::connections::Stray;
use super::fragment::Fragment;
use super::frame;

const UDP: usize = 8;
/// The longest datagram there is needs fewer, over the narrowest link.
const PIECES: usize = 64;

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Datagrams of one workload; the oldest goes.
    pub datagrams: usize,
    /// Bytes of one workload.
    pub bytes: usize,
    /// Bytes of all workloads.
    pub bytes_in_all: usize,
    /// How long the pieces of a datagram may take.
    pub time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { datagrams: 32, bytes: 1 << 18, bytes_in_all: 1 << 23, time: Duration::from_secs(3) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    id: u32,
}

#[derive(Debug)]
struct Datagram {
    since: Duration,
    from: [u8; 6],
    hops: u8,
    pieces: BTreeMap<usize, Vec<u8>>,
    length: Option<usize>,
    asked: bool,
    /// It contradicts itself: nothing with its number counts any more, until it is forgotten.
    broken: bool,
}

/// All datagrams under way.
#[derive(Debug, Default)]
pub struct Fragments {
    bounds: Bounds,
    of: HashMap<WorkloadIndex, HashMap<Key, Datagram>>,
    kept: usize,
}

impl Fragments {
    /// None yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// A fragment toward `workload` from a trusted resolver; `asked`: it is the first of a datagram that the workload asked
    /// for. Gives the message of the datagram that it completes.
    ///
    /// # Errors
    /// Why it teaches nothing.
    pub fn received(
        &mut self,
        workload: WorkloadIndex,
        fragment: &Fragment<'_>,
        asked: bool,
        now: Duration,
    ) -> Result<Option<Vec<u8>>, Stray> {
        self.make_room(workload, fragment, now)?;
        let key = Key { source: fragment.source, destination: fragment.destination, id: fragment.id };
        let of = self.of.entry(workload).or_default();
        let datagram = of.entry(key).or_insert_with(|| Datagram::new(fragment, now));
        let before = datagram.kept();
        let put = datagram.put(fragment, asked);
        self.kept = self.kept - before + datagram.kept();
        put?;
        if !datagram.is_complete() {
            return Ok(None);
        }
        self.kept -= datagram.kept();
        let whole = of.remove(&key).ok_or(Stray::Segment)?;
        if whole.asked { whole.message(&key).map(Some) } else { Err(Stray::Message) }
    }

    /// Forgets what takes too long.
    pub fn sweep(&mut self, now: Duration) {
        let (time, kept) = (self.bounds.time, &mut self.kept);
        self.of.retain(|_, datagrams| {
            datagrams.retain(|_, datagram| {
                let stays = datagram.since + time > now;
                *kept -= if stays { 0 } else { datagram.kept() };
                stays
            });
            !datagrams.is_empty()
        });
    }

    fn make_room(
        &mut self,
        workload: WorkloadIndex,
        fragment: &Fragment<'_>,
        now: Duration,
    ) -> Result<(), Stray> {
        let Some(of) = self.of.get_mut(&workload) else { return self.has_room_in_all(fragment) };
        let (time, kept) = (self.bounds.time, &mut self.kept);
        of.retain(|_, datagram| {
            let stays = datagram.since + time > now;
            *kept -= if stays { 0 } else { datagram.kept() };
            stays
        });
        let bytes = |of: &HashMap<Key, Datagram>| of.values().map(Datagram::kept).sum::<usize>();
        while of.len() >= self.bounds.datagrams || bytes(of) + fragment.data.len() > self.bounds.bytes {
            let oldest = of.iter().min_by_key(|(_, datagram)| datagram.since).map(|(key, _)| *key);
            let Some(gone) = oldest.and_then(|key| of.remove(&key)) else { return Err(Stray::Full) };
            self.kept -= gone.kept();
        }
        self.has_room_in_all(fragment)
    }

    fn has_room_in_all(&self, fragment: &Fragment<'_>) -> Result<(), Stray> {
        let fits = self.kept + fragment.data.len() <= self.bounds.bytes_in_all;
        if fits { Ok(()) } else { Err(Stray::Full) }
    }
}

impl Datagram {
    fn new(fragment: &Fragment<'_>, since: Duration) -> Self {
        Self {
            since,
            from: fragment.from,
            hops: fragment.hops,
            pieces: BTreeMap::new(),
            length: None,
            asked: false,
            broken: false,
        }
    }

    fn kept(&self) -> usize {
        self.pieces.values().map(Vec::len).sum()
    }

    /// Puts a piece in its place; one that came before is the same again.
    fn put(&mut self, fragment: &Fragment<'_>, asked: bool) -> Result<(), Stray> {
        let (at, data) = (fragment.at, fragment.data);
        if self.broken || self.pieces.get(&at).is_some_and(|piece| piece == data) {
            return if self.broken { Err(Stray::Broken) } else { Ok(()) };
        }
        let end = at + data.len();
        let before =
            self.pieces.range(..end).next_back().is_some_and(|(from, piece)| from + piece.len() > at);
        let length = if fragment.more { self.length } else { Some(end) };
        let last = self.pieces.last_key_value().map_or(0, |(from, piece)| from + piece.len());
        let fits = length == self.length || self.length.is_none();
        let inside = length.is_none_or(|length| end <= length && last <= length);
        let same_way = (fragment.from, fragment.hops) == (self.from, self.hops);
        if before || !fits || !inside || !same_way || self.pieces.len() == PIECES {
            (self.broken, self.pieces) = (true, BTreeMap::new());
            return Err(Stray::Broken);
        }
        self.length = length;
        self.asked |= asked && at == 0;
        self.pieces.insert(at, data.to_vec());
        Ok(())
    }

    fn is_complete(&self) -> bool {
        // No two overlap, and none is beyond the end: so nothing is missing where the sum is right.
        self.length == Some(self.kept())
    }

    fn message(self, key: &Key) -> Result<Vec<u8>, Stray> {
        let datagram: Vec<u8> = self.pieces.into_values().flatten().collect();
        let says = datagram.get(4..6).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
        if says != Some(datagram.len()) || !frame::is_right(key.source, key.destination, &datagram) {
            return Err(Stray::Broken);
        }
        Ok(datagram[UDP..].to_vec())
    }
}

#[cfg(test)]
#[path = "fragments_tests.rs"]
mod tests;
