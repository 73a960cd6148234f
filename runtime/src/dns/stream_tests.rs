use proptest::prelude::*;

use super::*;

fn framed(messages: &[&[u8]]) -> Vec<u8> {
    let lengths = messages.iter().map(|message| (message.len() as u16).to_be_bytes());
    lengths.zip(messages).flat_map(|(length, message)| [&length[..], message].concat()).collect()
}

/// Pushes `segments` (offset, bytes) of a stream that starts at `first`: all messages, and how it ended.
fn read(first: u32, segments: &[(usize, &[u8])]) -> (Vec<Vec<u8>>, Result<(), Broken>) {
    let mut stream = Stream::starting_at(first, usize::from(u16::MAX));
    let mut messages = Vec::new();
    for (at, bytes) in segments {
        let pushed =
            stream.push(first.wrapping_add(*at as u32), bytes, |message| messages.push(message.to_vec()));
        if pushed.is_err() {
            return (messages, pushed);
        }
    }
    (messages, Ok(()))
}

#[test]
fn several_messages_in_one_segment_are_several_messages() {
    let (messages, end) = read(7, &[(0, &framed(&[b"one", b"", b"three"]))]);
    assert_eq!((messages, end), (vec![b"one".to_vec(), vec![], b"three".to_vec()], Ok(())));
}

#[test]
fn a_message_is_complete_with_the_segment_that_fills_the_last_gap_and_not_before() {
    let bytes = framed(&[b"first", b"second"]);
    let mut stream = Stream::starting_at(0, 100);
    let mut push = |from: usize, to: usize| {
        let mut messages = Vec::new();
        stream.push(from as u32, &bytes[from..to], |m| messages.push(m.to_vec())).unwrap();
        messages
    };
    assert!(push(9, 15).is_empty());
    assert!(push(1, 4).is_empty());
    assert!(push(5, 9).is_empty());
    assert!(push(0, 1).is_empty(), "not even the length is whole without its second half");
    assert_eq!(push(4, 5), [b"first".to_vec(), b"second".to_vec()]);
    assert_eq!((stream.kept(), stream.next()), (0, 15));
}

#[test]
fn bytes_that_contradict_each_other_end_the_stream() {
    let bytes = framed(&[b"abcdefgh"]);
    for (what, segments) in [
        ("in the part that waits for the rest", [(0, &bytes[..6]), (3, &b"xc"[..])]),
        ("behind a gap", [(4, &bytes[4..8]), (5, &b"dxf"[..])]),
        ("at the edge of a piece", [(4, &bytes[4..8]), (7, &b"xy"[..])]),
        ("around a piece", [(5, &bytes[5..6]), (3, &b"bcxe"[..])]),
    ] {
        assert_eq!(read(0, &segments).1, Err(Broken::Contradiction), "{what}");
    }
    let same = [(0, &bytes[..6]), (0, &bytes[..6]), (2, &bytes[2..8]), (4, &bytes[4..])];
    assert_eq!(read(0, &same), (vec![b"abcdefgh".to_vec()], Ok(())), "what is sent again is the same");
}

#[test]
fn a_segment_whose_sequence_number_is_far_away_is_passed_over() {
    let bytes = framed(&[b"real"]);
    let forged = framed(&[b"forged"]);
    for far in [1usize << 21, 1 << 30, 1 << 31, (1 << 32) - (1 << 21)] {
        let (messages, end) = read(5, &[(far, &forged), (0, &bytes)]);
        assert_eq!((messages, end), (vec![b"real".to_vec()], Ok(())), "{far}");
    }
}

#[test]
fn what_waits_for_a_gap_is_bounded() {
    let mut stream = Stream::starting_at(0, 100);
    let pieces = (1..).map(|at| stream.push(at * 2, b"x", |_| {})).take_while(Result::is_ok).count();
    assert_eq!(pieces, PIECES);
    let mut stream = Stream::starting_at(0, 100);
    let whole = vec![0; AHEAD];
    assert_eq!(stream.push(1, &whole, |_| {}), Ok(()));
    assert_eq!(stream.push(1 + AHEAD as u32, b"x", |_| {}), Err(Broken::Full));
}

#[test]
fn a_message_longer_than_the_longest_ends_the_stream_as_soon_as_it_says_so() {
    let mut stream = Stream::starting_at(0, 100);
    assert_eq!(stream.push(0, &[0, 101], |_| {}), Err(Broken::TooLong));
}

proptest! {
    #[test]
    fn any_cut_in_any_order_with_repetitions_gives_the_same_messages(
        first in any::<u32>(),
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..8),
        cuts in prop::collection::vec((0..200usize, 1..60usize), 0..40),
        swaps in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
    ) {
        let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let bytes = framed(&messages);
        // Random pieces, then the whole in pieces of seven, so that nothing is missing.
        let random = cuts.iter().map(|(at, length)| (at % bytes.len(), *length));
        let whole = (0..bytes.len()).step_by(7).map(|at| (at, 7));
        let mut segments: Vec<(usize, &[u8])> =
            random.chain(whole).map(|(at, l)| (at, &bytes[at..(at + l).min(bytes.len())])).collect();
        for pair in swaps.chunks_exact(2) {
            let (a, b) = (pair[0].index(segments.len()), pair[1].index(segments.len()));
            segments.swap(a, b);
        }
        let (read, end) = read(first, &segments);
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(read, messages.iter().map(|m| m.to_vec()).collect::<Vec<_>>());
    }

    #[test]
    fn no_segments_make_it_panic_or_keep_more_than_its_bounds(
        segments in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..100)), 0..60),
        near in any::<bool>(),
    ) {
        let mut stream = Stream::starting_at(0, 200);
        for (sequence, bytes) in segments {
            let sequence = if near { sequence % 500 } else { sequence };
            if stream.push(sequence, &bytes, |_| {}).is_err() {
                break;
            }
            prop_assert!(stream.kept() <= AHEAD + 202);
        }
    }
}
