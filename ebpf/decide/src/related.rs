//! ICMP errors: which flow they are about.
//!
//! A workload's kernel sends them for what came in, a datagram to a closed port for one, and quotes the packet that
//! they refuse. They follow that packet's flow: where it may pass, so may they.

use egret_abi::{Flow4Key, Flow6Key, Ports};

use crate::parse::{ICMP, ICMP6, LINK, Packet, TCP, UDP};

/// Bytes of an ICMP header, behind which the quoted packet starts.
const HEADER: usize = 8;

/// The flow that the IPv4 packet of `key` quotes, as its workload sends it. `None`: it is no error (destination
/// unreachable, time exceeded, parameter problem), or it is not to whom it refuses.
#[inline(always)]
pub fn quoted4<P: Packet>(packet: &P, key: &Flow4Key) -> Option<Flow4Key> {
    let [outer, ..] = packet.words::<1>(LINK)?[0].to_ne_bytes();
    let [kind, ..] = packet.words::<1>(LINK + 20)?[0].to_ne_bytes();
    if outer != 0x45 || key.protocol != ICMP as u32 || !matches!(kind, 3 | 11 | 12) {
        return None;
    }
    let [first, second, third, source, destination, ports] = packet.words(LINK + 20 + HEADER)?;
    let ([inner, ..], [_, protocol, ..]) = (first.to_ne_bytes(), third.to_ne_bytes());
    let [_, _, fragment @ ..] = second.to_ne_bytes();
    let remote = source.to_ne_bytes();
    // A later fragment has no ports: what stands there is what its sender likes.
    let later_fragment = u16::from_be_bytes(fragment) & 0x1fff != 0;
    if inner != 0x45 || !matches!(protocol, TCP | UDP) || remote != key.remote || later_fragment {
        return None;
    }
    let ports = Ports::new(Ports(ports).remote(), Ports(ports).local());
    Some(Flow4Key { local: destination.to_ne_bytes(), remote, ports, protocol: protocol as u32 })
}

/// The same over IPv6, where packet too big is an error too; not behind extension headers.
#[inline(always)]
pub fn quoted6<P: Packet>(packet: &P, key: &Flow6Key) -> Option<Flow6Key> {
    let [_, _, outer, _] = packet.words::<2>(LINK)?[1].to_ne_bytes();
    let [kind, ..] = packet.words::<1>(LINK + 40)?[0].to_ne_bytes();
    if outer != ICMP6 || !matches!(kind, 1..=4) {
        return None;
    }
    let inner = packet.words::<11>(LINK + 40 + HEADER)?;
    let ([version, ..], [_, _, protocol, _]) = (inner[0].to_ne_bytes(), inner[1].to_ne_bytes());
    let remote = address(&inner, 2);
    if version >> 4 != 6 || !matches!(protocol, TCP | UDP) || remote != key.remote {
        return None;
    }
    let ports = Ports::new(Ports(inner[10]).remote(), Ports(inner[10]).local());
    Some(Flow6Key { local: address(&inner, 6), remote, ports, protocol: protocol as u32 })
}

#[inline(always)]
fn address(words: &[u32; 11], at: usize) -> [u8; 16] {
    let mut address = [0; 16];
    for i in 0..4 {
        address[i * 4..i * 4 + 4].copy_from_slice(&words[at + i].to_ne_bytes());
    }
    address
}
