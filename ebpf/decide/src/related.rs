//! ICMP errors: which flow they are about.
//!
//! A workload's kernel sends them for what came in, a datagram to a closed port for one, and quotes the packet that
//! they refuse. They follow that packet's flow: where it may pass, so may they.

use egret_abi::{Flow4Key, Flow6Key, Ports};

use crate::parse::{ICMP, ICMP6, LINK, Packet, SCTP, TCP, UDP};

/// Bytes of an ICMP header, behind which the quoted packet starts.
const HEADER: usize = 8;

/// The flow that the IPv4 packet of `key` quotes, as its workload sends it. `None`: it is no error (destination
/// unreachable, time exceeded, parameter problem), or it is not to whom it refuses.
#[inline(always)]
pub fn quoted4<P: Packet>(packet: &P, key: &Flow4Key) -> Option<Flow4Key> {
    let [first, second] = packet.words(LINK)?;
    let ([outer, ..], [_, _, fragment @ ..]) = (first.to_ne_bytes(), second.to_ne_bytes());
    let [kind, ..] = packet.words::<1>(LINK + 20)?[0].to_ne_bytes();
    if outer != 0x45 || is_later(fragment) || key.protocol != ICMP as u32 || !matches!(kind, 3 | 11 | 12) {
        return None;
    }
    let [first, second, third, source, destination, head, more] = packet.words(LINK + 20 + HEADER)?;
    let ([inner, ..], [_, protocol, ..]) = (first.to_ne_bytes(), third.to_ne_bytes());
    let [_, _, fragment @ ..] = second.to_ne_bytes();
    let remote = source.to_ne_bytes();
    if inner != 0x45 || remote != key.remote || is_later(fragment) {
        return None;
    }
    let ports = quoted_ports(protocol, head, more)?;
    Some(Flow4Key { local: destination.to_ne_bytes(), remote, ports, protocol: protocol as u32 })
}

/// A later fragment has no transport header: what stands in its place is what its sender likes.
#[inline(always)]
fn is_later(fragment: [u8; 2]) -> bool {
    u16::from_be_bytes(fragment) & 0x1fff != 0
}

/// The same over IPv6, where packet too big is an error too; not behind extension headers.
#[inline(always)]
pub fn quoted6<P: Packet>(packet: &P, key: &Flow6Key) -> Option<Flow6Key> {
    let [first, second] = packet.words(LINK)?;
    let ([version, ..], [_, _, outer, _]) = (first.to_ne_bytes(), second.to_ne_bytes());
    let [kind, ..] = packet.words::<1>(LINK + 40)?[0].to_ne_bytes();
    if version >> 4 != 6 || outer != ICMP6 || key.protocol != ICMP6 as u32 || !matches!(kind, 1..=4) {
        return None;
    }
    let inner = packet.words::<12>(LINK + 40 + HEADER)?;
    let ([version, ..], [_, _, protocol, _]) = (inner[0].to_ne_bytes(), inner[1].to_ne_bytes());
    let remote = address(&inner, 2);
    if version >> 4 != 6 || remote != key.remote {
        return None;
    }
    let ports = quoted_ports(protocol, inner[10], inner[11])?;
    Some(Flow6Key { local: address(&inner, 6), remote, ports, protocol: protocol as u32 })
}

/// The ports of the flow whose packet toward the workload starts with `head` and `more`, as the flow has them.
#[inline(always)]
fn quoted_ports(protocol: u8, head: u32, more: u32) -> Option<Ports> {
    let [kind, ..] = head.to_ne_bytes();
    match (protocol, kind) {
        (TCP | UDP | SCTP, _) => Some(Ports::new(Ports(head).remote(), Ports(head).local())),
        (ICMP, 0 | 8) | (ICMP6, 128 | 129) => Some(Ports::new(Ports(more).local(), [0; 2])),
        // Extension headers, behind which the ports are, and what is no part of a flow.
        (0 | 43 | 44 | 60 | 135 | 139 | 140 | ICMP | ICMP6, _) => None,
        _ => Some(Ports(0)),
    }
}

#[inline(always)]
fn address(words: &[u32; 12], at: usize) -> [u8; 16] {
    let mut address = [0; 16];
    for i in 0..4 {
        address[i * 4..i * 4 + 4].copy_from_slice(&words[at + i].to_ne_bytes());
    }
    address
}
