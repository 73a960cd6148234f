//! An Ethernet frame with a UDP datagram in it, as a kernel program copied it: no VLAN tag, not a fragment.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const ETHERNET: usize = 14;
const IPV6: usize = 40;
const UDP: usize = 8;
const UDP_PROTOCOL: u8 = 17;
/// More IPv6 extension headers than any sender of DNS answers has a use for (the RFC's full list is shorter).
const MAX_EXTENSIONS: usize = 8;

/// A datagram in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpFrame<'a> {
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// What the datagram carries.
    pub payload: &'a [u8],
}

/// Why a frame is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It ends before one of its own headers or lengths says.
    #[error("the frame ends before its {0} does")]
    Short(&'static str),
    /// Neither IPv4 nor IPv6, or a version that differs from the frame's type.
    #[error("the frame carries neither IPv4 nor IPv6")]
    NotIp,
    /// Part of a datagram.
    #[error("the frame is a fragment")]
    Fragment,
    /// Another protocol, or an extension header that cannot be passed over.
    #[error("the packet carries protocol {0} and not UDP")]
    NotUdp(u8),
}

/// What [`complete_checksum`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It was right.
    Right,
    /// It was only the sum of the pseudo-header; now it is whole.
    Completed,
    /// The sender gave none (0). IPv4 receivers accept that, IPv6 receivers drop it.
    Absent,
    /// It fits nothing; left as it is, so that the receiver drops the datagram as it would have done anyway.
    Wrong,
}

impl<'a> UdpFrame<'a> {
    /// Reads `frame`, from its Ethernet header on. What follows the IP packet (padding) is left out.
    ///
    /// # Errors
    /// [`FrameError`]; no input makes it panic.
    pub fn parse(frame: &'a [u8]) -> Result<Self, FrameError> {
        let found = locate(frame)?;
        let udp = &frame[found.start..found.end];
        Ok(Self {
            source: SocketAddr::new(found.source, be16(udp, 0)),
            destination: SocketAddr::new(found.destination, be16(udp, 2)),
            payload: &udp[UDP..],
        })
    }
}

/// Makes the UDP checksum of `frame` whole if it is not.
///
/// A datagram that never left this machine carries only the sum of its pseudo-header (the kernel's
/// `CHECKSUM_PARTIAL`: a device was to add the rest). The kernel knows that from the packet's metadata, which a copy of
/// the bytes has lost: re-injected as it is, the copy would be dropped.
///
/// # Errors
/// [`FrameError`] as in [`UdpFrame::parse`]; then the frame is unchanged.
pub fn complete_checksum(frame: &mut [u8]) -> Result<Checksum, FrameError> {
    let found = locate(frame)?;
    let udp = &mut frame[found.start..found.end];
    let given = be16(udp, 6);
    if given == 0 {
        return Ok(Checksum::Absent);
    }
    let pseudo = pseudo_header_sum(&found, udp.len());
    if fold(pseudo + sum(udp)) == 0xffff {
        return Ok(Checksum::Right);
    }
    if given != fold(pseudo) {
        return Ok(Checksum::Wrong);
    }
    udp[6..8].fill(0);
    // A checksum that comes out as 0 is sent as its other spelling: 0 means that there is none.
    let whole = match !fold(pseudo + sum(udp)) {
        0 => 0xffff,
        whole => whole,
    };
    udp[6..8].copy_from_slice(&whole.to_be_bytes());
    Ok(Checksum::Completed)
}

/// Where the UDP datagram is: `start..end` of the frame holds at least its header, and `end` is where its own length
/// says.
struct Located {
    source: IpAddr,
    destination: IpAddr,
    start: usize,
    end: usize,
}

fn locate(frame: &[u8]) -> Result<Located, FrameError> {
    let header = frame.get(..ETHERNET).ok_or(FrameError::Short("Ethernet header"))?;
    let mut found = match be16(header, 12) {
        0x0800 => locate_ipv4(frame)?,
        0x86dd => locate_ipv6(frame)?,
        _ => return Err(FrameError::NotIp),
    };
    let packet = &frame[found.start..found.end];
    let length = usize::from(be16(packet.get(..UDP).ok_or(FrameError::Short("UDP header"))?, 4));
    if length < UDP || length > packet.len() {
        return Err(FrameError::Short("UDP datagram"));
    }
    found.end = found.start + length;
    Ok(found)
}

fn locate_ipv4(frame: &[u8]) -> Result<Located, FrameError> {
    let packet = &frame[ETHERNET..];
    let header = packet.get(..20).ok_or(FrameError::Short("IPv4 header"))?;
    let (length, total) = (usize::from(header[0] & 0xf) * 4, usize::from(be16(header, 2)));
    if header[0] >> 4 != 4 || length < 20 {
        return Err(FrameError::NotIp);
    }
    if total < length || total > packet.len() {
        return Err(FrameError::Short("IPv4 packet"));
    }
    // The "more fragments" flag and the offset; "don't fragment" and the reserved bit say nothing here.
    if be16(header, 6) & 0x3fff != 0 {
        return Err(FrameError::Fragment);
    }
    if header[9] != UDP_PROTOCOL {
        return Err(FrameError::NotUdp(header[9]));
    }
    Ok(Located {
        source: ipv4(header, 12),
        destination: ipv4(header, 16),
        start: ETHERNET + length,
        end: ETHERNET + total,
    })
}

fn locate_ipv6(frame: &[u8]) -> Result<Located, FrameError> {
    let packet = &frame[ETHERNET..];
    let header = packet.get(..IPV6).ok_or(FrameError::Short("IPv6 header"))?;
    if header[0] >> 4 != 6 {
        return Err(FrameError::NotIp);
    }
    let length = IPV6 + usize::from(be16(header, 4));
    let packet = packet.get(..length).ok_or(FrameError::Short("IPv6 packet"))?;
    let start = ETHERNET + skip_extensions(packet)?;
    Ok(Located { source: ipv6(header, 8), destination: ipv6(header, 24), start, end: ETHERNET + length })
}

/// The offset in `packet` of its UDP header.
fn skip_extensions(packet: &[u8]) -> Result<usize, FrameError> {
    let (mut next, mut at) = (packet[6], IPV6);
    for _ in 0..=MAX_EXTENSIONS {
        if next == UDP_PROTOCOL {
            return Ok(at);
        }
        let extension = packet.get(at..).unwrap_or_default();
        let fixed = extension.get(..8).ok_or(FrameError::Short("IPv6 extension header"));
        let length = match next {
            // Hop-by-hop and destination options.
            0 | 60 => (usize::from(fixed?[1]) + 1) * 8,
            // Routing, at its end: before that the checksum is about another destination than the header's.
            43 if fixed?[3] == 0 => (usize::from(fixed?[1]) + 1) * 8,
            // A fragment header of a whole datagram (RFC 6946).
            44 if be16(fixed?, 2) & 0xfff9 == 0 => 8,
            44 => return Err(FrameError::Fragment),
            other => return Err(FrameError::NotUdp(other)),
        };
        (next, at) = (extension[0], at + length);
        if at > packet.len() {
            return Err(FrameError::Short("IPv6 extension header"));
        }
    }
    Err(FrameError::NotUdp(next))
}

fn pseudo_header_sum(found: &Located, length: usize) -> u32 {
    let addresses = address_sum(found.source) + address_sum(found.destination);
    // At most 65,535, since a UDP length field said so.
    addresses + length as u32 + u32::from(UDP_PROTOCOL)
}

fn address_sum(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => sum(&address.octets()),
        IpAddr::V6(address) => sum(&address.octets()),
    }
}

/// The sum of 16-bit words, a last odd byte filled up with zero. A frame has fewer than 65,536 words: no overflow.
fn sum(bytes: &[u8]) -> u32 {
    let (words, odd) = bytes.as_chunks::<2>();
    let odd = odd.first().map_or(0, |byte| u32::from(*byte) << 8);
    words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum::<u32>() + odd
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

/// The caller has made sure that `bytes` goes on for two bytes from `at`.
fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn ipv4(header: &[u8], at: usize) -> IpAddr {
    let mut octets = [0; 4];
    octets.copy_from_slice(&header[at..at + 4]);
    Ipv4Addr::from(octets).into()
}

fn ipv6(header: &[u8], at: usize) -> IpAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&header[at..at + 16]);
    Ipv6Addr::from(octets).into()
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
