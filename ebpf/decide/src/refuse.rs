//! The refusals that a denied packet's sender gets: whole frames, made from the packet refused.
//!
//! They go back over the interface the packet came from, so the link addresses are swapped and the source is the
//! destination that was dialled, as if it had answered. `out` starts zeroed: a frame is too large to be handed about on a kernel stack.

use crate::parse::{ICMP, ICMP6, LINK, Packet, TCP, UDP};

/// Bytes of a TCP reset over IPv4, link header included.
pub const RESET4: usize = LINK + 20 + 20;
/// Bytes of a TCP reset over IPv6.
pub const RESET6: usize = LINK + 40 + 20;
/// Bytes of an ICMP error that quotes an IPv4 header without options and 8 bytes more.
pub const UNREACHABLE4: usize = LINK + 20 + 8 + 28;
/// Bytes of an ICMPv6 error that quotes an IPv6 header and 8 bytes more.
pub const UNREACHABLE6: usize = LINK + 40 + 8 + 48;

const ACK: u8 = 0x10;
const RST: u8 = 0x04;
const SYN_FIN: u8 = 0x03;
const HOPS: u8 = 64;

/// The reset that refuses the TCP segment whose header starts at `transport`.
#[inline(always)]
pub fn reset4<P: Packet>(packet: &P, transport: usize, out: &mut [u8; RESET4]) -> Option<()> {
    let link = packet.read::<LINK>(0)?;
    let ip = packet.read::<20>(LINK)?;
    let total = u16::from_be_bytes([ip[2], ip[3]]) as usize;
    let tcp = reset(packet, transport, (LINK + total).saturating_sub(transport))?;
    swap_link(out, &link);
    header4(out, &ip, TCP, 20 + 20);
    out[34..].copy_from_slice(&tcp);
    let sum = sum_from(&out[26..34], 0) + TCP as u32 + 20;
    let check = fold(sum_from(&out[34..], sum));
    out[50..52].copy_from_slice(&check);
    Some(())
}

/// The same over IPv6.
#[inline(always)]
pub fn reset6<P: Packet>(packet: &P, transport: usize, out: &mut [u8; RESET6]) -> Option<()> {
    let link = packet.read::<LINK>(0)?;
    let ip = packet.read::<40>(LINK)?;
    let payload = u16::from_be_bytes([ip[4], ip[5]]) as usize;
    let tcp = reset(packet, transport, (LINK + 40 + payload).saturating_sub(transport))?;
    swap_link(out, &link);
    header6(out, &ip, TCP, 20);
    out[54..].copy_from_slice(&tcp);
    let sum = sum_from(&out[22..54], 0) + TCP as u32 + 20;
    let check = fold(sum_from(&out[54..], sum));
    out[70..72].copy_from_slice(&check);
    Some(())
}

/// The reset that ends a connection for its other end: the segment goes on as one, with nothing of it but its ends and
/// numbers. None behind IP options, where a checksum that the sender left to the device would be put elsewhere.
#[inline(always)]
pub fn cut4<P: Packet>(packet: &P, transport: usize, out: &mut [u8; RESET4]) -> Option<()> {
    if transport != LINK + 20 {
        return None;
    }
    let ip = packet.read::<20>(LINK)?;
    out[..LINK].copy_from_slice(&packet.read::<LINK>(0)?);
    header4(out, &ip, TCP, 20 + 20);
    out[26..34].copy_from_slice(&ip[12..20]);
    let pseudo = sum_from(&out[26..34], 0) + TCP as u32 + 20;
    out[34..].copy_from_slice(&onward(&packet.read::<20>(transport)?, pseudo));
    Some(())
}

/// The same over IPv6; none behind extension headers.
#[inline(always)]
pub fn cut6<P: Packet>(packet: &P, transport: usize, out: &mut [u8; RESET6]) -> Option<()> {
    if transport != LINK + 40 {
        return None;
    }
    let ip = packet.read::<40>(LINK)?;
    out[..LINK].copy_from_slice(&packet.read::<LINK>(0)?);
    header6(out, &ip, TCP, 20);
    out[22..54].copy_from_slice(&ip[8..40]);
    let pseudo = sum_from(&out[22..54], 0) + TCP as u32 + 20;
    out[54..].copy_from_slice(&onward(&packet.read::<20>(transport)?, pseudo));
    Some(())
}

/// The reset in the direction of the segment `h`. Its sequence is what the other end waits for, where nothing is on the
/// way. Whether the device was left to complete the checksum is not known here, so it is right either way: the sum of
/// the pseudo header, which is what a device wants to find, and a window, which no reset uses, that makes the sum of all
/// come out even so.
#[inline(always)]
fn onward(h: &[u8; 20], pseudo: u32) -> [u8; 20] {
    let mut out = [0; 20];
    out[..12].copy_from_slice(&h[..12]);
    out[12] = 5 << 4;
    out[13] = RST | (h[13] & ACK);
    let [a, b] = fold(pseudo);
    out[16] = !a;
    out[17] = !b;
    let window = fold(sum_from(&out, pseudo));
    out[14..16].copy_from_slice(&window);
    out
}

/// The ICMP error (destination unreachable, port) that refuses a UDP datagram; none for one with IP options.
#[inline(always)]
pub fn unreachable4<P: Packet>(packet: &P, out: &mut [u8; UNREACHABLE4]) -> Option<()> {
    let link = packet.read::<LINK>(0)?;
    let quoted = packet.read::<28>(LINK)?;
    if quoted[0] != 0x45 {
        return None;
    }
    out[42..].copy_from_slice(&quoted);
    swap_link(out, &link);
    header4(out, &quoted, ICMP, 20 + 8 + 28);
    out[34] = 3;
    out[35] = 3;
    let check = fold(sum_from(&out[34..], 0));
    out[36..38].copy_from_slice(&check);
    Some(())
}

/// The ICMPv6 error (destination unreachable, port) that refuses the UDP datagram whose header starts at `transport`. It
/// quotes it as if nothing were between the headers: so it also refuses the first of its pieces.
#[inline(always)]
pub fn unreachable6<P: Packet>(packet: &P, transport: usize, out: &mut [u8; UNREACHABLE6]) -> Option<()> {
    let link = packet.read::<LINK>(0)?;
    let ip = packet.read::<40>(LINK)?;
    let between = transport.checked_sub(LINK + 40)? as u16;
    let length = u16::from_be_bytes([ip[4], ip[5]]).wrapping_sub(between);
    out[62..102].copy_from_slice(&ip);
    out[66..68].copy_from_slice(&length.to_be_bytes());
    out[68] = UDP;
    out[102..].copy_from_slice(&packet.read::<8>(transport)?);
    swap_link(out, &link);
    header6(out, &ip, ICMP6, 8 + 48);
    out[54] = 1;
    out[55] = 4;
    let sum = sum_from(&out[22..54], 0) + ICMP6 as u32 + 8 + 48;
    let check = fold(sum_from(&out[54..], sum));
    out[56..58].copy_from_slice(&check);
    Some(())
}

/// A reset as RFC 9293 section 3.5.2 has it: it takes its sequence from the segment's acknowledgement where there is
/// one, else it acknowledges all that the segment brought. `length` is of header and payload together.
#[inline(always)]
fn reset<P: Packet>(packet: &P, transport: usize, length: usize) -> Option<[u8; 20]> {
    let h = packet.read::<20>(transport)?;
    let mut out = [0; 20];
    out[0..2].copy_from_slice(&h[2..4]);
    out[2..4].copy_from_slice(&h[0..2]);
    out[12] = 5 << 4;
    if h[13] & ACK != 0 {
        out[4..8].copy_from_slice(&h[8..12]);
        out[13] = RST;
        return Some(out);
    }
    let payload = length.saturating_sub((h[12] >> 4) as usize * 4) as u32;
    // SYN and FIN are bits 1 and 0, and each counts one.
    let flags = (h[13] & SYN_FIN).count_ones();
    let sequence = u32::from_be_bytes([h[4], h[5], h[6], h[7]]);
    out[8..12].copy_from_slice(&sequence.wrapping_add(payload).wrapping_add(flags).to_be_bytes());
    out[13] = RST | ACK;
    Some(out)
}

#[inline(always)]
fn swap_link(out: &mut [u8], link: &[u8; LINK]) {
    out[0..6].copy_from_slice(&link[6..12]);
    out[6..12].copy_from_slice(&link[0..6]);
    out[12..14].copy_from_slice(&link[12..14]);
}

#[inline(always)]
fn header4(out: &mut [u8], ip: &[u8], protocol: u8, length: u16) {
    out[14] = 0x45;
    out[16..18].copy_from_slice(&length.to_be_bytes());
    out[20] = 0x40; // do not fragment
    out[22] = HOPS;
    out[23] = protocol;
    out[26..30].copy_from_slice(&ip[16..20]);
    out[30..34].copy_from_slice(&ip[12..16]);
    let check = fold(sum_from(&out[14..34], 0));
    out[24..26].copy_from_slice(&check);
}

#[inline(always)]
fn header6(out: &mut [u8], ip: &[u8], protocol: u8, payload: u16) {
    out[14] = 0x60;
    out[18..20].copy_from_slice(&payload.to_be_bytes());
    out[20] = protocol;
    out[21] = HOPS;
    out[22..38].copy_from_slice(&ip[24..40]);
    out[38..54].copy_from_slice(&ip[8..24]);
}

/// Adds 16-bit words; `bytes` has an even length.
#[inline(always)]
fn sum_from(bytes: &[u8], from: u32) -> u32 {
    let mut sum = from;
    let mut i = 0;
    while i + 1 < bytes.len() {
        sum += (bytes[i] as u32) << 8 | bytes[i + 1] as u32;
        i += 2;
    }
    sum
}

#[inline(always)]
fn fold(sum: u32) -> [u8; 2] {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    (!(sum as u16)).to_be_bytes()
}
