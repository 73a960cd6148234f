//! What the kernel tells of a socket. Each field is read whole, and once: the verifier knows no other way.

use aya_ebpf::{bindings::bpf_sock, helpers::bpf_sk_fullsock, programs::SkBuffContext};
use egret_abi::{Flow4Key, Flow6Key, Ports};
use egret_decide::parse::{TCP, UDP};

/// `SOCK_STREAM` and `SOCK_DGRAM`.
const STREAM: u32 = 1;
const DATAGRAM: u32 = 2;
/// `BPF_TCP_SYN_SENT`.
const SYN_SENT: u32 = 2;

/// Who makes the packets of a socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The kernel, for a connection of TCP.
    Tcp,
    /// The kernel, for a datagram of UDP.
    Udp,
    /// Others, or the application itself.
    Other,
}

/// A socket that sends, or is sent, a packet.
pub struct Socket {
    sk: *mut bpf_sock,
    kind: u32,
    /// Its IP protocol.
    pub protocol: u32,
}

impl Socket {
    /// That of a packet.
    #[inline(always)]
    pub fn of(ctx: &SkBuffContext) -> Option<Self> {
        // SAFETY: the context; the helper takes what is not null.
        let sk = unsafe {
            let sk = core::ptr::read_volatile(&raw const (*ctx.skb.skb).__bindgen_anon_2.sk);
            if sk.is_null() {
                return None;
            }
            bpf_sk_fullsock(sk)
        };
        if sk.is_null() {
            return None;
        }
        // SAFETY: the verifier knows it for a socket.
        let (kind, protocol) = unsafe {
            (
                core::ptr::read_volatile(&raw const (*sk).type_),
                core::ptr::read_volatile(&raw const (*sk).protocol),
            )
        };
        Some(Self { sk, kind, protocol })
    }

    /// Who makes its packets, and knows where they go.
    #[inline(always)]
    pub fn kind(&self) -> Kind {
        if self.kind == STREAM && self.protocol == TCP as u32 {
            Kind::Tcp
        } else if self.kind == DATAGRAM && self.protocol == UDP as u32 {
            Kind::Udp
        } else {
            Kind::Other
        }
    }

    /// Whether it is about to begin a connection.
    #[inline(always)]
    pub fn begins(&self) -> bool {
        // SAFETY: as above, and so below.
        unsafe { core::ptr::read_volatile(&raw const (*self.sk).state) == SYN_SENT }
    }

    /// Whether it has another end.
    #[inline(always)]
    pub fn is_connected(&self) -> bool {
        self.remote_port() != [0; 2]
    }

    #[inline(always)]
    fn remote_port(&self) -> [u8; 2] {
        // SAFETY: as above.
        unsafe { core::ptr::read_volatile(&raw const (*self.sk).dst_port) }.to_ne_bytes()
    }

    #[inline(always)]
    fn ports(&self) -> Ports {
        Ports::new(local_port(self.sk).to_be_bytes(), self.remote_port())
    }

    /// Both its ends.
    #[inline(always)]
    pub fn key4(&self) -> Flow4Key {
        // SAFETY: as above.
        let (local, remote) = unsafe {
            (
                core::ptr::read_volatile(&raw const (*self.sk).src_ip4),
                core::ptr::read_volatile(&raw const (*self.sk).dst_ip4),
            )
        };
        Flow4Key {
            local: local.to_ne_bytes(),
            remote: remote.to_ne_bytes(),
            ports: self.ports(),
            protocol: self.protocol,
        }
    }

    /// Both its ends.
    #[inline(always)]
    pub fn key6(&self) -> Flow6Key {
        // SAFETY: as above.
        let words = |source: bool, at: usize| unsafe {
            if source {
                core::ptr::read_volatile(&raw const (*self.sk).src_ip6[at])
            } else {
                core::ptr::read_volatile(&raw const (*self.sk).dst_ip6[at])
            }
        };
        let address = |source| [0, 1, 2, 3].map(|at| words(source, at));
        Flow6Key {
            local: bytes(address(true)),
            remote: bytes(address(false)),
            ports: self.ports(),
            protocol: self.protocol,
        }
    }
}

/// The port of a socket's own, 0 where it has none yet.
#[inline(always)]
pub fn local_port(sk: *mut bpf_sock) -> u16 {
    // SAFETY: a socket, as the verifier knows; the port is in host order there.
    unsafe { core::ptr::read_volatile(&raw const (*sk).src_port) as u16 }
}

/// The bytes of an address as they stand in memory.
#[inline(always)]
pub fn bytes(words: [u32; 4]) -> [u8; 16] {
    let mut bytes = [0; 16];
    for at in 0..4 {
        bytes[at * 4..at * 4 + 4].copy_from_slice(&words[at].to_ne_bytes());
    }
    bytes
}
