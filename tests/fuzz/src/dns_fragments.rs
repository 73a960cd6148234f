//! Answers in fragments: the message that all pieces make, whatever order they come in, and never one of two senders.
//!
//! Input: a byte for how many pieces there are, four for each of them (place, length, and what is wrong with it), and the
//! message.

use std::net::IpAddr;
use std::time::Duration;

use egret::dns::{Fragment, Fragments, Stray};
use egret_abi::WorkloadIndex;
use egret_decide::testing::frame::Ends;

use crate::plain::{self, LINK, be16};

const MOST_PIECES: u8 = 40;
/// Where the datagram starts in a frame over IPv4.
const DATAGRAM: usize = LINK + 20;

/// Puts the datagram together.
pub fn run(data: &[u8]) {
    let Some((count, rest)) = data.split_first() else { return };
    let Some((cuts, message)) = rest.split_at_checked(usize::from(count % MOST_PIECES) * 4) else { return };
    let ends = Ends::new("10.96.0.10:53", "10.0.0.7:40000");
    let [source, destination] = [ends.from.ip(), ends.to.ip()];
    let mut whole = ends.udp(message)[DATAGRAM..].to_vec();
    let sum = !sum(&whole);
    whole[6..8].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
    let mut fragments = Fragments::default();
    let mut reference = Reference::default();
    for cut in cuts.chunks(4) {
        let Some(piece) = Piece::new(cut, &whole) else { continue };
        let fragment = piece.fragment(source, destination);
        let came = fragments.received(WorkloadIndex(7), &fragment, piece.asked, Duration::from_secs(1));
        let expected = reference.received(&piece);
        match came {
            Ok(Some(found)) => {
                assert_eq!(expected, Came::Whole(found));
            }
            Ok(None) => assert_eq!(expected, Came::Waits),
            Err(Stray::Broken) => assert_eq!(expected, Came::Broken),
            Err(Stray::Message) => assert_eq!(expected, Came::NotAsked),
            Err(why) => panic!("{why:?}"),
        }
    }
    fragments.sweep(Duration::from_hours(1));
}

/// The sum that a receiver makes of a datagram and the addresses around it.
fn sum(datagram: &[u8]) -> u16 {
    let length = (datagram.len() as u16).to_be_bytes();
    plain::sum(&[&[10, 96, 0, 10, 10, 0, 0, 7, 0, 17], &length, datagram])
}

/// A part of the datagram.
#[derive(Clone)]
struct Piece {
    at: usize,
    more: bool,
    bytes: Vec<u8>,
    asked: bool,
    hops: u8,
}

impl Piece {
    fn new(cut: &[u8], whole: &[u8]) -> Option<Self> {
        let at = (usize::from(cut[0]) * 8).min(whole.len() & !7);
        let end = (at + usize::from(cut[1]) * 8).min(whole.len());
        let mut bytes = whole[at..end].to_vec();
        *bytes.last_mut()? ^= cut[3] & 1;
        let wrong = cut[3] & 2 != 0 && bytes.len().is_multiple_of(8);
        let more = (end < whole.len()) != wrong;
        Some(Self { at, more, bytes, asked: cut[2] & 1 == 0, hops: 63 + (cut[3] >> 2 & 1) })
    }

    fn fragment(&self, source: IpAddr, destination: IpAddr) -> Fragment<'_> {
        let Self { at, more, ref bytes, hops, .. } = *self;
        Fragment { source, destination, id: 77, at, more, data: bytes, from: [2; 6], hops }
    }
}

/// What comes of a piece.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Waits,
    Whole(Vec<u8>),
    Broken,
    NotAsked,
}

/// A receiver that keeps all pieces and looks at all of them each time.
#[derive(Default)]
struct Reference {
    pieces: Vec<Piece>,
    broken: bool,
}

impl Reference {
    fn received(&mut self, piece: &Piece) -> Came {
        if self.broken {
            return Came::Broken;
        }
        if !self.pieces.iter().any(|old| old.at == piece.at && old.bytes == piece.bytes) {
            self.pieces.push(piece.clone());
        }
        if !self.agree() {
            self.broken = true;
            return Came::Broken;
        }
        let Some(end) = self.end() else { return Came::Waits };
        let kept: usize = self.pieces.iter().map(|piece| piece.bytes.len()).sum();
        if kept != end {
            return Came::Waits;
        }
        // It is complete, and its number free for another one.
        let mut pieces = std::mem::take(&mut self.pieces);
        pieces.sort_by_key(|piece| piece.at);
        let asked = pieces[0].asked;
        let whole: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.bytes).collect();
        let says = be16(&whole, 4).map(usize::from);
        match (asked, says == Some(whole.len()) && be16(&whole, 6) != Some(0) && sum(&whole) == 0xffff) {
            (false, _) => Came::NotAsked,
            (true, true) => Came::Whole(whole[8..].to_vec()),
            (true, false) => Came::Broken,
        }
    }

    fn end(&self) -> Option<usize> {
        let last = self.pieces.iter().find(|piece| !piece.more);
        last.map(|last| last.at + last.bytes.len())
    }

    /// No two have a byte in common, none is beyond the last, and all came the same way.
    fn agree(&self) -> bool {
        let end = |piece: &Piece| piece.at + piece.bytes.len();
        let apart = |one: &Piece, other: &Piece| end(one) <= other.at || end(other) <= one.at;
        let pairs = self.pieces.iter().enumerate();
        pairs.clone().all(|(i, one)| {
            let others = &self.pieces[i + 1..];
            others.iter().all(|other| apart(one, other) && one.hops == other.hops && (one.more || other.more))
        }) && self.end().is_none_or(|last| self.pieces.iter().all(|piece| end(piece) <= last))
    }
}
