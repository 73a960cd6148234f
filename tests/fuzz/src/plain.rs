//! A packet read the plain way, and what etherparse says of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use egret_decide::testing::frame::Frame;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};

pub const LINK: usize = 14;
pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP6: u8 = 58;
pub const SCTP: u8 = 132;

/// What a flow is known by, as one of its ends sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    pub from: IpAddr,
    pub to: IpAddr,
    pub protocol: u8,
    /// Both ports; the identifier of an echo and 0.
    pub ports: (u16, u16),
}

impl Tuple {
    /// As the other end sends it.
    pub fn reversed(self) -> Self {
        let ports = match self.protocol {
            ICMP | ICMP6 => self.ports,
            _ => (self.ports.1, self.ports.0),
        };
        Self { from: self.to, to: self.from, ports, ..self }
    }
}

/// An IP packet as far as the link and the network layer go; what is behind its lengths is not cut off, for a packet
/// that lies about them is no reason to see less.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    pub from: IpAddr,
    pub to: IpAddr,
    pub protocol: u8,
    pub hop_limit: u8,
    /// What the transport's header starts.
    pub payload: &'a [u8],
    /// Nothing stands between the two headers.
    pub plain: bool,
    /// A piece of a packet: what it has in common with the other pieces.
    pub piece: Option<u32>,
    /// A piece, and not the first one: it has no transport header.
    pub later_fragment: bool,
}

impl<'a> Packet<'a> {
    pub fn read(frame: &'a Frame) -> Option<Self> {
        let ip = frame.get(LINK..)?;
        match frame.get(12..14)? {
            [0x08, 0x00] => Self::ipv4(ip),
            [0x86, 0xdd] => Self::ipv6(ip),
            _ => None,
        }
    }

    fn ipv4(ip: &'a [u8]) -> Option<Self> {
        let header: &[u8; 20] = ip.first_chunk()?;
        let fragment = be16(header, 6)?;
        let length = usize::from(header[0] & 15) * 4;
        if header[0] >> 4 != 4 || length < 20 {
            return None;
        }
        Some(Self {
            from: Ipv4Addr::new(header[12], header[13], header[14], header[15]).into(),
            to: Ipv4Addr::new(header[16], header[17], header[18], header[19]).into(),
            protocol: header[9],
            hop_limit: header[8],
            payload: ip.get(length..)?,
            plain: length == 20,
            piece: (fragment & 0x3fff != 0).then_some(u32::from(be16(header, 4)?)),
            later_fragment: fragment & 0x1fff != 0,
        })
    }

    fn ipv6(ip: &'a [u8]) -> Option<Self> {
        let header: &[u8; 40] = ip.first_chunk()?;
        if header[0] >> 4 != 6 {
            return None;
        }
        let (mut protocol, mut at) = (header[6], 40);
        let (mut piece, mut later_fragment) = (None, false);
        while matches!(protocol, 0 | 43 | 60) || protocol == 44 && piece.is_none() {
            let [next, eights, high, low] = *ip.get(at..)?.first_chunk()?;
            if protocol == 44 {
                piece = Some(u32::from(be16(ip, at + 4)?) << 16 | u32::from(be16(ip, at + 6)?));
                later_fragment = u16::from_be_bytes([high, low]) & 0xfff8 != 0;
                at += 8;
            } else {
                at += (usize::from(eights) + 1) * 8;
            }
            protocol = next;
            if later_fragment {
                break;
            }
        }
        let address = |at: usize| {
            let octets: [u8; 16] = header[at..at + 16].try_into().expect("within the header");
            Ipv6Addr::from(octets).into()
        };
        Some(Self {
            from: address(8),
            to: address(24),
            protocol,
            hop_limit: header[7],
            payload: ip.get(at..)?,
            plain: at == 40,
            piece,
            later_fragment,
        })
    }

    /// The flow, where the transport's header says one.
    pub fn tuple(&self) -> Option<Tuple> {
        let ports = match self.protocol {
            _ if self.later_fragment => return None,
            TCP | UDP | SCTP => (be16(self.payload, 0)?, be16(self.payload, 2)?),
            ICMP | ICMP6 if self.is_echo() => (be16(self.payload, 4)?, 0),
            ICMP | ICMP6 => return None,
            _ => (0, 0),
        };
        Some(Tuple { from: self.from, to: self.to, protocol: self.protocol, ports })
    }

    fn is_echo(&self) -> bool {
        let kind = self.payload.first();
        match self.protocol {
            ICMP => matches!(kind, Some(0 | 8)),
            _ => matches!(kind, Some(128 | 129)),
        }
    }
}

/// Addresses and ports as etherparse reads them, where it reads the whole frame: strict about every length.
pub fn by_etherparse(frame: &[u8]) -> Option<Tuple> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let (from, to): (IpAddr, IpAddr) = match sliced.net.as_ref()? {
        NetSlice::Ipv4(ip) if !ip.is_payload_fragmented() => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        NetSlice::Ipv6(ip) if !ip.is_payload_fragmented() => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        _ => return None,
    };
    let (protocol, ports) = match sliced.transport.as_ref()? {
        TransportSlice::Tcp(tcp) => (TCP, (tcp.source_port(), tcp.destination_port())),
        TransportSlice::Udp(udp) => (UDP, (udp.source_port(), udp.destination_port())),
        _ => return None,
    };
    Some(Tuple { from, to, protocol, ports })
}

/// The UDP payload as etherparse reads it.
pub fn udp_payload(frame: &[u8]) -> Option<&[u8]> {
    match SlicedPacket::from_ethernet(frame).ok()?.transport? {
        TransportSlice::Udp(udp) => Some(udp.payload()),
        _ => None,
    }
}

/// The ones' complement sum that IP's checksums are made of (RFC 1071); 0xffff over bytes whose checksum is right.
pub fn sum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u64 =
        words.map(|word| u64::from(word[0]) << 8 | u64::from(*word.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

pub fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
