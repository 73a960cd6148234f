//! IPv6 extension headers.

use super::Packet;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION: u8 = 60;

/// Steps over hop-by-hop, routing and destination options, at most six of them; to the protocol and where it starts.
/// `None`: there are more, they end too early, or the packet goes on elsewhere than it says.
#[inline(always)]
pub(crate) fn skip<P: Packet>(packet: &P, first: u8, start: usize) -> Option<(u8, usize)> {
    let (mut next, mut at) = (first, start);
    if !is_extension(next) {
        return Some((next, at));
    }
    for _ in 0..6 {
        if !is_extension(next) {
            return Some((next, at));
        }
        let [following, eights, kind, left] = packet.read::<4>(at)?;
        // With segments left, the destination is the next hop and not the end; type 0 is an attack (RFC 5095).
        if next == ROUTING && (kind == 0 || left != 0) {
            return None;
        }
        next = following;
        at += (eights as usize + 1) * 8;
    }
    if is_extension(next) { None } else { Some((next, at)) }
}

#[inline(always)]
fn is_extension(protocol: u8) -> bool {
    matches!(protocol, HOP_BY_HOP | ROUTING | DESTINATION)
}
