use super::super::frame::{Checksum, complete_checksum};
use super::super::{TcpFrame, UdpFrame};
use super::*;

/// An answer with one address, of the question `a.example`.
const ANSWER: &[u8] = b"\x00\x07\x85\xa0\x00\x01\x00\x01\x00\x00\x00\x01\x01a\x07example\x00\x00\x01\x00\x01\
    \xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x0a\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
const QUESTION: usize = 12 + 11 + 4;

/// A frame with a datagram or a segment, its checksums as they should be.
fn frame(v6: bool, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = match protocol {
        17 => [&[0, 53, 0x9c, 0x40][..], &((8 + payload.len()) as u16).to_be_bytes(), &[0, 0]].concat(),
        _ => [&[0, 53, 0x9c, 0x40, 0, 0, 0, 9, 0, 0, 0, 5, 0x50, 0x18, 1, 0, 0, 0, 0, 0][..]].concat(),
    };
    packet.extend(payload);
    let length = packet.len() as u16;
    let network = match v6 {
        false => {
            let mut header =
                vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 53, 10, 0, 0, 7];
            header[2..4].copy_from_slice(&(20 + length).to_be_bytes());
            header
        }
        true => {
            let mut header = vec![0; 40];
            (header[0], header[6], header[7]) = (0x60, protocol, 64);
            header[4..6].copy_from_slice(&length.to_be_bytes());
            (header[23], header[39]) = (0x35, 7);
            header
        }
    };
    let kind: [u8; 2] = if v6 { [0x86, 0xdd] } else { [8, 0] };
    let mut frame = [&[2; 12], &kind[..], &network, &packet, b"padding"].concat();
    let found = locate(&frame).expect("a packet");
    let whole = checksum_of(&found, &frame[found.start..found.end]);
    let at = found.start + found.checksum_at();
    frame[at..at + 2].copy_from_slice(&whole.to_be_bytes());
    frame
}

#[test]
fn over_udp_the_question_is_refused_and_nothing_else_is_left() {
    for v6 in [false, true] {
        let mut frame = frame(v6, 17, ANSWER);
        refuse(&mut frame).expect("an answer");
        assert_eq!(complete_checksum(&mut frame), Ok(Checksum::Right));
        let message = UdpFrame::parse(&frame).expect("a datagram").payload;
        assert_eq!(message.len(), QUESTION);
        // A response that the resolver would recurse for, refused; one question and no record.
        assert_eq!(message[..12], [0, 7, 0x81, 0x85, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(message[12..], ANSWER[12..QUESTION]);
        if !v6 {
            assert_eq!(super::super::frame::header_checksum(&frame[14..34]), 0);
        }
    }
}

#[test]
fn over_tcp_the_connection_ends() {
    for v6 in [false, true] {
        let mut frame = frame(v6, 6, ANSWER);
        refuse(&mut frame).expect("a segment");
        assert_eq!(complete_checksum(&mut frame), Ok(Checksum::Right));
        let segment = TcpFrame::parse(&frame).expect("a segment");
        assert!(segment.resets() && segment.acknowledges() && segment.payload.is_empty());
        assert_eq!((segment.sequence, segment.acknowledgment), (9, 5));
    }
}

#[test]
fn a_message_without_one_question_that_can_be_read_keeps_its_header_alone() {
    for message in [
        &b"\x00\x07\x85\x80\x00\x02\x00\x01\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01"[..],
        b"\x00\x07\x85\x80\x00\x01\x00\x01\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01",
        b"\x00\x07\x85\x80\x00\x01\x00\x01\x00\x00\x00\x00\x3fa",
    ] {
        let mut frame = frame(false, 17, message);
        refuse(&mut frame).expect("a datagram");
        let left = UdpFrame::parse(&frame).expect("a datagram").payload;
        assert_eq!(left, [0, 7, 0x81, 0x85, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    let mut short = frame(false, 17, b"\x00\x07\x85");
    let before = short.clone();
    assert!(refuse(&mut short).is_err());
    assert_eq!(short, before);
}
