//! Headers to keys.
//!
//! [`ipv4`] and [`ipv6`] read whole packets, [`fragment`] the pieces of others, [`link`] what keeps a link alive.

pub(crate) mod extensions;
pub mod fragment;
pub mod link;

use egret_abi::{Address, DestKey, Flow, Flow4Key, Flow6Key, FragmentKey, Ports, RulesetId, WorkloadIndex};

use crate::{Tables, related};

/// Length of the Ethernet header; a VLAN tag, where there is one, is not in the bytes but beside them.
pub const LINK: usize = 14;
/// Ethertype of IPv4.
pub const IPV4: u16 = 0x0800;
/// Ethertype of ARP.
pub const ARP: u16 = 0x0806;
/// Ethertype of IPv6.
pub const IPV6: u16 = 0x86dd;

/// ICMP.
pub const ICMP: u8 = 1;
/// IGMP.
pub const IGMP: u8 = 2;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// ICMPv6.
pub const ICMP6: u8 = 58;
/// SCTP.
pub const SCTP: u8 = 132;
/// The port of DNS, in network order.
pub const DNS: [u8; 2] = 53u16.to_be_bytes();

/// The extension header of an IPv6 fragment.
const FRAGMENT6: u8 = 44;
/// The one bit of an IPv4 header that must be 0.
const RESERVED: u16 = 0x8000;
const FIN_SYN_RST_ACK: u8 = 0x17;
/// What opens or ends a TCP stream.
pub const FIN_SYN_RST: u8 = 0x07;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Bytes of [`Packet::window`]; a power of two.
pub const WINDOW: usize = 512;

/// Where bytes come from: packet memory in the kernel, a slice on the host.
pub trait Packet {
    /// The `N` bytes at `at` from the start of the link header.
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]>;
    /// The `N` words of four bytes at `at`, each as it lies there. Headers start two bytes off a multiple of four, for
    /// the link header is 14 bytes long; what is read this way is read word by word and not byte by byte.
    fn words<const N: usize>(&self, at: usize) -> Option<[u32; N]>;
    /// The bytes from `at` on, as many as there are and fit, and how many: for what is read byte by byte.
    fn window(&self, at: usize) -> Option<(&[u8; WINDOW], usize)>;
    /// `value` as it is. In the kernel it goes through a map on its way, so that the verifier forgets which of many
    /// branches made it, and follows what comes after once.
    fn forget(&self, value: usize) -> usize {
        value
    }
    /// Bytes in all, link header included.
    fn length(&self) -> u32;
}

/// The keys of both families, for code that does not care which.
pub trait FlowKey: Copy + Default {
    /// Whether this is the IPv6 one.
    const V6: bool;
    /// Address of the workload.
    fn local(&self) -> Address;
    /// Address of the other end.
    fn remote(&self) -> Address;
    /// Port of the workload.
    fn local_port(&self) -> [u8; 2];
    /// Port of the other end.
    fn remote_port(&self) -> [u8; 2];
    /// The IP protocol as it stands in the packet.
    fn protocol(&self) -> u8;
    /// Key of the other end in DEST.
    fn dest(&self, ruleset: RulesetId) -> DestKey;
    /// This flow as the other end sees it.
    fn reversed(&self) -> Self;
    /// This flow, from whatever address.
    fn without_local(&self) -> Self;
    /// Runs `f` on the flow, where it is remembered.
    fn with_flow<T: Tables, R>(
        &self,
        tables: &T,
        workload: WorkloadIndex,
        f: impl FnOnce(&mut Flow) -> R,
    ) -> Option<R>;
    /// The flow that this packet quotes, where it is an ICMP error; see [`related`].
    fn quoted<P: Packet>(&self, packet: &P) -> Option<Self>;
    /// The same with another protocol and ports.
    fn carrying(self, protocol: u8, ports: Ports) -> Self;
    /// How pieces of a packet with these addresses and this protocol are told from those of others.
    fn train(&self, id: u32) -> FragmentKey;
    /// Remembers the flow; false when that is not possible.
    fn remember<T: Tables>(&self, tables: &T, workload: WorkloadIndex, flow: &Flow) -> bool;

    /// Whether the workload's address is none, as while it has none yet. IPv6 has no such address but its own: the one of
    /// IPv4 in its clothes is an address like any other there.
    #[inline(always)]
    fn is_homeless(&self) -> bool {
        self.local() == if Self::V6 { Address([0; 16]) } else { Address::v4([0; 4]) }
    }

    /// The protocol as rules name it: echo is ICMP in both families.
    #[inline(always)]
    fn rule_protocol(&self) -> u8 {
        if self.protocol() == ICMP6 { ICMP } else { self.protocol() }
    }
}

macro_rules! flow_key {
    ($key:ty, $v6:literal, $address:expr, $dest:path, $quoted:path, $with:ident, $remember:ident) => {
        impl FlowKey for $key {
            const V6: bool = $v6;
            #[inline(always)]
            fn local(&self) -> Address {
                $address(self.local)
            }
            #[inline(always)]
            fn remote(&self) -> Address {
                $address(self.remote)
            }
            #[inline(always)]
            fn local_port(&self) -> [u8; 2] {
                self.ports.local()
            }
            #[inline(always)]
            fn remote_port(&self) -> [u8; 2] {
                self.ports.remote()
            }
            #[inline(always)]
            fn protocol(&self) -> u8 {
                self.protocol as u8
            }
            #[inline(always)]
            fn dest(&self, ruleset: RulesetId) -> DestKey {
                $dest(ruleset, self.remote)
            }
            #[inline(always)]
            fn reversed(&self) -> Self {
                let ports = match self.protocol() {
                    ICMP | ICMP6 => self.ports,
                    _ => Ports::new(self.ports.remote(), self.ports.local()),
                };
                Self { local: self.remote, remote: self.local, ports, ..*self }
            }
            #[inline(always)]
            fn without_local(&self) -> Self {
                Self { local: Default::default(), ..*self }
            }
            #[inline(always)]
            fn with_flow<T: Tables, R>(
                &self,
                tables: &T,
                workload: WorkloadIndex,
                f: impl FnOnce(&mut Flow) -> R,
            ) -> Option<R> {
                tables.$with(workload, self, f)
            }
            #[inline(always)]
            fn quoted<P: Packet>(&self, packet: &P) -> Option<Self> {
                $quoted(packet, self)
            }
            #[inline(always)]
            fn carrying(self, protocol: u8, ports: Ports) -> Self {
                Self { protocol: protocol as u32, ports, ..self }
            }
            #[inline(always)]
            fn train(&self, id: u32) -> FragmentKey {
                // A receiver of IPv6 puts pieces together whatever protocol each of them claims.
                let protocol = if $v6 { FragmentKey::IPV6 } else { self.protocol };
                FragmentKey { local: self.local(), remote: self.remote(), id, protocol }
            }
            #[inline(always)]
            fn remember<T: Tables>(&self, tables: &T, workload: WorkloadIndex, flow: &Flow) -> bool {
                tables.$remember(workload, self, flow)
            }
        }
    };
}
flow_key!(Flow4Key, false, Address::v4, DestKey::v4, related::quoted4, with_flow4, remember_flow4);
flow_key!(Flow6Key, true, Address, DestKey::v6, related::quoted6, with_flow6, remember_flow6);

/// A packet that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<K> {
    /// Its flow, as its sender sees it.
    pub key: K,
    /// Where the transport header starts.
    pub transport: usize,
    /// TCP's flags; 0 for every other protocol.
    pub flags: u8,
    /// For echo: the request, not the reply. True for every other protocol.
    pub request: bool,
}

impl<K: FlowKey> Headers<K> {
    /// A packet that begins a TCP connection.
    #[inline(always)]
    pub fn begins_connection(&self) -> bool {
        begins_connection(self.flags)
    }

    /// A UDP datagram to port 53.
    #[inline(always)]
    pub fn is_query(&self) -> bool {
        self.key.remote_port() == DNS && self.key.protocol() == UDP
    }
}

/// Whether TCP's `flags` begin a connection.
#[inline(always)]
pub fn begins_connection(flags: u8) -> bool {
    flags & FIN_SYN_RST_ACK == SYN
}

/// Whether TCP's `flags` answer the begin of a connection.
#[inline(always)]
pub fn answers_connection(flags: u8) -> bool {
    flags & FIN_SYN_RST_ACK == SYN | ACK
}

/// Whether TCP's `flags` end a connection at once.
#[inline(always)]
pub fn is_reset(flags: u8) -> bool {
    flags & RST != 0
}

/// What a packet is, once read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<K> {
    /// Part of a flow.
    Flow(Headers<K>),
    /// What keeps the link itself alive, and has no flow: neighbour discovery, multicast listening, DHCP; see [`link`].
    Link(Headers<K>),
    /// A piece of a packet, which [`fragment`] reads.
    Fragment,
    /// It cannot be read; what is there of its addresses.
    Unreadable(K),
}

/// The flow of the packet that comes most: IPv4 without options or fragments, TCP under way. `None`: any other packet,
/// which [`ipv4`] reads. A short cut of straight code, so that the hot path keeps what it needs in registers.
#[inline(always)]
pub fn established4<P: Packet>(packet: &P) -> Option<Flow4Key> {
    let [first, second, third, source, destination, ports, _, _, control, _] = packet.words(LINK)?;
    let [version_and_words, ..] = first.to_ne_bytes();
    let [_, _, fragment @ ..] = second.to_ne_bytes();
    let [_, protocol, ..] = third.to_ne_bytes();
    let [_, flags, ..] = control.to_ne_bytes();
    let plain = version_and_words == 0x45 && u16::from_be_bytes(fragment) & 0xbfff == 0;
    if !plain || protocol != TCP || begins_connection(flags) {
        return None;
    }
    Some(Flow4Key {
        local: source.to_ne_bytes(),
        remote: destination.to_ne_bytes(),
        ports: Ports(ports),
        protocol: TCP as u32,
    })
}

/// Reads an IPv4 packet.
#[inline(always)]
pub fn ipv4<P: Packet>(packet: &P) -> Parsed<Flow4Key> {
    let mut key = Flow4Key::default();
    let Some([first, second, third, source, destination]) = packet.words(LINK) else {
        return Parsed::Unreadable(key);
    };
    let [version_and_words, ..] = first.to_ne_bytes();
    let [_, _, fragment @ ..] = second.to_ne_bytes();
    let [hops, protocol, ..] = third.to_ne_bytes();
    key.local = source.to_ne_bytes();
    key.remote = destination.to_ne_bytes();
    key.protocol = protocol as u32;
    let (words, fragment) = (version_and_words & 15, u16::from_be_bytes(fragment));
    if version_and_words >> 4 != 4 || words < 5 || fragment & RESERVED != 0 {
        return Parsed::Unreadable(key);
    }
    if fragment & fragment::ANY != 0 {
        return Parsed::Fragment;
    }
    // The constant offset of a header without options keeps the hot path free of arithmetic on packet pointers.
    let transport = if words == 5 { LINK + 20 } else { LINK + words as usize * 4 };
    let Some(t) = transport_header(packet, protocol, transport) else { return Parsed::Unreadable(key) };
    key.ports = t.ports;
    let headers = Headers { key, transport, flags: t.flags, request: t.request };
    if link::keeps4(packet, &headers, hops) { Parsed::Link(headers) } else { Parsed::Flow(headers) }
}

/// Reads an IPv6 packet.
#[inline(always)]
pub fn ipv6<P: Packet>(packet: &P) -> Parsed<Flow6Key> {
    let mut key = Flow6Key::default();
    let Some(words) = packet.words::<10>(LINK) else { return Parsed::Unreadable(key) };
    let [version, ..] = words[0].to_ne_bytes();
    let [_, _, next, hops] = words[1].to_ne_bytes();
    key.local = address(&words, 2);
    key.remote = address(&words, 6);
    key.protocol = next as u32;
    if version >> 4 != 6 {
        return Parsed::Unreadable(key);
    }
    let Some((protocol, transport)) = extensions::skip(packet, next, LINK + 40) else {
        return Parsed::Unreadable(key);
    };
    key.protocol = protocol as u32;
    if protocol == ICMP6 && link::keeps6(packet, transport, hops, &key.remote) {
        return Parsed::Link(Headers { key, transport, flags: 0, request: true });
    }
    let Some(t) = transport_header(packet, protocol, transport) else {
        return if protocol == FRAGMENT6 { Parsed::Fragment } else { Parsed::Unreadable(key) };
    };
    key.ports = t.ports;
    let headers = Headers { key, transport, flags: t.flags, request: t.request };
    if link::is_dhcp6(&key) { Parsed::Link(headers) } else { Parsed::Flow(headers) }
}

#[inline(always)]
fn address(words: &[u32; 10], at: usize) -> [u8; 16] {
    let mut address = [0; 16];
    for i in 0..4 {
        address[i * 4..i * 4 + 4].copy_from_slice(&words[at + i].to_ne_bytes());
    }
    address
}

struct Transport {
    ports: Ports,
    flags: u8,
    request: bool,
}

#[inline(always)]
fn transport_header<P: Packet>(packet: &P, protocol: u8, at: usize) -> Option<Transport> {
    match protocol {
        TCP => {
            let [ports, _, _, control, _] = packet.words(at)?;
            let [_, flags, ..] = control.to_ne_bytes();
            Some(Transport { ports: Ports(ports), flags, request: true })
        }
        UDP | SCTP => {
            let [ports, _] = packet.words(at)?;
            Some(Transport { ports: Ports(ports), flags: 0, request: true })
        }
        ICMP | ICMP6 => {
            let [head, echo] = packet.words(at)?;
            let [kind, ..] = head.to_ne_bytes();
            let request = match (protocol, kind) {
                (ICMP, 8) | (ICMP6, 128) => true,
                (ICMP, 0) | (ICMP6, 129) => false,
                _ => return None,
            };
            Some(Transport { ports: Ports::new(Ports(echo).local(), [0; 2]), flags: 0, request })
        }
        // More headers before the transport's, which few could read: mobility, HIP, shim. ESP and AH are protocols of
        // their own: what is inside is for its receiver alone, and only a rule for every protocol lets them pass.
        FRAGMENT6 | 135 | 139 | 140 => None,
        // Headers that say they end where the packet has long ended.
        _ if at > packet.length() as usize => None,
        _ => Some(Transport { ports: Ports(0), flags: 0, request: true }),
    }
}
