//! DNS messages in a TCP stream, whatever way it was cut: those that a receiver reads, in order, and no others; and none
//! of a connection on which nobody asked for it.
//!
//! Input: a byte for where sequence numbers start, one for how many segments there are, four for each of them (place,
//! length, and what is wrong with it), and the bytes of the stream.

use std::time::Duration;

use egret::dns::question::Question;
use egret::dns::stream::{Broken, Stream};
use egret::dns::{Connections, TcpFrame};
use egret_abi::WorkloadIndex;
use egret_decide::testing::frame::{ACK, Ends, SYN, dns};

const LONGEST: usize = 300;
const MOST_SEGMENTS: u8 = 24;

/// A part of the stream, as a segment carries it.
struct Segment {
    at: usize,
    bytes: Vec<u8>,
    /// It says that it acknowledges what was never sent.
    blind: bool,
}

/// Puts the stream together.
pub fn run(data: &[u8]) {
    let Some(([start, count], rest)) = data.split_first_chunk() else { return };
    let count = usize::from(count % MOST_SEGMENTS);
    let Some((cuts, stream)) = rest.split_at_checked(count * 4) else { return };
    let segments: Vec<_> = cuts.chunks(4).filter_map(|cut| segment(cut, stream)).collect();
    // So near the end of all numbers that most streams go over it.
    let first = u32::from(*start).wrapping_sub(0x80);
    check_stream(first, stream, &segments);
    check_connection(first, &segments);
}

fn segment(cut: &[u8], stream: &[u8]) -> Option<Segment> {
    let at = usize::from(u16::from_be_bytes([cut[0], cut[1]])).min(stream.len());
    let end = (at + usize::from(cut[2])).min(stream.len());
    let mut bytes = stream[at..end].to_vec();
    let last = bytes.last_mut()?;
    *last ^= (cut[3] & 1) << 7;
    Some(Segment { at, bytes, blind: cut[3] & 2 != 0 })
}

/// The messages of `stream` up to `end`, and where the first begins that is not there whole. `None`: one is too long.
fn messages(stream: &[u8], end: usize) -> (Vec<&[u8]>, Option<usize>) {
    let (mut messages, mut at) = (Vec::new(), 0);
    while let Some([high, low]) = stream[at..end].first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length > LONGEST {
            return (messages, None);
        }
        let Some(message) = stream[at + 2..end].get(..length) else { break };
        messages.push(message);
        at += 2 + length;
    }
    (messages, Some(at))
}

/// A receiver keeps bytes in an array.
fn check_stream(first: u32, stream: &[u8], segments: &[Segment]) {
    let mut pushed = Stream::starting_at(first, LONGEST);
    let mut bytes: Vec<Option<u8>> = vec![None; stream.len()];
    let (mut handed, mut taken) = (Vec::new(), 0);
    for segment in segments {
        let sequence = first.wrapping_add(segment.at as u32);
        let end = pushed.push(sequence, &segment.bytes, |message| handed.push(message.to_vec()));
        let places = || bytes[segment.at..].iter().zip(&segment.bytes);
        // What was handed on is gone, and nobody compares with it any more.
        let contradicts = places()
            .enumerate()
            .any(|(i, (old, new))| segment.at + i >= taken && old.is_some_and(|old| old != *new));
        assert_eq!(end == Err(Broken::Contradiction), contradicts, "at {}", segment.at);
        if contradicts {
            return;
        }
        for (place, byte) in bytes[segment.at..].iter_mut().zip(&segment.bytes) {
            place.get_or_insert(*byte);
        }
        let received: Vec<u8> = bytes.iter().map_while(|byte| *byte).collect();
        let (expected, rest) = messages(&received, received.len());
        assert_eq!(handed, expected);
        let Some(rest) = rest else {
            assert_eq!(end, Err(Broken::TooLong));
            return;
        };
        assert_eq!(end, Ok(()));
        assert_eq!(pushed.next(), first.wrapping_add(received.len() as u32));
        let waits = bytes[rest..].iter().flatten().count();
        assert_eq!(pushed.kept(), waits, "what was handed on is not kept");
        taken = rest;
    }
}

/// One question was asked: at most one answer is handed on, and it is to that question.
fn check_connection(first: u32, segments: &[Segment]) {
    const POD: WorkloadIndex = WorkloadIndex(7);
    const OPENED: u32 = 1000;
    let ends = Ends::new("10.0.0.7:40000", "10.96.0.10:53");
    let query = dns(7, false, "a.example", 1);
    let length = (query.len() as u16).to_be_bytes();
    let asked = Question::of(&query, false).expect("a question");
    let now = Duration::from_secs(1);
    let mut connections = Connections::default();
    for frame in [ends.segment(SYN, OPENED, 0, b""), {
        ends.segment(ACK, OPENED + 1, first, &[&length[..], &query].concat())
    }] {
        let read = TcpFrame::parse(&frame).expect("a segment of ours");
        connections.sent(POD, &read, now).expect("it is well");
    }
    let sent = OPENED + 1 + 2 + query.len() as u32;
    let agreed = ends.back().segment(SYN | ACK, first.wrapping_sub(1), OPENED + 1, b"");
    let agreed = TcpFrame::parse(&agreed).expect("a segment of ours");
    connections.received(POD, &agreed, now, |_| unreachable!("it carries nothing")).expect("it agrees");
    let mut answers = 0;
    let mut blind = true;
    for segment in segments {
        let acknowledged = if segment.blind { sent + 1 } else { sent };
        let frame =
            ends.back().segment(ACK, first.wrapping_add(segment.at as u32), acknowledged, &segment.bytes);
        let frame = TcpFrame::parse(&frame).expect("a segment of ours");
        blind &= segment.blind;
        let _ = connections.received(POD, &frame, now, |message| {
            assert_eq!(Question::of(message, true).as_ref(), Some(&asked));
            answers += 1;
        });
    }
    assert!(answers <= u32::from(!blind), "one question has one answer, and none from who sees nothing");
    connections.sweep(now + Duration::from_hours(1));
}
