use proptest::prelude::*;

use super::*;

const POD: WorkloadIndex = WorkloadIndex(7);
const NOW: Duration = Duration::from_secs(100);

fn resolver() -> IpAddr {
    "10.96.0.10".parse().unwrap()
}

fn pod() -> IpAddr {
    "10.0.0.7".parse().unwrap()
}

/// A datagram from port 53, its checksum right.
fn datagram(message: &[u8]) -> Vec<u8> {
    let length = (UDP + message.len()) as u16;
    let mut datagram = [&[0, 53, 0x9c, 0x40][..], &length.to_be_bytes(), &[0, 0], message].concat();
    // One that comes out as 0 is sent as its other spelling: 0 means that there is none.
    let sum = match frame::checksum(resolver(), pod(), &datagram) {
        0 => 0xffff,
        sum => sum,
    };
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    datagram
}

fn piece(whole: &[u8], at: usize, to: usize) -> Fragment<'_> {
    Fragment {
        source: resolver(),
        destination: pod(),
        id: 77,
        at,
        more: to < whole.len(),
        data: &whole[at..to.min(whole.len())],
        from: [2; 6],
        hops: 63,
    }
}

fn put(fragments: &mut Fragments, fragment: &Fragment<'_>) -> Result<Option<Vec<u8>>, Stray> {
    fragments.received(POD, fragment, fragment.at == 0, NOW)
}

#[test]
fn the_last_missing_fragment_gives_the_message_whichever_it_is() {
    let message: Vec<u8> = (0..40).collect();
    let whole = datagram(&message);
    let cuts = [(0, 16), (16, 32), (32, 48)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        let mut fragments = Fragments::default();
        let given: Vec<_> =
            order.map(|at| put(&mut fragments, &piece(&whole, cuts[at].0, cuts[at].1))).to_vec();
        assert_eq!(given, [Ok(None), Ok(None), Ok(Some(message.clone()))], "{order:?}");
        assert_eq!(fragments.kept, 0);
    }
}

#[test]
fn a_checksum_that_comes_out_as_zero_is_one_all_the_same() {
    let sum = datagram(&[0; 40])[6..8].to_vec();
    let message = [&sum[..], &[0; 38]].concat();
    let whole = datagram(&message);
    assert_eq!(whole[6..8], [0xff; 2]);
    let mut fragments = Fragments::default();
    assert_eq!(put(&mut fragments, &piece(&whole, 0, 16)), Ok(None));
    assert_eq!(put(&mut fragments, &piece(&whole, 16, 48)), Ok(Some(message)));
}

#[test]
fn pieces_of_a_datagram_without_a_checksum_teach_nothing_for_nothing_ties_them_together() {
    let mut whole = datagram(&[1; 40]);
    whole[6..8].fill(0);
    let mut fragments = Fragments::default();
    assert_eq!(put(&mut fragments, &piece(&whole, 0, 16)), Ok(None));
    assert_eq!(put(&mut fragments, &piece(&whole, 16, 48)), Err(Stray::Broken));
}

#[test]
fn fragments_of_what_was_not_asked_teach_nothing() {
    let whole = datagram(&[1; 40]);
    let mut fragments = Fragments::default();
    assert_eq!(fragments.received(POD, &piece(&whole, 0, 16), false, NOW), Ok(None));
    assert_eq!(put(&mut fragments, &piece(&whole, 16, 48)), Err(Stray::Message));
}

#[test]
fn a_forged_fragment_spoils_its_datagram_and_teaches_nothing() {
    let message: Vec<u8> = (0..40).collect();
    let whole = datagram(&message);
    let forged = datagram(&[9; 40]);
    let other = |change: fn(&mut Fragment<'_>)| {
        let mut fragment = piece(&whole, 16, 48);
        change(&mut fragment);
        fragment
    };
    let cases = [
        ("other bytes in the same place", piece(&forged, 16, 32)),
        ("an overlap", piece(&whole, 8, 32)),
        ("an overlap with the same bytes", piece(&whole, 24, 48)),
        ("from another neighbour", other(|f| f.from = [4; 6])),
        ("over another number of hops", other(|f| f.hops = 64)),
    ];
    for (what, bad) in cases {
        let mut fragments = Fragments::default();
        assert_eq!(put(&mut fragments, &piece(&whole, 0, 16)), Ok(None));
        assert_eq!(put(&mut fragments, &piece(&whole, 16, 32)), Ok(None));
        assert_eq!(put(&mut fragments, &bad), Err(Stray::Broken), "{what}");
        assert_eq!(put(&mut fragments, &piece(&whole, 32, 48)), Err(Stray::Broken), "{what}: for good");
        assert_eq!(fragments.kept, 0);
    }
    let mut fragments = Fragments::default();
    assert_eq!(put(&mut fragments, &piece(&whole, 0, 16)), Ok(None));
    assert_eq!(put(&mut fragments, &piece(&forged, 16, 48)), Err(Stray::Broken), "the checksum tells");
}

#[test]
fn the_end_of_a_datagram_is_where_its_last_fragment_ends() {
    let whole = datagram(&[1; 72]);
    for (what, first, second) in [
        ("two ends", (48, 80, false), (16, 40, false)),
        ("a piece beyond the end", (16, 40, false), (40, 64, true)),
        ("an end before a piece", (40, 64, true), (16, 40, false)),
    ] {
        let mut fragments = Fragments::default();
        let mut put = |(at, to, more): (usize, usize, bool)| {
            let fragment = Fragment { more, ..piece(&whole, at, to) };
            fragments.received(POD, &fragment, true, NOW)
        };
        assert_eq!((put(first), put(second)), (Ok(None), Err(Stray::Broken)), "{what}");
    }
}

#[test]
fn fragments_are_bounded_in_number_bytes_and_time() {
    let bounds = Bounds { datagrams: 3, bytes: 100, ..Bounds::default() };
    let whole = datagram(&[1; 72]);
    let mut fragments = Fragments::new(bounds);
    for id in 0..50 {
        let fragment = Fragment { id, ..piece(&whole, 0, 40) };
        let at = NOW + Duration::from_millis(id.into());
        assert_eq!(fragments.received(POD, &fragment, true, at), Ok(None));
        assert!(fragments.kept <= 100 && fragments.of[&POD].len() <= 3);
    }
    let other = WorkloadIndex(8);
    assert_eq!(fragments.received(other, &piece(&whole, 0, 40), true, NOW), Ok(None));
    let late = NOW + Duration::from_secs(4);
    assert_eq!(fragments.received(other, &piece(&whole, 40, 80), false, late), Ok(None), "too late");
    fragments.sweep(late + Duration::from_secs(4));
    assert_eq!((fragments.kept, fragments.of.len()), (0, 0));
    let mut full = Fragments::new(Bounds { bytes_in_all: 60, ..Bounds::default() });
    assert_eq!(full.received(POD, &piece(&whole, 0, 40), true, NOW), Ok(None));
    assert_eq!(full.received(other, &piece(&whole, 0, 40), true, NOW), Err(Stray::Full));
}

#[test]
fn a_datagram_in_more_pieces_than_anyone_sends_is_spoiled() {
    let whole = datagram(&[1; 8 * (PIECES + 4)]);
    let mut fragments = Fragments::default();
    let put = (0..=PIECES).map(|n| put(&mut fragments, &piece(&whole, n * 8, n * 8 + 8)));
    assert_eq!(put.last(), Some(Err(Stray::Broken)));
}

proptest! {
    #[test]
    fn no_frame_makes_the_reader_panic(v6: bool, changes in prop::collection::vec((12..80usize, any::<u8>()), 0..9), cut in 0..120usize) {
        let mut frame = vec![0; 120];
        frame[12..14].copy_from_slice(if v6 { &[0x86, 0xdd] } else { &[8, 0] });
        frame[14] = if v6 { 0x60 } else { 0x45 };
        (frame[16], frame[17], frame[23]) = (0, 100, 17);
        if v6 {
            (frame[18], frame[19], frame[20], frame[54]) = (0, 60, 44, 17);
        }
        for (at, byte) in changes {
            frame[at] = byte;
        }
        frame.truncate(cut);
        let _ = Fragment::parse(&frame);
    }

    #[test]
    fn any_cut_in_any_order_with_repetitions_gives_the_same_message(
        message in prop::collection::vec(any::<u8>(), 1..400),
        width in 1..12usize,
        swaps in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        again in any::<prop::sample::Index>(),
    ) {
        let whole = datagram(&message);
        let mut pieces: Vec<_> =
            (0..whole.len()).step_by(width * 8).map(|at| piece(&whole, at, at + width * 8)).collect();
        prop_assume!(pieces.len() <= PIECES);
        for pair in swaps.chunks_exact(2) {
            let (a, b) = (pair[0].index(pieces.len()), pair[1].index(pieces.len()));
            pieces.swap(a, b);
        }
        let mut fragments = Fragments::default();
        let last = pieces.pop().unwrap();
        for piece in &pieces {
            prop_assert_eq!(put(&mut fragments, piece), Ok(None));
        }
        if !pieces.is_empty() {
            let piece = pieces[again.index(pieces.len())];
            prop_assert_eq!(put(&mut fragments, &piece), Ok(None));
        }
        prop_assert_eq!(put(&mut fragments, &last), Ok(Some(message)));
    }
}
