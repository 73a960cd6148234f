//! What keeps a link alive: neighbour discovery, multicast listening, DHCP. It never leaves the link.

use egret_abi::{Flow4Key, Flow6Key, Ports};

use super::{Headers, IGMP, Packet, UDP};

const BROADCAST: [u8; 4] = [255; 4];
const DHCP4: Ports = Ports::new(68u16.to_be_bytes(), 67u16.to_be_bytes());
const DHCP6: Ports = Ports::new(546u16.to_be_bytes(), 547u16.to_be_bytes());
/// All DHCP relays and servers of the link: ff02::1:2.
const DHCP6_SERVERS: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2];

/// A DHCP client's call to all servers, or a report of who listens to which group: of IGMP the reports (0x12, 0x16,
/// 0x22) and the leave (0x17), to a group of the link with hop limit 1. What a querier asks is none of a workload's
/// business.
#[inline(always)]
pub(super) fn keeps4<P: Packet>(packet: &P, headers: &Headers<Flow4Key>, hops: u8) -> bool {
    let key = &headers.key;
    match key.protocol as u8 {
        UDP => key.ports == DHCP4 && key.remote == BROADCAST,
        IGMP if hops == 1 && matches!(key.remote, [224, 0, 0, _]) => {
            matches!(packet.read::<2>(headers.transport), Some([0x12 | 0x16 | 0x17 | 0x22, _]))
        }
        _ => false,
    }
}

/// Neighbour discovery (133 to 137) and multicast listening (reports and done: 131, 132, 143): the first carry hop
/// limit 255, which no router passes on; the second go to link-scope groups with hop limit 1.
#[inline(always)]
pub(super) fn keeps6<P: Packet>(packet: &P, transport: usize, hops: u8, remote: &[u8; 16]) -> bool {
    // Two bytes where one would do: the verifier learns nothing from a bound of one.
    match packet.read::<2>(transport) {
        Some([133..=137, _]) => hops == 255,
        Some([131 | 132 | 143, _]) => hops == 1 && remote[0] == 0xff && remote[1] & 15 <= 2,
        _ => false,
    }
}

/// A DHCP client's call to all servers.
#[inline(always)]
pub(super) fn is_dhcp6(key: &Flow6Key) -> bool {
    key.protocol as u8 == UDP && key.ports == DHCP6 && key.remote == DHCP6_SERVERS
}

/// What a message of neighbour discovery says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// It asks: for routers (133) or for a neighbour (135).
    Asks,
    /// It says who has this address (136).
    Answers([u8; 16]),
    /// It is a router's (134, 137), or it is not all there.
    Steers,
    /// It is none.
    None,
}

/// Reads the ICMPv6 message at `transport`.
#[inline(always)]
pub fn discovery<P: Packet>(packet: &P, transport: usize) -> Discovery {
    let Some([kind, code]) = packet.read::<2>(transport) else { return Discovery::Steers };
    let target = || packet.read::<16>(transport + 8);
    match kind {
        133 if code == 0 => Discovery::Asks,
        135 if code == 0 && target().is_some() => Discovery::Asks,
        136 if code == 0 => target().map_or(Discovery::Steers, Discovery::Answers),
        133..=137 => Discovery::Steers,
        _ => Discovery::None,
    }
}

/// What an ARP message says of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The sender's address.
    pub sender: [u8; 4],
    /// The address asked for.
    pub target: [u8; 4],
    /// Of Ethernet and IPv4, a question or an answer, and about the link address that sent it.
    pub is_sound: bool,
}

/// Ethernet, IPv4, and the lengths of their addresses.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// Reads the ARP message; `None`: it is not all there.
#[inline(always)]
pub fn resolution<P: Packet>(packet: &P) -> Option<Resolution> {
    let link = packet.read::<6>(6)?;
    let head = packet.read::<8>(super::LINK)?;
    let hardware = packet.read::<6>(super::LINK + 8)?;
    let [sender, _, _, target] = [14, 18, 22, 24].map(|at| packet.read::<4>(super::LINK + at));
    let [of @ .., high, low] = head;
    let is_sound = of == ETHERNET_IPV4 && high == 0 && matches!(low, 1 | 2) && hardware == link;
    Some(Resolution { sender: sender?, target: target?, is_sound })
}
