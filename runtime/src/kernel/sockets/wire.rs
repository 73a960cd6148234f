//! Bytes of NETLINK_SOCK_DIAG (`linux/inet_diag.h`). Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::kernel::maps::{FlowTuple, address};

/// `IPPROTO_TCP`.
pub const TCP: u8 = 6;
/// `IPPROTO_UDP`.
pub const UDP: u8 = 17;
/// `AF_INET` and `AF_INET6`.
pub const FAMILIES: [u8; 2] = [2, 10];

const BY_FAMILY: u16 = 20;
const DESTROY: u16 = 21;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
}

/// `inet_diag_sockid`: which socket.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Id {
    local_port: U16,
    remote_port: U16,
    local: [u8; 16],
    remote: [u8; 16],
    device: [u8; 4],
    cookie: [u8; 8],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Ask {
    header: Header,
    family: u8,
    protocol: u8,
    extensions: u8,
    pad: u8,
    states: u32,
    id: Id,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Told {
    family: u8,
    state: u8,
    timer: u8,
    retransmits: u8,
    id: Id,
    rest: [u32; 5],
}

/// A socket, as a dump tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// `AF_INET` or `AF_INET6`; the second may hold mapped IPv4 addresses.
    pub family: u8,
    /// Its TCP state, or UDP's: 1 connected, 7 not.
    pub state: u8,
    /// What tells it from all others.
    pub id: Id,
}

impl Socket {
    /// Its flow, as its namespace sends it. IPv4 addresses of IPv6 sockets are written as what they are on the wire.
    #[must_use]
    pub fn flow(&self, protocol: u8) -> FlowTuple {
        FlowTuple {
            local: address(self.ip(self.id.local)),
            remote: address(self.ip(self.id.remote)),
            local_port: self.local_port(),
            remote_port: self.id.remote_port.get(),
            protocol,
        }
    }

    /// Its own port.
    #[must_use]
    pub fn local_port(&self) -> u16 {
        self.id.local_port.get()
    }

    fn ip(&self, bytes: [u8; 16]) -> IpAddr {
        match (self.family, bytes) {
            (2, [a, b, c, d, ..]) => Ipv4Addr::new(a, b, c, d).into(),
            _ => Ipv6Addr::from(bytes).to_canonical(),
        }
    }
}

/// Asks for every socket of a family and a protocol that is in one of `states`, a bit each.
#[must_use]
pub fn dump(family: u8, protocol: u8, states: u32) -> Vec<u8> {
    ask(BY_FAMILY, REQUEST | DUMP, family, protocol, states, Id::default())
}

/// Orders that a socket be ended, and its peer told. The id carries its cookie, so that no other socket is hit.
#[must_use]
pub fn destroy(socket: &Socket, protocol: u8) -> Vec<u8> {
    ask(DESTROY, REQUEST | ACK, socket.family, protocol, u32::MAX, socket.id)
}

fn ask(kind: u16, flags: u16, family: u8, protocol: u8, states: u32, id: Id) -> Vec<u8> {
    let length = size_of::<Ask>() as u32;
    let header = Header { length, kind, flags, sequence: 1, port: 0 };
    Ask { header, family, protocol, extensions: 0, pad: 0, states, id }.as_bytes().to_vec()
}

/// One message of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A socket.
    Socket(Socket),
    /// Nothing follows.
    Done,
    /// What was asked was done (0), or why not: a number of `errno`.
    Error(i32),
}

/// The messages in a datagram from the kernel; one that is cut short ends them.
pub fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message> {
    std::iter::from_fn(move || {
        loop {
            let (header, _) = Header::read_from_prefix(datagram).ok()?;
            let length = header.length as usize;
            let body = datagram.get(size_of::<Header>()..length)?;
            datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
            match header.kind {
                NLMSG_DONE => return Some(Message::Done),
                NLMSG_ERROR => {
                    let (error, _) = i32::read_from_prefix(body).ok()?;
                    return Some(Message::Error(-error));
                }
                BY_FAMILY => {
                    let (Told { family, state, id, .. }, _) = Told::read_from_prefix(body).ok()?;
                    return Some(Message::Socket(Socket { family, state, id }));
                }
                _ => {}
            }
        }
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The message that tells of a socket.
    pub fn told(family: u8, state: u8, local: &str, remote: &str) -> Vec<u8> {
        let bytes = |end: &str| {
            let end: std::net::SocketAddr = end.parse().expect("an address");
            let mut ip = [0; 16];
            match end.ip() {
                IpAddr::V4(v4) if family == 2 => ip[..4].copy_from_slice(&v4.octets()),
                IpAddr::V4(v4) => ip = v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => ip = v6.octets(),
            }
            (ip, U16::new(end.port()))
        };
        let ((local, local_port), (remote, remote_port)) = (bytes(local), bytes(remote));
        let id = Id { local_port, remote_port, local, remote, device: [0; 4], cookie: [7; 8] };
        let told = Told { family, state, timer: 0, retransmits: 0, id, rest: [0; 5] };
        // Attributes follow in earnest.
        framed(BY_FAMILY, &[told.as_bytes(), &[5, 0, 8, 0, 0, 0, 0, 0]].concat())
    }

    fn framed(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = (size_of::<Header>() + body.len()) as u32;
        [Header { length, kind, flags: 2, sequence: 1, port: 9 }.as_bytes(), body].concat()
    }

    #[test]
    fn sizes_are_those_of_the_kernel() {
        assert_eq!((size_of::<Id>(), size_of::<Ask>(), size_of::<Told>()), (48, 16 + 56, 72));
    }

    #[test]
    fn a_datagram_is_read_message_by_message_and_its_end_told() {
        let datagram = [
            told(2, 1, "10.0.0.7:40000", "192.0.2.1:443"),
            told(10, 8, "10.0.0.7:40001", "192.0.2.1:443"),
            told(10, 1, "[fd00::7]:40002", "[2001:db8::1]:443"),
            framed(NLMSG_ERROR, &(-95i32).to_ne_bytes()),
            framed(NLMSG_DONE, &[0; 4]),
        ]
        .concat();
        let read: Vec<_> = messages(&datagram).collect();
        let flows: Vec<_> = read
            .iter()
            .filter_map(|message| match message {
                Message::Socket(socket) => Some((socket.state, socket.flow(TCP))),
                _ => None,
            })
            .collect();
        let ports: Vec<_> =
            flows.iter().map(|(state, flow)| (*state, flow.local_port, flow.remote_port)).collect();
        assert_eq!(ports, [(1, 40000, 443), (8, 40001, 443), (1, 40002, 443)]);
        assert_eq!(flows[0].1.remote, flows[1].1.remote, "mapped addresses are IPv4 on the wire");
        assert_ne!(flows[0].1.remote, flows[2].1.remote);
        assert_eq!(read[3..], [Message::Error(95), Message::Done]);
    }

    #[test]
    fn whatever_is_cut_or_spoiled_ends_the_messages_and_nothing_else() {
        let datagram =
            [told(2, 1, "10.0.0.7:40000", "192.0.2.1:443"), framed(77, &[1; 5]), framed(NLMSG_DONE, &[0; 4])]
                .concat();
        for length in 0..datagram.len() {
            assert!(messages(&datagram[..length]).count() <= 2);
            let mut spoiled = datagram.clone();
            for byte in [0, 1, 0xff] {
                spoiled[length] = byte;
                assert!(messages(&spoiled).count() <= 100);
            }
        }
    }
}
