//! Frames, as a workload or its peers send them. Checksums are left out: nothing that judges reads them.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

use crate::Packet;
use crate::parse::{ICMP, ICMP6, IPV4, IPV6, LINK, TCP, UDP, WINDOW};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

/// A whole frame, link header included.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Behind the frame, what a window may show of the packet before it; zeros end every name.
    memory: Vec<u8>,
    length: usize,
}

impl Packet for Frame {
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn words<const N: usize>(&self, at: usize) -> Option<[u32; N]> {
        let (words, []) = self.get(at..at.checked_add(N * 4)?)?.as_chunks::<4>() else { return None };
        Some(std::array::from_fn(|i| u32::from_ne_bytes(words[i])))
    }

    fn window(&self, at: usize) -> Option<(&[u8; WINDOW], usize)> {
        let there = self.length.checked_sub(at)?.min(WINDOW - 1);
        let window = self.memory.get(at..at + WINDOW)?.try_into().ok()?;
        (there > 0).then_some((window, there))
    }

    fn length(&self) -> u32 {
        self.length as u32
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl Frame {
    pub fn new(mut bytes: Vec<u8>) -> Self {
        let length = bytes.len();
        bytes.extend([0; WINDOW]);
        Self { memory: bytes, length }
    }

    pub fn ethertype(&self) -> u16 {
        u16::from_be_bytes(self.read(12).unwrap())
    }

    /// The same with `bytes` at `at`.
    pub fn with(mut self, at: usize, bytes: &[u8]) -> Self {
        self.memory[..self.length][at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// The same, cut to `length`.
    pub fn cut(self, length: usize) -> Self {
        Self::new(self[..length.min(self.length)].to_vec())
    }

    /// The same with `bytes` behind it.
    pub fn and(self, bytes: &[u8]) -> Self {
        Self::new([&self, bytes].concat())
    }
}

/// Who sends and who is sent to.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    pub from: SocketAddr,
    pub to: SocketAddr,
}

impl Ends {
    pub fn new(from: &str, to: &str) -> Self {
        Self { from: from.parse().unwrap(), to: to.parse().unwrap() }
    }

    pub fn back(self) -> Self {
        Self { from: self.to, to: self.from }
    }

    pub fn tcp(self, flags: u8) -> Frame {
        self.segment(flags, 1000, 2000, b"")
    }

    pub fn segment(self, flags: u8, sequence: u32, acknowledgment: u32, payload: &[u8]) -> Frame {
        let mut bytes = self.ports();
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(acknowledgment.to_be_bytes());
        bytes.extend([5 << 4, flags, 0, 0, 0, 0, 0, 0]);
        bytes.extend(payload);
        self.ip(TCP, &bytes)
    }

    pub fn udp(self, payload: &[u8]) -> Frame {
        let mut bytes = self.ports();
        bytes.extend((8 + payload.len() as u16).to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(payload);
        self.ip(UDP, &bytes)
    }

    /// An echo with the identifier `id`; the request or the reply.
    pub fn echo(self, id: u16, request: bool) -> Frame {
        let (protocol, kind) = match (self.from, request) {
            (SocketAddr::V4(_), true) => (ICMP, 8),
            (SocketAddr::V4(_), false) => (ICMP, 0),
            (SocketAddr::V6(_), true) => (ICMP6, 128),
            (SocketAddr::V6(_), false) => (ICMP6, 129),
        };
        let [high, low] = id.to_be_bytes();
        self.ip(protocol, &[kind, 0, 0, 0, high, low, 0, 1])
    }

    /// `payload` as `protocol` over IP.
    pub fn ip(self, protocol: u8, payload: &[u8]) -> Frame {
        let mut bytes = vec![0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01];
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                bytes.extend(IPV4.to_be_bytes());
                bytes.extend([0x45, 0]);
                bytes.extend((20 + payload.len() as u16).to_be_bytes());
                bytes.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
                bytes.extend(from.octets());
                bytes.extend(to.octets());
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                bytes.extend(IPV6.to_be_bytes());
                bytes.extend([0x60, 0, 0, 0]);
                bytes.extend((payload.len() as u16).to_be_bytes());
                bytes.extend([protocol, 64]);
                bytes.extend(from.octets());
                bytes.extend(to.octets());
            }
            _ => panic!("two families in one packet"),
        }
        bytes.extend(payload);
        Frame::new(bytes)
    }

    fn ports(self) -> Vec<u8> {
        [self.from.port().to_be_bytes(), self.to.port().to_be_bytes()].concat()
    }
}

/// An IPv6 frame with `count` extension headers of `kind` before the transport, each of `eights` times 8 bytes.
pub fn with_extensions(frame: &Frame, kind: u8, count: usize, eights: u8) -> Frame {
    let mut bytes = frame[..LINK + 40].to_vec();
    let transport = bytes[LINK + 6];
    for i in 0..count {
        if i == 0 {
            bytes[LINK + 6] = kind;
        }
        let mut header = vec![0; eights as usize * 8];
        header[0] = if i + 1 == count { transport } else { kind };
        header[1] = eights - 1;
        bytes.extend(header);
    }
    bytes.extend(&frame[LINK + 40..]);
    let payload = (bytes.len() - LINK - 40) as u16;
    Frame::new(bytes).with(LINK + 4, &payload.to_be_bytes())
}

/// A DNS message with one question.
pub fn dns(id: u16, response: bool, name: &str, kind: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([if response { 0x81 } else { 0x01 }, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    message
}

/// An IPv4 frame with `words` times 4 bytes of options.
pub fn with_options(frame: &Frame, words: u8) -> Frame {
    let mut bytes = frame[..LINK + 20].to_vec();
    bytes[LINK] += words;
    bytes.extend(vec![1; words as usize * 4]);
    bytes.extend(&frame[LINK + 20..]);
    let total = (bytes.len() - LINK) as u16;
    Frame::new(bytes).with(LINK + 2, &total.to_be_bytes())
}

/// The pod and a server at `port`, in both families.
pub fn both(port: u16) -> [Ends; 2] {
    [
        Ends::new("10.0.0.7:40000", &format!("192.0.2.1:{port}")),
        Ends::new("[fd00::7]:40000", &format!("[2001:db8::1]:{port}")),
    ]
}

/// The pod and a resolver that it trusts, in both families.
pub fn to_resolver() -> [Ends; 2] {
    [Ends::new("10.0.0.7:40000", "10.96.0.10:53"), Ends::new("[fd00::7]:40000", "[fd00:96::10]:53")]
}
