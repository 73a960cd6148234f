//! An Ethernet frame with a fragment of a UDP datagram in it.

use std::net::IpAddr;

use super::frame::{be16, ipv4, ipv6};

const ETHERNET: usize = 14;
const IPV6: usize = 40;
const UDP_PROTOCOL: u8 = 17;
/// The longest datagram.
const LONGEST: usize = 65_535;
/// More IPv6 extension headers before the fragment's own than any sender has a use for.
const MAX_EXTENSIONS: usize = 4;

/// A fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Who sent it, as its IP header says.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// What it has in common with the others of its datagram.
    pub id: u32,
    /// Where in the datagram it belongs.
    pub at: usize,
    /// It is not the last.
    pub more: bool,
    /// Its part of the datagram.
    pub data: &'a [u8],
    /// The neighbour that it came from: the source of its link header.
    pub from: [u8; 6],
    /// Its time to live, or hop limit.
    pub hops: u8,
}

impl<'a> Fragment<'a> {
    /// Reads `frame`; `None` where it is no fragment of a datagram, or one that no sender makes.
    #[must_use]
    pub fn parse(frame: &'a [u8]) -> Option<Self> {
        let header = frame.get(..ETHERNET)?;
        let packet = &frame[ETHERNET..];
        let from = header[6..12].try_into().ok()?;
        let fragment = match be16(header, 12) {
            0x0800 => Self::of_ipv4(packet, from)?,
            0x86dd => Self::of_ipv6(packet, from)?,
            _ => return None,
        };
        let whole = !fragment.more || fragment.data.len().is_multiple_of(8);
        let fits = !fragment.data.is_empty() && fragment.at + fragment.data.len() <= LONGEST;
        let is_part = fragment.more || fragment.at != 0;
        (whole && fits && is_part).then_some(fragment)
    }

    fn of_ipv4(packet: &'a [u8], from: [u8; 6]) -> Option<Self> {
        let header = packet.get(..20)?;
        let (length, total) = (usize::from(header[0] & 0xf) * 4, usize::from(be16(header, 2)));
        if header[0] >> 4 != 4 || length < 20 || header[9] != UDP_PROTOCOL {
            return None;
        }
        Some(Self {
            source: ipv4(header, 12),
            destination: ipv4(header, 16),
            id: be16(header, 4).into(),
            at: usize::from(be16(header, 6) & 0x1fff) * 8,
            more: be16(header, 6) & 0x2000 != 0,
            data: packet.get(length..total)?,
            from,
            hops: header[8],
        })
    }

    fn of_ipv6(packet: &'a [u8], from: [u8; 6]) -> Option<Self> {
        let header = packet.get(..IPV6)?;
        let packet = packet.get(..IPV6 + usize::from(be16(header, 4)))?;
        let (mut next, mut at) = (header[6], IPV6);
        for _ in 0..MAX_EXTENSIONS {
            let extension = packet.get(at..at + 8)?;
            match next {
                0 | 43 | 60 => (next, at) = (extension[0], at + (usize::from(extension[1]) + 1) * 8),
                44 if extension[0] == UDP_PROTOCOL && header[0] >> 4 == 6 => {
                    return Some(Self {
                        source: ipv6(header, 8),
                        destination: ipv6(header, 24),
                        id: u32::from(be16(extension, 4)) << 16 | u32::from(be16(extension, 6)),
                        at: usize::from(be16(extension, 2) & 0xfff8),
                        more: be16(extension, 2) & 1 != 0,
                        data: &packet[at + 8..],
                        from,
                        hops: header[7],
                    });
                }
                _ => return None,
            }
        }
        None
    }
}
