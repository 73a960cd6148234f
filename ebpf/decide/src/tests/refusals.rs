//! The answers to denied packets, read back by a parser of others and checked to the byte.

use std::net::IpAddr;

use etherparse::{
    Icmpv4Header, Icmpv6Header, NetHeaders, PacketHeaders, PayloadSlice, TcpHeader, TransportHeader,
};

use super::frame::{ACK, Ends, FIN, Frame, RST, SYN, with_extensions, with_options};
use super::world::both;
use crate::parse::LINK;
use crate::refuse::{
    RESET4, RESET6, UNREACHABLE4, UNREACHABLE6, cut4, cut6, reset4, reset6, unreachable4, unreachable6,
};

fn transport(frame: &Frame) -> usize {
    LINK + if frame.ethertype() == 0x0800 { (frame[LINK] & 15) as usize * 4 } else { 40 }
}

fn reset_at(frame: &Frame, transport: usize) -> Option<Vec<u8>> {
    if frame.ethertype() == 0x0800 {
        let mut out = [0; RESET4];
        reset4(frame, transport, &mut out).map(|()| out.to_vec())
    } else {
        let mut out = [0; RESET6];
        reset6(frame, transport, &mut out).map(|()| out.to_vec())
    }
}

fn unreachable_at(frame: &Frame, transport: usize) -> Option<Vec<u8>> {
    if frame.ethertype() == 0x0800 {
        let mut out = [0; UNREACHABLE4];
        unreachable4(frame, &mut out).map(|()| out.to_vec())
    } else {
        let mut out = [0; UNREACHABLE6];
        unreachable6(frame, transport, &mut out).map(|()| out.to_vec())
    }
}

/// Reads a whole frame, and checks that it goes from the other end back to the sender of `frame`.
fn read<'a>(bytes: &'a [u8], frame: &Frame, ends: Ends) -> PacketHeaders<'a> {
    let packet = PacketHeaders::from_ethernet_slice(bytes).unwrap();
    let link = packet.link.clone().unwrap().ethernet2().unwrap();
    assert_eq!((&link.destination[..], &link.source[..]), (&frame[6..12], &frame[0..6]));
    match packet.net.as_ref().unwrap() {
        NetHeaders::Ipv4(ip, options) => {
            assert_eq!(
                (IpAddr::from(ip.source), IpAddr::from(ip.destination)),
                (ends.to.ip(), ends.from.ip())
            );
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            assert_eq!(ip.total_len as usize, bytes.len() - LINK);
            assert_eq!((ip.time_to_live, ip.dont_fragment, ip.more_fragments), (64, true, false));
            assert!(options.is_empty());
        }
        NetHeaders::Ipv6(ip, extensions) => {
            assert_eq!(
                (IpAddr::from(ip.source), IpAddr::from(ip.destination)),
                (ends.to.ip(), ends.from.ip())
            );
            assert_eq!((ip.payload_length as usize, ip.hop_limit), (bytes.len() - LINK - 40, 64));
            assert!(extensions.is_empty());
        }
        NetHeaders::Arp(_) => panic!("no IP"),
    }
    packet
}

/// The TCP header of the reset that refuses `frame`.
fn reset(frame: &Frame, ends: Ends) -> TcpHeader {
    let bytes = reset_at(frame, transport(frame)).unwrap();
    let packet = read(&bytes, frame, ends);
    let Some(TransportHeader::Tcp(tcp)) = packet.transport.clone() else { panic!("no TCP") };
    let checksum = match packet.net.unwrap() {
        NetHeaders::Ipv4(ip, _) => tcp.calc_checksum_ipv4(&ip, &[]).unwrap(),
        NetHeaders::Ipv6(ip, _) => tcp.calc_checksum_ipv6(&ip, &[]).unwrap(),
        NetHeaders::Arp(_) => panic!("no IP"),
    };
    assert_eq!(tcp.checksum, checksum);
    assert_eq!((tcp.source_port, tcp.destination_port), (ends.to.port(), ends.from.port()));
    assert_eq!((tcp.window_size, tcp.urgent_pointer, tcp.data_offset()), (0, 0, 5));
    assert!(tcp.rst && !(tcp.syn || tcp.fin || tcp.psh || tcp.urg || tcp.ece || tcp.cwr || tcp.ns));
    tcp
}

#[test]
fn a_reset_takes_its_numbers_from_the_segment_as_rfc_9293_has_it() {
    // Flags, sequence, acknowledgment and payload; then the sequence of the reset, and what it acknowledges.
    for (flags, sequence, acknowledgment, payload, expected) in [
        (SYN, 1000, 0, &b""[..], (0, Some(1001))),
        (SYN, 1000, 0, b"fast open", (0, Some(1010))),
        (SYN, 1000, 7777, b"", (0, Some(1001))),
        (SYN | FIN, 1000, 0, b"", (0, Some(1002))),
        (FIN, 1000, 0, b"bye", (0, Some(1004))),
        (0, 1000, 0, b"data", (0, Some(1004))),
        (SYN, u32::MAX, 0, b"", (0, Some(0))),
        (SYN, u32::MAX - 1, 0, b"odd", (0, Some(2))),
        (ACK, 1000, 2000, b"", (2000, None)),
        (ACK, 1000, 2000, b"data", (2000, None)),
        (ACK | FIN, 1000, u32::MAX, b"", (u32::MAX, None)),
        (SYN | ACK, 1000, 0, b"", (0, None)),
    ] {
        for ends in both(443) {
            let tcp = reset(&ends.segment(flags, sequence, acknowledgment, payload), ends);
            let acknowledged = tcp.ack.then_some(tcp.acknowledgment_number);
            assert_eq!((tcp.sequence_number, acknowledged), expected, "{flags:#x} {payload:?}");
            assert!(tcp.ack || tcp.acknowledgment_number == 0);
        }
    }
}

#[test]
fn a_reset_counts_payload_and_not_options_padding_or_ip_options() {
    let with_tcp_options = |frame: Frame| {
        let at = transport(&frame);
        // 8 words of header: 12 bytes of what was payload are options.
        frame.with(at + 12, &[8 << 4])
    };
    for ends in both(443) {
        let segment = ends.segment(SYN, 1000, 0, &[1; 20]);
        assert_eq!(reset(&with_tcp_options(segment.clone()), ends).acknowledgment_number, 1009);
        let padded = ends.segment(SYN, 1000, 0, b"").and(&[0; 6]);
        assert_eq!(reset(&padded, ends).acknowledgment_number, 1001);
        // A header that says it is longer than the packet brings nothing.
        let at = transport(&segment);
        let long = ends.segment(SYN, 1000, 0, b"").with(at + 12, &[15 << 4]);
        assert_eq!(reset(&long, ends).acknowledgment_number, 1001);
    }
    let [v4, v6] = both(443);
    let optioned = with_options(&v4.segment(SYN, 1000, 0, b"data"), 10);
    assert_eq!(reset(&optioned, v4).acknowledgment_number, 1005);
    let extended = with_extensions(&v6.segment(SYN, 1000, 0, b"data"), 60, 6, 2);
    let bytes = reset_at(&extended, LINK + 40 + 6 * 16).unwrap();
    let packet = read(&bytes, &extended, v6);
    assert_eq!(packet.transport.unwrap().tcp().unwrap().acknowledgment_number, 1005);
}

#[test]
fn a_reset_is_not_made_from_a_header_that_is_not_there() {
    for ends in both(443) {
        let frame = ends.tcp(SYN);
        let at = transport(&frame);
        for length in [LINK, at, at + 19] {
            assert_eq!(reset_at(&frame.clone().cut(length), at), None, "{length}");
        }
        assert_eq!(reset_at(&frame, usize::MAX - 100), None);
        // A reset that is refused itself cannot loop: one is never answered (see `names`).
        assert!(reset_at(&ends.tcp(RST), at).is_some());
    }
}

#[test]
fn an_icmp_error_quotes_the_datagram_that_it_refuses() {
    for ends in both(443) {
        for payload in [&b""[..], b"x", &[0xff; 1000]] {
            let frame = ends.udp(payload);
            let bytes = unreachable_at(&frame, transport(&frame)).unwrap();
            let packet = read(&bytes, &frame, ends);
            let quoted = match packet.transport.as_ref().unwrap() {
                TransportHeader::Icmpv4(header) => {
                    assert_port_unreachable4(header, packet.payload.slice());
                    packet.payload.slice()
                }
                TransportHeader::Icmpv6(header) => {
                    let NetHeaders::Ipv6(ip, _) = packet.net.as_ref().unwrap() else { panic!("no IPv6") };
                    assert_port_unreachable6(header, ip, packet.payload.slice());
                    packet.payload.slice()
                }
                other => panic!("no ICMP: {other:?}"),
            };
            assert!(matches!(packet.payload, PayloadSlice::Icmpv4(_) | PayloadSlice::Icmpv6(_)));
            assert_eq!(quoted, &frame[LINK..transport(&frame) + 8]);
        }
    }
}

#[test]
fn an_icmp_error_quotes_over_ipv6_what_its_sender_wrote_before_it_was_cut_into_pieces() {
    let [_, v6] = both(443);
    let frame = v6.udp(b"data");
    let expected = unreachable_at(&frame, LINK + 40);
    // A fragment header, and others.
    for (kind, count, eights) in [(44, 1, 1), (60, 1, 1), (0, 1, 3), (60, 6, 2)] {
        let extended = with_extensions(&frame, kind, count, eights);
        let at = LINK + 40 + count * usize::from(eights) * 8;
        assert_eq!(unreachable_at(&extended, at), expected, "{kind} {count} {eights}");
    }
}

fn assert_port_unreachable4(header: &Icmpv4Header, payload: &[u8]) {
    use etherparse::{Icmpv4Type::DestinationUnreachable, icmpv4::DestUnreachableHeader::Port};
    assert_eq!(header.icmp_type, DestinationUnreachable(Port));
    assert_eq!(header.checksum, header.icmp_type.calc_checksum(payload));
}

fn assert_port_unreachable6(header: &Icmpv6Header, ip: &etherparse::Ipv6Header, payload: &[u8]) {
    use etherparse::{Icmpv6Type::DestinationUnreachable, icmpv6::DestUnreachableCode::Port};
    assert_eq!(header.icmp_type, DestinationUnreachable(Port));
    let checksum = header.icmp_type.calc_checksum(ip.source, ip.destination, payload).unwrap();
    assert_eq!(header.checksum, checksum);
}

#[test]
fn an_icmp_error_is_not_made_where_it_could_not_quote_the_ports() {
    let [v4, v6] = both(443).map(|ends| ends.udp(b"data"));
    assert_eq!(unreachable_at(&with_options(&v4, 1), LINK + 24), None);
    assert_eq!(unreachable_at(&with_extensions(&v6, 60, 1, 1).cut(LINK + 55), LINK + 48), None);
    assert_eq!(unreachable_at(&v6, LINK + 39), None);
    for length in [LINK, LINK + 27] {
        assert_eq!(unreachable_at(&v4.clone().cut(length), LINK + 20), None);
    }
    assert_eq!(unreachable_at(&v6.cut(LINK + 47), LINK + 40), None);
}

fn cut(frame: &Frame) -> Option<Vec<u8>> {
    if frame.ethertype() == 0x0800 {
        let mut out = [0; RESET4];
        cut4(frame, transport(frame), &mut out).map(|()| out.to_vec())
    } else {
        let mut out = [0; RESET6];
        let at = if frame[LINK + 6] == 6 { LINK + 40 } else { LINK + 48 };
        cut6(frame, at, &mut out).map(|()| out.to_vec())
    }
}

#[test]
fn a_connection_is_ended_for_its_peer_by_a_reset_with_the_numbers_of_the_segment() {
    for ends in both(443) {
        for (flags, sequence, acknowledgment) in
            [(ACK, 7, 9), (ACK | FIN, u32::MAX, 0xffff_0000), (0, 0, 0), (RST | ACK, 1, 2)]
        {
            let frame = ends.segment(flags, sequence, acknowledgment, b"what nobody is to read");
            let bytes = cut(&frame).unwrap();
            let packet = PacketHeaders::from_ethernet_slice(&bytes).unwrap();
            assert_eq!(bytes[..LINK], frame[..LINK]);
            let Some(TransportHeader::Tcp(tcp)) = packet.transport.clone() else { panic!("no TCP") };
            let checksum = match packet.net.unwrap() {
                NetHeaders::Ipv4(ip, _) => {
                    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
                    assert_eq!(
                        (IpAddr::from(ip.source), IpAddr::from(ip.destination)),
                        (ends.from.ip(), ends.to.ip())
                    );
                    tcp.calc_checksum_ipv4(&ip, &[]).unwrap()
                }
                NetHeaders::Ipv6(ip, _) => {
                    assert_eq!(
                        (IpAddr::from(ip.source), IpAddr::from(ip.destination)),
                        (ends.from.ip(), ends.to.ip())
                    );
                    tcp.calc_checksum_ipv6(&ip, &[]).unwrap()
                }
                NetHeaders::Arp(_) => panic!("no IP"),
            };
            assert_eq!(tcp.checksum, checksum);
            assert_eq!((tcp.source_port, tcp.destination_port), (ends.from.port(), ends.to.port()));
            assert_eq!((tcp.sequence_number, tcp.acknowledgment_number), (sequence, acknowledgment));
            assert_eq!(
                (tcp.rst, tcp.ack, tcp.fin, tcp.syn, tcp.data_offset()),
                (true, flags & ACK != 0, false, false, 5)
            );
            assert!(!bytes.windows(4).any(|window| window == b"what"));
        }
    }
}

#[test]
fn its_checksum_is_what_a_device_wants_that_is_to_complete_it() {
    for ends in both(443) {
        let bytes = cut(&ends.segment(ACK, 0xdead_beef, 0x1234_5678, b"data")).unwrap();
        let sum = |bytes: &[u8], from: u64| {
            let words = bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(pair[1]));
            let mut sum = words.sum::<u64>() + from;
            while sum > 0xffff {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            sum
        };
        let (addresses, tcp) = if ends.from.is_ipv4() { (26..34, 34) } else { (22..54, 54) };
        let pseudo = sum(&bytes[addresses], 6 + 20);
        assert_eq!(sum(&bytes[tcp + 16..tcp + 18], 0), pseudo, "the sum of the pseudo header");
        // What the device writes: the complement of the sum of all of the segment.
        let completed = !(sum(&bytes[tcp..], 0) as u16);
        let mut sent = bytes.clone();
        sent[tcp + 16..tcp + 18].copy_from_slice(&completed.to_be_bytes());
        assert_eq!(sum(&sent[tcp..], pseudo), 0xffff);
    }
}

#[test]
fn behind_options_or_extension_headers_a_segment_is_not_made_a_reset() {
    let [v4, v6] = both(443).map(|ends| ends.tcp(ACK));
    assert_eq!(cut(&with_options(&v4, 1)), None);
    assert_eq!(cut(&with_extensions(&v6, 60, 1, 1)), None);
}
