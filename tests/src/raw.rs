//! Packets that no honest application sends: UDP and TCP with any source address, from a raw socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::net::{AddressFamily, RawProtocol, SendFlags, SocketFlags, SocketType, sendto, socket_with};

use crate::netns::Netns;

const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
const IPPROTO_ICMPV6: u8 = 58;
/// The extension header of a fragment.
const FRAGMENT6: u8 = 44;
/// With this protocol the sender writes the IP header itself, in both families.
const IPPROTO_RAW: u32 = 255;

/// Sends `payload` from inside `netns` with `from` as its source, true or not.
///
/// # Errors
/// The kernel takes no such packet. That it arrives is not promised.
///
/// # Panics
/// `from` and `to` are of different families.
pub fn send_udp_as(netns: &Netns, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Result<()> {
    Raw::open(netns)?.send(to.ip(), &udp_packet(from, to, payload))
}

/// Which part of a packet a piece is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// What all pieces of the packet have in common.
    pub id: u16,
    /// Where it belongs, in bytes; a multiple of 8.
    pub at: u16,
    /// Whether more follow.
    pub more: bool,
}

/// A place to send from as anybody, many times.
#[derive(Debug)]
pub struct Raw {
    ipv4: OwnedFd,
    ipv6: OwnedFd,
}

impl Raw {
    /// Inside `netns`.
    ///
    /// # Errors
    /// The kernel gives no raw socket.
    pub fn open(netns: &Netns) -> Result<Self> {
        let protocol = RawProtocol::new(IPPROTO_RAW).map(rustix::net::Protocol::from_raw);
        let open = |family| socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, protocol);
        netns.run(|| Ok(Self { ipv4: open(AddressFamily::INET)?, ipv6: open(AddressFamily::INET6)? }))?
    }

    /// Sends a TCP segment without data, with these flags and numbers.
    ///
    /// # Errors
    /// As [`send_udp_as`].
    ///
    /// # Panics
    /// As [`send_udp_as`].
    pub fn send_tcp(&self, from: SocketAddr, to: SocketAddr, flags: u8, numbers: [u32; 2]) -> Result<()> {
        self.send_segment(from, to, flags, numbers, &[])
    }

    /// The same with data.
    ///
    /// # Errors
    /// As [`send_udp_as`].
    ///
    /// # Panics
    /// As [`send_udp_as`].
    pub fn send_segment(
        &self,
        from: SocketAddr,
        to: SocketAddr,
        flags: u8,
        numbers: [u32; 2],
        data: &[u8],
    ) -> Result<()> {
        let mut tcp = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
        tcp.extend(numbers.map(u32::to_be_bytes).concat());
        tcp.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend(data);
        self.send(to.ip(), &packet(from, to, IPPROTO_TCP, tcp, 16))
    }

    /// Sends `payload` as `protocol`; ports are not looked at.
    ///
    /// # Errors
    /// As [`send_udp_as`].
    ///
    /// # Panics
    /// As [`send_udp_as`].
    pub fn send_ip(&self, from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> Result<()> {
        if protocol == IPPROTO_ICMPV6 {
            // Its receiver looks at the checksum.
            let [from, to] = [from, to].map(|address| SocketAddr::new(address, 0));
            return self.send(to.ip(), &packet(from, to, protocol, payload.to_vec(), 2));
        }
        self.send_piece(from, to, protocol, Piece::default(), payload)
    }

    /// Sends `payload` as a piece of a packet of `protocol`.
    ///
    /// # Errors
    /// As [`send_udp_as`].
    ///
    /// # Panics
    /// As [`send_udp_as`].
    pub fn send_piece(
        &self,
        from: IpAddr,
        to: IpAddr,
        protocol: u8,
        piece: Piece,
        payload: &[u8],
    ) -> Result<()> {
        let length = u16::try_from(payload.len()).expect("a test's payload is short");
        let Piece { id, at, more } = piece;
        let mut bytes = match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let mut header = header4(from, to, protocol, length);
                header[4..6].copy_from_slice(&id.to_be_bytes());
                header[6..8].copy_from_slice(&((at / 8) | (u16::from(more) << 13)).to_be_bytes());
                header
            }
            (IpAddr::V6(from), IpAddr::V6(to)) if piece == Piece::default() => {
                header6(from, to, protocol, length)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let mut header = header6(from, to, FRAGMENT6, length + 8);
                header.extend([protocol, 0]);
                header.extend((at | u16::from(more)).to_be_bytes());
                header.extend(u32::from(id).to_be_bytes());
                header
            }
            _ => panic!("{from} and {to} are of different families"),
        };
        bytes.extend(payload);
        self.send(to, &bytes)
    }

    /// Sends `packet`, IP header included, to `to`.
    ///
    /// # Errors
    /// As [`send_udp_as`].
    pub fn send(&self, to: IpAddr, packet: &[u8]) -> Result<()> {
        let socket = if to.is_ipv4() { &self.ipv4 } else { &self.ipv6 };
        let address = SocketAddr::new(to, 0);
        sendto(socket, packet, SendFlags::empty(), &address).context("cannot send a raw packet")?;
        Ok(())
    }
}

/// A UDP datagram with its IP header; see [`send_udp_as`].
///
/// # Panics
/// As [`send_udp_as`].
#[must_use]
pub fn udp_packet(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("a test's payload is short");
    let mut udp = [from.port().to_be_bytes(), to.port().to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
    udp.extend_from_slice(payload);
    packet(from, to, IPPROTO_UDP, udp, 6)
}

/// `transport`, whose checksum is at `check`, behind its IP header.
fn packet(from: SocketAddr, to: SocketAddr, protocol: u8, mut transport: Vec<u8>, check: usize) -> Vec<u8> {
    let length = u16::try_from(transport.len()).expect("a test's payload is short");
    let (header, pseudo) = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            (header4(from, to, protocol, length), [from.octets(), to.octets()].concat())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            (header6(from, to, protocol, length), [from.octets(), to.octets()].concat())
        }
        _ => panic!("{from} and {to} are of different families"),
    };
    let sum = checksum(&[pseudo.as_slice(), &[0, protocol], &length.to_be_bytes(), &transport].concat());
    transport[check..check + 2].copy_from_slice(&sum.to_be_bytes());
    [header, transport].concat()
}

/// The kernel fills in the checksum.
fn header4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: u16) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend((20 + payload).to_be_bytes());
    header.extend([0, 1, 0, 0, 64, protocol, 0, 0]);
    header.extend(from.octets());
    header.extend(to.octets());
    header
}

fn header6(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, payload: u16) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend(payload.to_be_bytes());
    header.extend([protocol, 64]);
    header.extend(from.octets());
    header.extend(to.octets());
    header
}

/// RFC 1071. Zero means "none" in UDP, and is written as its other form.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or_default()])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    match !(sum as u16) {
        0 => 0xffff,
        sum => sum,
    }
}
