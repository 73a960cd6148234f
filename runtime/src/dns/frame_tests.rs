use super::*;

/// A frame around `payload`, with the UDP checksum field as `checksum` makes it of (pseudo-header sum, whole sum).
fn frame_of(
    network: &[u8],
    pseudo: u32,
    payload: &[u8],
    checksum: impl Fn(u16, u16) -> u16,
    tail: &[u8],
) -> Vec<u8> {
    let mut udp = [53u16.to_be_bytes(), 40_000u16.to_be_bytes()].concat();
    udp.extend((UDP as u16 + payload.len() as u16).to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    let pseudo = pseudo + udp.len() as u32 + 17;
    let field = checksum(fold(pseudo), !fold(pseudo + sum(&udp)));
    udp[6..8].copy_from_slice(&field.to_be_bytes());
    let kind: [u8; 2] = if network[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] };
    [&[2; 12], &kind[..], network, &udp, tail].concat()
}

fn ipv4_header(payload: usize, options: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 20];
    header[0] = 0x45 + (options.len() / 4) as u8;
    header[2..4].copy_from_slice(&((20 + options.len() + UDP + payload) as u16).to_be_bytes());
    header[6] = 0x40;
    header[9] = 17;
    header[12..16].copy_from_slice(&[10, 0, 0, 53]);
    header[16..20].copy_from_slice(&[10, 244, 0, 7]);
    [&header, options].concat()
}

fn ipv6_header(payload: usize, extensions: &[&[u8]]) -> Vec<u8> {
    let mut header = vec![0; 40];
    let length: usize = extensions.iter().map(|e| e.len()).sum::<usize>() + UDP + payload;
    header[0] = 0x60;
    header[4..6].copy_from_slice(&(length as u16).to_be_bytes());
    header[8..24].copy_from_slice(&"fd00::35".parse::<Ipv6Addr>().unwrap().octets());
    header[24..40].copy_from_slice(&"fd00:1::7".parse::<Ipv6Addr>().unwrap().octets());
    // The tests give each extension with its own number in front of its bytes; on the wire it stands in the one before.
    let mut next_at = 6;
    for extension in extensions {
        header[next_at] = extension[0];
        next_at = header.len();
        header.push(0);
        header.extend(&extension[1..]);
    }
    header[next_at] = 17;
    header
}

fn pseudo_of(network: &[u8]) -> u32 {
    if network[0] >> 4 == 4 { sum(&network[12..20]) } else { sum(&network[8..40]) }
}

const HOP_BY_HOP: &[u8] = &[0, 0, 1, 4, 0, 0, 0, 0];
const ROUTING_DONE: &[u8] = &[43, 0, 4, 0, 0, 0, 0, 0];
const ROUTING_ON_ITS_WAY: &[u8] = &[43, 0, 4, 1, 0, 0, 0, 0];
const LONG_OPTIONS: &[u8] = &[60, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const WHOLE_FRAGMENT: &[u8] = &[44, 0, 0, 0, 1, 2, 3, 4];
const FIRST_FRAGMENT: &[u8] = &[44, 0, 0, 1, 1, 2, 3, 4];
const AUTHENTICATION: &[u8] = &[51, 4, 0, 0, 0, 0, 0, 0];

fn networks(payload: usize) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("IPv4", ipv4_header(payload, &[])),
        ("IPv4 with options", ipv4_header(payload, &[1; 12])),
        ("IPv6", ipv6_header(payload, &[])),
        ("IPv6 with a hop-by-hop header", ipv6_header(payload, &[HOP_BY_HOP])),
        (
            "IPv6 with four extension headers",
            ipv6_header(payload, &[HOP_BY_HOP, LONG_OPTIONS, ROUTING_DONE, WHOLE_FRAGMENT]),
        ),
    ]
}

#[test]
fn a_datagram_is_found_in_every_kind_of_packet_and_padding_is_left_out() {
    for (what, network) in networks(3) {
        let frame = frame_of(&network, pseudo_of(&network), b"abc", |_, whole| whole, &[0xee; 9]);
        let found = UdpFrame::parse(&frame).unwrap();
        assert_eq!(found.payload, b"abc", "{what}");
        let (source, destination) = match network[0] >> 4 {
            4 => ("10.0.0.53:53", "10.244.0.7:40000"),
            _ => ("[fd00::35]:53", "[fd00:1::7]:40000"),
        };
        assert_eq!(found.source, source.parse().unwrap(), "{what}");
        assert_eq!(found.destination, destination.parse().unwrap(), "{what}");
    }
}

#[test]
fn a_partial_checksum_is_completed_and_every_other_one_is_left_as_it_is() {
    type Field = fn(u16, u16) -> u16;
    let fields: [(Checksum, Field); 4] = [
        (Checksum::Right, |_, whole| whole),
        (Checksum::Completed, |partial, _| partial),
        (Checksum::Absent, |_, _| 0),
        (Checksum::Wrong, |partial, whole| (1..).find(|odd| *odd != partial && *odd != whole).unwrap()),
    ];
    for payload in [&b""[..], b"x", b"even", b"odd\xff\x01", &[0xff; 1201]] {
        for (what, network) in networks(payload.len()) {
            for (expected, field) in fields {
                let pseudo = pseudo_of(&network);
                let mut frame = frame_of(&network, pseudo, payload, field, &[7; 3]);
                let whole = frame_of(&network, pseudo, payload, |_, whole| whole, &[7; 3]);
                let wanted = if expected == Checksum::Completed { whole } else { frame.clone() };
                let place = format!("{what}, {} bytes, {expected:?}", payload.len());
                assert_eq!(complete_checksum(&mut frame), Ok(expected), "{place}");
                assert_eq!(frame, wanted, "{place}");
            }
        }
    }
}

#[test]
fn frames_that_a_kernel_left_partial_are_completed() {
    // Taken from `lo` of Linux 6.18 through a packet socket; the whole checksums were computed by another program.
    let header = |kind: &str| format!("{}{kind}", "00".repeat(12));
    let payload = "6f6464206c656e67746821";
    for (network, ports_and_length, partial, whole) in [
        ("08004500002744db40004011f7e87f0000017f000001", "a1e3a50a0013", "fe26", [0x77, 0x1d]),
        (
            "86dd6009eaf1001311400000000000000000000000000000000100000000000000000000000000000001",
            "ad369bbf0013",
            "0026",
            [0x73, 0x16],
        ),
    ] {
        let hex = format!("{}{ports_and_length}{partial}{payload}", header(network));
        let mut frame: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        assert_eq!(complete_checksum(&mut frame), Ok(Checksum::Completed));
        let at = frame.len() - 11 - 2;
        assert_eq!(frame[at..at + 2], whole);
        assert_eq!(UdpFrame::parse(&frame).unwrap().payload, b"odd length!");
    }
}

#[test]
fn a_checksum_that_comes_out_as_zero_is_sent_as_its_other_spelling() {
    let network = ipv4_header(2, &[]);
    let pseudo = pseudo_of(&network);
    // The payload that brings the whole sum to 0xffff, whose complement is 0.
    let ports_and_length = u32::from(53u16) + 40_000 + 10;
    let filler = 0xffff - fold(pseudo + 10 + 17 + ports_and_length);
    let mut frame = frame_of(&network, pseudo, &filler.to_be_bytes(), |partial, _| partial, &[]);
    assert_eq!(complete_checksum(&mut frame), Ok(Checksum::Completed));
    assert_eq!(&frame[ETHERNET + 20 + 6..][..2], &[0xff, 0xff]);
    assert_eq!(complete_checksum(&mut frame), Ok(Checksum::Right));
}

#[test]
fn what_is_not_a_whole_udp_datagram_is_refused_with_its_reason() {
    fn changed(network: Vec<u8>, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut frame = frame_of(&network, 0, b"abc", |_, whole| whole, &[]);
        change(&mut frame);
        frame
    }
    let (v4, v6) = (|| ipv4_header(3, &[]), |extensions: &[&[u8]]| ipv6_header(3, extensions));
    for (frame, expected) in [
        (changed(v4(), |f| f[12..14].copy_from_slice(&[8, 6])), FrameError::NotIp),
        (changed(v4(), |f| f[12..14].copy_from_slice(&[0x81, 0])), FrameError::NotIp),
        (changed(v4(), |f| f[14] = 0x65), FrameError::NotIp),
        (changed(v4(), |f| f[14] = 0x44), FrameError::NotIp),
        (changed(v4(), |f| f[20] = 0x20), FrameError::Fragment),
        (changed(v4(), |f| f[21] = 1), FrameError::Fragment),
        (changed(v4(), |f| f[23] = 132), FrameError::Protocol(132)),
        (changed(v4(), |f| f[17] = 19), FrameError::Short("IPv4 packet")),
        (changed(v4(), |f| f[16] = 9), FrameError::Short("IPv4 packet")),
        (changed(v4(), |f| f[39] = 7), FrameError::Short("UDP datagram")),
        (changed(v4(), |f| f[39] = 12), FrameError::Short("UDP datagram")),
        (changed(v6(&[]), |f| f[14] = 0x40), FrameError::NotIp),
        (changed(v6(&[]), |f| f[19] = 200), FrameError::Short("IPv6 packet")),
        (changed(v6(&[]), |f| f[19] = 7), FrameError::Short("UDP header")),
        (changed(v6(&[FIRST_FRAGMENT]), |_| {}), FrameError::Fragment),
        (changed(v6(&[AUTHENTICATION]), |_| {}), FrameError::Protocol(51)),
        (changed(v6(&[ROUTING_ON_ITS_WAY]), |_| {}), FrameError::Protocol(43)),
        (changed(v6(&[HOP_BY_HOP]), |f| f[55] = 9), FrameError::Short("IPv6 extension header")),
        (changed(v6(&[HOP_BY_HOP; 10]), |_| {}), FrameError::Protocol(0)),
        (vec![0; 13], FrameError::Short("Ethernet header")),
    ] {
        assert_eq!(UdpFrame::parse(&frame).unwrap_err(), expected, "{frame:02x?}");
        let before = frame.clone();
        let mut frame = frame;
        assert_eq!(complete_checksum(&mut frame).unwrap_err(), expected);
        assert_eq!(frame, before);
    }
}

proptest::proptest! {
    #[test]
    fn no_frame_makes_the_parser_panic(
        which in 0..5usize,
        cut in 0..120usize,
        changes in proptest::collection::vec((12..80usize, proptest::prelude::any::<u8>()), 0..6),
    ) {
        let (_, network) = networks(20).swap_remove(which);
        let mut frame = frame_of(&network, 0, &[1; 20], |_, whole| whole, &[]);
        for (at, byte) in changes {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        frame.truncate(cut);
        let read = UdpFrame::parse(&frame).is_ok();
        proptest::prop_assert_eq!(complete_checksum(&mut frame).is_ok(), read);
    }
}
