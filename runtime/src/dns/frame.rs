//! An Ethernet frame with a UDP datagram or a TCP segment in it, as a kernel program copied it: no VLAN tag, not a
//! fragment.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const ETHERNET: usize = 14;
const IPV6: usize = 40;
const UDP: usize = 8;
const UDP_PROTOCOL: u8 = 17;
const TCP_PROTOCOL: u8 = 6;
/// The longest frame of an ordinary link.
const LONGEST_LINK: usize = 1514;
/// The shortest TCP header.
const TCP: usize = 20;
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
    #[error("the packet carries protocol {0}")]
    Protocol(u8),
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
        if found.protocol != UDP_PROTOCOL {
            return Err(FrameError::Protocol(found.protocol));
        }
        let udp = &frame[found.start..found.end];
        Ok(Self {
            source: SocketAddr::new(found.source, be16(udp, 0)),
            destination: SocketAddr::new(found.destination, be16(udp, 2)),
            payload: &udp[UDP..],
        })
    }
}

/// Makes the UDP or TCP checksum of `frame` whole if it is not.
///
/// A packet that never left this machine carries only the sum of its pseudo-header (the kernel's
/// `CHECKSUM_PARTIAL`: a device was to add the rest). The kernel knows that from the packet's metadata, which a copy of
/// the bytes has lost: re-injected as it is, the copy would be dropped.
///
/// # Errors
/// [`FrameError`] as in [`UdpFrame::parse`]; then the frame is unchanged.
pub fn complete_checksum(frame: &mut [u8]) -> Result<Checksum, FrameError> {
    let found = locate(frame)?;
    let (is_udp, at) = (found.protocol == UDP_PROTOCOL, found.checksum_at());
    let packet = &mut frame[found.start..found.end];
    let given = be16(packet, at);
    if is_udp && given == 0 {
        return Ok(Checksum::Absent);
    }
    let pseudo = pseudo_header_sum(&found, packet.len());
    if fold(pseudo + sum(packet)) == 0xffff {
        return Ok(Checksum::Right);
    }
    if given != fold(pseudo) {
        return Ok(Checksum::Wrong);
    }
    packet[at..at + 2].fill(0);
    let whole = checksum_of(&found, packet);
    packet[at..at + 2].copy_from_slice(&whole.to_be_bytes());
    Ok(Checksum::Completed)
}

/// The checksum of a UDP datagram or TCP segment in whose place for it there is 0.
pub(super) fn checksum_of(found: &Located, packet: &[u8]) -> u16 {
    // A UDP checksum that comes out as 0 is sent as its other spelling: 0 means that there is none.
    match !fold(pseudo_header_sum(found, packet.len()) + sum(packet)) {
        0 if found.protocol == UDP_PROTOCOL => 0xffff,
        whole => whole,
    }
}

/// The checksum of an IPv4 header in whose place for it there is 0.
pub(super) fn header_checksum(header: &[u8]) -> u16 {
    !fold(sum(header))
}

/// Several TCP segments that the kernel merged into one packet longer than any link would carry: whoever puts it back
/// must say so, and its checksum stays the partial one that such a packet has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Whether over IPv6.
    pub v6: bool,
    /// Where the TCP header starts.
    pub transport: u16,
    /// Where its data start.
    pub data: u16,
}

impl Merged {
    /// What is to be said of `frame`; `None` where it is no more than a packet, or its checksum is not partial.
    #[must_use]
    pub fn of(frame: &[u8]) -> Option<Self> {
        let found = locate(frame).ok()?;
        let packet = &frame[found.start..found.end];
        if frame.len() <= LONGEST_LINK || found.protocol != TCP_PROTOCOL {
            return None;
        }
        let partial = fold(pseudo_header_sum(&found, packet.len()));
        let data = found.start + usize::from(packet[12] >> 4) * 4;
        (be16(packet, found.checksum_at()) == partial).then_some(Self {
            v6: found.source.is_ipv6(),
            transport: u16::try_from(found.start).ok()?,
            data: u16::try_from(data).ok()?,
        })
    }
}

/// Whether there is a checksum in a whole UDP datagram, and it is right.
pub(super) fn is_right(source: IpAddr, destination: IpAddr, datagram: &[u8]) -> bool {
    datagram.get(6..UDP) != Some(&[0, 0]) && checksum(source, destination, datagram) == 0
}

/// The checksum of a UDP datagram: 0 where what stands in it is right.
pub(super) fn checksum(source: IpAddr, destination: IpAddr, datagram: &[u8]) -> u16 {
    let end = datagram.len();
    let found = Located { source, destination, protocol: UDP_PROTOCOL, start: 0, end };
    !fold(pseudo_header_sum(&found, end) + sum(datagram))
}

/// Where the datagram or segment is: `start..end` of the frame holds at least its header, and `end` is where its own
/// length says, or the IP packet's.
pub(super) struct Located {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Located {
    pub(super) fn checksum_at(&self) -> usize {
        if self.protocol == UDP_PROTOCOL { 6 } else { 16 }
    }
}

pub(super) fn locate(frame: &[u8]) -> Result<Located, FrameError> {
    let header = frame.get(..ETHERNET).ok_or(FrameError::Short("Ethernet header"))?;
    let mut found = match be16(header, 12) {
        0x0800 => locate_ipv4(frame)?,
        0x86dd => locate_ipv6(frame)?,
        _ => return Err(FrameError::NotIp),
    };
    let packet = &frame[found.start..found.end];
    if found.protocol == TCP_PROTOCOL {
        let header = packet.get(..TCP).ok_or(FrameError::Short("TCP header"))?;
        let length = usize::from(header[12] >> 4) * 4;
        let whole = (TCP..=packet.len()).contains(&length);
        return if whole { Ok(found) } else { Err(FrameError::Short("TCP header")) };
    }
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
    if !is_read(header[9]) {
        return Err(FrameError::Protocol(header[9]));
    }
    Ok(Located {
        source: ipv4(header, 12),
        destination: ipv4(header, 16),
        protocol: header[9],
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
    let (protocol, start) = skip_extensions(packet)?;
    Ok(Located {
        source: ipv6(header, 8),
        destination: ipv6(header, 24),
        protocol,
        start: ETHERNET + start,
        end: ETHERNET + length,
    })
}

fn is_read(protocol: u8) -> bool {
    matches!(protocol, UDP_PROTOCOL | TCP_PROTOCOL)
}

/// The protocol of `packet`, and the offset of its header.
fn skip_extensions(packet: &[u8]) -> Result<(u8, usize), FrameError> {
    let (mut next, mut at) = (packet[6], IPV6);
    for _ in 0..=MAX_EXTENSIONS {
        if is_read(next) {
            return Ok((next, at));
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
            other => return Err(FrameError::Protocol(other)),
        };
        (next, at) = (extension[0], at + length);
        if at > packet.len() {
            return Err(FrameError::Short("IPv6 extension header"));
        }
    }
    Err(FrameError::Protocol(next))
}

fn pseudo_header_sum(found: &Located, length: usize) -> u32 {
    let addresses = address_sum(found.source) + address_sum(found.destination);
    // At most 65,535, since a length field of 16 bits said so.
    addresses + length as u32 + u32::from(found.protocol)
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
pub(super) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn ipv4(header: &[u8], at: usize) -> IpAddr {
    let mut octets = [0; 4];
    octets.copy_from_slice(&header[at..at + 4]);
    Ipv4Addr::from(octets).into()
}

pub(super) fn ipv6(header: &[u8], at: usize) -> IpAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&header[at..at + 16]);
    Ipv6Addr::from(octets).into()
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
