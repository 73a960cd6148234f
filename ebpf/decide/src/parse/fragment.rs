//! Pieces of packets.
//!
//! The first piece is judged like a whole packet, for it has the ports; the others follow it. Nothing may be written
//! over what was judged, so the transport's header must be whole in the first piece and right behind the fragment's,
//! and no later one may reach into it.

use egret_abi::{Flow4Key, Flow6Key};

use super::{FRAGMENT6, FlowKey, Headers, LINK, Packet, SCTP, TCP, address, extensions, transport_header};

/// The bits of an IPv4 header that make a packet a fragment: more follow, or others were before.
pub(super) const ANY: u16 = MORE4 | 0x1fff;
const MORE4: u16 = 0x2000;
const MORE6: u16 = 0x0001;
const LONGEST: usize = 0xffff;

/// A piece of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<K> {
    /// All of it: an IPv6 packet in one piece.
    Whole(Headers<K>),
    /// The first, with the transport's header.
    First {
        /// What it says.
        headers: Headers<K>,
        /// What all pieces have in common.
        id: u32,
        /// Bytes at its start that nothing may be written over.
        guarded: u32,
    },
    /// A later one.
    Later {
        /// Its addresses and protocol.
        key: K,
        /// What all pieces have in common.
        id: u32,
        /// Where it belongs, in bytes.
        at: u32,
    },
    /// It cannot be read, or is made to deceive; what is there of its addresses.
    Unreadable(K),
}

/// Bytes of a transport's header, in the multiples of 8 that pieces are cut in.
#[inline(always)]
fn guarded(protocol: u8) -> usize {
    match protocol {
        TCP => 24,
        SCTP => 16,
        _ => 8,
    }
}

/// A fragment of an IPv4 packet: what [`super::ipv4`] calls one.
#[inline(always)]
pub fn fragment4<P: Packet>(packet: &P) -> Piece<Flow4Key> {
    let mut key = Flow4Key::default();
    let Some([first, second, third, source, destination]) = packet.words(LINK) else {
        return Piece::Unreadable(key);
    };
    let [version_and_words, _, total @ ..] = first.to_ne_bytes();
    let [id0, id1, fragment @ ..] = second.to_ne_bytes();
    let [_, protocol, ..] = third.to_ne_bytes();
    key.local = source.to_ne_bytes();
    key.remote = destination.to_ne_bytes();
    key.protocol = protocol as u32;
    let (header, fragment) = ((version_and_words & 15) as usize * 4, u16::from_be_bytes(fragment));
    let cut = Cut {
        at: (fragment & 0x1fff) as usize * 8,
        more: fragment & MORE4 != 0,
        length: (u16::from_be_bytes(total) as usize).saturating_sub(header),
        id: u16::from_be_bytes([id0, id1]) as u32,
    };
    cut.read(packet, key, LINK + header, || Some((protocol, LINK + header)))
}

/// A fragment of an IPv6 packet: what [`super::ipv6`] calls one.
#[inline(always)]
pub fn fragment6<P: Packet>(packet: &P) -> Piece<Flow6Key> {
    let mut key = Flow6Key::default();
    let Some(words) = packet.words::<10>(LINK) else { return Piece::Unreadable(key) };
    let [length0, length1, next, _] = words[1].to_ne_bytes();
    key.local = address(&words, 2);
    key.remote = address(&words, 6);
    key.protocol = FRAGMENT6 as u32;
    let Some((FRAGMENT6, at)) = extensions::skip(packet, next, LINK + 40) else {
        return Piece::Unreadable(key);
    };
    let at = packet.forget(at);
    let Some([next, _, high, low, id @ ..]) = packet.read::<8>(at) else { return Piece::Unreadable(key) };
    let (start, fragment) = (at + 8, u16::from_be_bytes([high, low]));
    let cut = Cut {
        at: (fragment & 0xfff8) as usize,
        more: fragment & MORE6 != 0,
        length: (LINK + 40 + u16::from_be_bytes([length0, length1]) as usize).saturating_sub(start),
        id: u32::from_be_bytes(id),
    };
    cut.read(packet, key, start, || extensions::skip(packet, next, start))
}

/// How a piece was cut out of its packet.
struct Cut {
    at: usize,
    more: bool,
    length: usize,
    id: u32,
}

impl Cut {
    /// `start`: where the piece's content starts. `transport`: the protocol, and where its header starts.
    #[inline(always)]
    fn read<P: Packet, K: FlowKey>(
        self,
        packet: &P,
        key: K,
        start: usize,
        transport: impl FnOnce() -> Option<(u8, usize)>,
    ) -> Piece<K> {
        // A receiver cuts what is not the last to whole multiples of 8.
        let length = if self.more { self.length & !7 } else { self.length };
        if length == 0 || self.at + length > LONGEST {
            return Piece::Unreadable(key);
        }
        if self.at != 0 {
            return Piece::Later { key, id: self.id, at: self.at as u32 };
        }
        let Some((protocol, transport)) = transport() else { return Piece::Unreadable(key) };
        let guarded = guarded(protocol);
        if self.more && (transport != start || length < guarded) {
            return Piece::Unreadable(key);
        }
        let Some(t) = transport_header(packet, protocol, transport) else { return Piece::Unreadable(key) };
        let key = key.carrying(protocol, t.ports);
        let headers = Headers { key, transport, flags: t.flags, request: t.request };
        if self.more {
            Piece::First { headers, id: self.id, guarded: guarded as u32 }
        } else {
            Piece::Whole(headers)
        }
    }
}
