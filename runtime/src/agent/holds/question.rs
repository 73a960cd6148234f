//! From a packet on hold to what is asked about it: with the parser that put it there.

use egret_abi::{VerdictKey, WorkloadIndex};
use egret_decide::parse::{self, FlowKey, Packet, Parsed, WINDOW, fragment};

/// The ethertype of a VLAN tag, which is in the bytes once a packet has been through the gate.
const VLAN: u16 = 0x8100;

/// What modules are asked: of a destination, or of one flow there where its own port is in the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// Whose packet it is.
    pub workload: WorkloadIndex,
    /// Where it goes.
    pub key: VerdictKey,
}

/// What is asked about the packet in `frame`, its own port in the key; `None`: it cannot be read, and nobody put it on
/// hold.
pub fn key_of(frame: &[u8]) -> Option<VerdictKey> {
    let mut frame = Frame { bytes: frame, tag: 0 };
    if frame.ethertype()? == VLAN {
        frame.tag = 4;
    }
    match frame.ethertype()? {
        parse::IPV4 => match parse::ipv4(&frame) {
            Parsed::Flow(headers) => Some(key(&headers.key)),
            Parsed::Fragment => first(fragment::fragment4(&frame)),
            Parsed::Link(_) | Parsed::Unreadable(_) => None,
        },
        parse::IPV6 => match parse::ipv6(&frame) {
            Parsed::Flow(headers) => Some(key(&headers.key)),
            Parsed::Fragment => first(fragment::fragment6(&frame)),
            Parsed::Link(_) | Parsed::Unreadable(_) => None,
        },
        _ => None,
    }
}

fn first<K: FlowKey>(piece: fragment::Piece<K>) -> Option<VerdictKey> {
    match piece {
        fragment::Piece::Whole(headers) | fragment::Piece::First { headers, .. } => Some(key(&headers.key)),
        fragment::Piece::Later { .. } | fragment::Piece::Unreadable(_) => None,
    }
}

fn key<K: FlowKey>(flow: &K) -> VerdictKey {
    VerdictKey {
        remote: flow.remote(),
        remote_port: flow.remote_port(),
        local_port: flow.local_port(),
        protocol: flow.rule_protocol().into(),
    }
}

/// A frame of which the tag is left out.
struct Frame<'a> {
    bytes: &'a [u8],
    tag: usize,
}

impl Frame<'_> {
    fn ethertype(&self) -> Option<u16> {
        self.read(12).map(u16::from_be_bytes)
    }

    fn from(&self, at: usize) -> Option<&[u8]> {
        self.bytes.get(if at < 12 { at } else { at + self.tag }..)
    }
}

impl Packet for Frame<'_> {
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.from(at)?.first_chunk().copied()
    }

    fn words<const N: usize>(&self, at: usize) -> Option<[u32; N]> {
        let (words, _) = self.from(at)?.as_chunks::<4>();
        let words = words.get(..N)?;
        Some(std::array::from_fn(|i| words.get(i).copied().map_or(0, u32::from_ne_bytes)))
    }

    fn window(&self, _at: usize) -> Option<(&[u8; WINDOW], usize)> {
        None
    }

    fn length(&self) -> u32 {
        u32::try_from(self.bytes.len() - self.tag).unwrap_or(u32::MAX)
    }
}
