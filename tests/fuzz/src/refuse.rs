//! Refusals: for whatever packet, the reset or error that its sender gets is a frame that its kernel takes.
//!
//! Input: a frame. Held against etherparse, and a sum of its own.

use std::net::IpAddr;

use egret_decide::parse::{self, Parsed};
use egret_decide::refuse::{
    RESET4, RESET6, UNREACHABLE4, UNREACHABLE6, cut4, cut6, reset4, reset6, unreachable4, unreachable6,
};
use egret_decide::testing::frame::Frame;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use crate::plain::{self, LINK, Packet, TCP, UDP};

/// Refuses the frame in the way its judge would.
pub fn run(data: &[u8]) {
    let frame = Frame::new(data.to_vec());
    let Some(packet) = Packet::read(&frame) else { return };
    let (protocol, at) = match (parse::ipv4(&frame), parse::ipv6(&frame)) {
        (Parsed::Flow(headers), _) if packet.from.is_ipv4() => {
            (headers.key.protocol as u8, headers.transport)
        }
        (_, Parsed::Flow(headers)) if packet.from.is_ipv6() => {
            (headers.key.protocol as u8, headers.transport)
        }
        _ => return,
    };
    match (protocol, packet.from.is_ipv4()) {
        (TCP, true) => {
            let mut out = [0; RESET4];
            reset4(&frame, at, &mut out).expect("a TCP packet that was read can be refused");
            check_reset(&frame, &packet, &out);
            let mut on = [0; RESET4];
            assert_eq!(cut4(&frame, at, &mut on).is_some(), packet.plain);
            if packet.plain {
                check_cut(&frame, &packet, &on);
            }
        }
        (TCP, false) => {
            let mut out = [0; RESET6];
            reset6(&frame, at, &mut out).expect("a TCP packet that was read can be refused");
            check_reset(&frame, &packet, &out);
            let mut on = [0; RESET6];
            assert_eq!(cut6(&frame, at, &mut on).is_some(), packet.plain);
            if packet.plain {
                check_cut(&frame, &packet, &on);
            }
        }
        (UDP, true) if packet.plain => {
            let mut out = [0; UNREACHABLE4];
            unreachable4(&frame, &mut out).expect("a plain datagram can be refused");
            check_error(&frame, &packet, &out, &frame[LINK..LINK + 28]);
        }
        (UDP, false) => {
            let mut out = [0; UNREACHABLE6];
            unreachable6(&frame, at, &mut out).expect("a datagram that was read can be refused");
            let mut quoted = [&frame[LINK..LINK + 40], &packet.payload[..8]].concat();
            let length =
                plain::be16(&frame, LINK + 4).expect("a header").wrapping_sub((at - LINK - 40) as u16);
            quoted[4..6].copy_from_slice(&length.to_be_bytes());
            quoted[6] = UDP;
            check_error(&frame, &packet, &out, &quoted);
        }
        _ => {}
    }
}

/// The segment goes on as a reset, with its own ends and numbers.
fn check_cut(frame: &Frame, packet: &Packet<'_>, made: &[u8]) {
    assert_eq!(made[..LINK], frame[..LINK]);
    let (from, to, payload) = network(made);
    assert_eq!((from, to), (packet.from, packet.to));
    assert_eq!(transport_sum(from, to, TCP, payload), 0xffff, "the transport's checksum");
    assert_eq!(payload[..12], packet.payload[..12], "ports and numbers");
    assert_eq!(payload[13] & 0x17, 0x04 | (packet.payload[13] & 0x10), "a reset, with the segment's ACK");
}

/// A reset that its receiver's connection accepts: RFC 9293, section 3.5.2.
fn check_reset(frame: &Frame, packet: &Packet<'_>, made: &[u8]) {
    let TransportSlice::Tcp(tcp) = check_headers(frame, packet, made, TCP) else { panic!("no TCP") };
    let theirs = packet.payload;
    assert_eq!(
        (Some(tcp.source_port()), Some(tcp.destination_port())),
        (plain::be16(theirs, 2), plain::be16(theirs, 0))
    );
    assert!(tcp.rst() && !tcp.syn() && !tcp.fin() && tcp.payload().is_empty());
    // A length of 0 means one that the header has no room for; etherparse then takes all that is there.
    if packet.from.is_ipv6() && plain::be16(frame, LINK + 4) == Some(0) {
        return;
    }
    let Ok(whole) = SlicedPacket::from_ethernet(frame) else { return };
    let Some(TransportSlice::Tcp(theirs)) = whole.transport else { return };
    if theirs.ack() {
        assert!(!tcp.ack() && tcp.sequence_number() == theirs.acknowledgment_number());
    } else {
        let brought = theirs.payload().len() as u32 + u32::from(theirs.syn()) + u32::from(theirs.fin());
        assert!(tcp.ack() && tcp.sequence_number() == 0);
        assert_eq!(tcp.acknowledgment_number(), theirs.sequence_number().wrapping_add(brought));
    }
}

/// An error that quotes the beginning of what it refuses so.
fn check_error(frame: &Frame, packet: &Packet<'_>, made: &[u8], quoted: &[u8]) {
    let protocol = if packet.from.is_ipv4() { plain::ICMP } else { plain::ICMP6 };
    let payload = match check_headers(frame, packet, made, protocol) {
        TransportSlice::Icmpv4(icmp) => {
            assert_eq!((icmp.type_u8(), icmp.code_u8()), (3, 3), "port unreachable");
            icmp.payload()
        }
        TransportSlice::Icmpv6(icmp) => {
            assert_eq!((icmp.type_u8(), icmp.code_u8()), (1, 4), "port unreachable");
            icmp.payload()
        }
        other => panic!("no ICMP: {other:?}"),
    };
    assert_eq!(payload, quoted);
}

/// Well-formed, from where the packet went to where it came from, and with right checksums.
fn check_headers<'m>(frame: &Frame, packet: &Packet<'_>, made: &'m [u8], protocol: u8) -> TransportSlice<'m> {
    assert_eq!((&made[..6], &made[6..12], &made[12..14]), (&frame[6..12], &frame[..6], &frame[12..14]));
    let (from, to, payload) = network(made);
    assert_eq!((from, to), (packet.to, packet.from));
    assert_eq!(transport_sum(from, to, protocol, payload), 0xffff, "the transport's checksum");
    let sliced = SlicedPacket::from_ethernet(made).expect("a well-formed frame");
    sliced.transport.expect("a transport header")
}

/// Addresses and payload of a well-formed frame.
fn network(made: &[u8]) -> (IpAddr, IpAddr, &[u8]) {
    let sliced = SlicedPacket::from_ethernet(made).expect("a well-formed frame");
    match sliced.net.expect("an IP packet") {
        NetSlice::Ipv4(ip) => {
            assert_eq!(plain::sum(&[ip.header().slice()]), 0xffff, "the header's checksum");
            assert_eq!(usize::from(ip.header().total_len()), made.len() - LINK);
            (ip.header().source_addr().into(), ip.header().destination_addr().into(), ip.payload().payload)
        }
        NetSlice::Ipv6(ip) => {
            assert_eq!(usize::from(ip.header().payload_length()), made.len() - LINK - 40);
            (ip.header().source_addr().into(), ip.header().destination_addr().into(), ip.payload().payload)
        }
        NetSlice::Arp(_) => panic!("no IP packet"),
    }
}

fn transport_sum(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> u16 {
    let tail = [(payload.len() as u16).to_be_bytes(), [0, protocol]].concat();
    match (from, to) {
        // ICMP for IPv4 sums no addresses.
        (IpAddr::V4(_), _) if protocol == plain::ICMP => plain::sum(&[payload]),
        (IpAddr::V4(from), IpAddr::V4(to)) => plain::sum(&[&from.octets(), &to.octets(), &tail, payload]),
        (IpAddr::V6(from), IpAddr::V6(to)) => plain::sum(&[&from.octets(), &to.octets(), &tail, payload]),
        _ => panic!("two families in one packet"),
    }
}
