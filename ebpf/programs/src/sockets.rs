//! The hooks on the control group of one workload that has no network namespace of its own: what its sockets ask for,
//! send and are sent. What they decide is in `egret_decide::socket`.
//!
//! Each workload has its own copy, which carries its index, and so is right whoever uses a socket that was made in the
//! group. `connect4`, `connect6`: an application asks to be connected. `sendmsg4`, `sendmsg6`: it sends to somebody whom
//! its socket is not connected to. `socket_egress`, `socket_ingress`: packets that leave sockets and come to them.
//!
//! No program calls another, and nothing is kept for one by processor: these run for applications, and others may run in
//! between on the same processor.
#![no_std]
#![feature(asm_experimental_arch)]
#![no_main]

#[allow(dead_code, reason = "shared with the programs of packets")]
mod kernel;
#[allow(dead_code, reason = "shared with the programs of packets")]
mod maps;
mod socket;

use aya_ebpf::{
    EbpfContext,
    bindings::bpf_sock_addr,
    helpers::{bpf_set_retval, bpf_skb_load_bytes},
    macros::{cgroup_skb, cgroup_sock_addr},
    programs::{SkBuffContext, SockAddrContext},
};
use egret_abi::{Flow4Key, Flow6Key, Ports, WorkloadIndex};
use egret_decide::{
    Packet,
    inbound::InboundKey,
    parse::{self, LINK, Parsed, TCP, UDP, WINDOW},
    socket::{self as judge, Left, Outcome},
};

use crate::{
    kernel::Kernel,
    socket::{Kind, Socket},
};

/// The workload, written when the copy is loaded.
#[unsafe(no_mangle)]
static WORKLOAD: u32 = 0;

/// It goes on.
const PASS: i32 = 1;
/// It ends here; without another number the application is told `EPERM`.
const END: i32 = 0;
const ECONNREFUSED: i32 = 111;
/// Where the last four bytes of an IPv4 address in the clothes of IPv6 begin, and what is before them.
const MAPPED: [u32; 3] = [0, 0, 0xffff_u32.to_be()];

#[cgroup_sock_addr(connect4)]
#[inline(always)]
pub fn connect4(ctx: SockAddrContext) -> i32 {
    let asked = Asked::of(&ctx);
    if !asked.has_ports() {
        PASS
    } else {
        answer(judge::connect(&Kernel, workload(), &asked.key4(asked.ip4())))
    }
}

#[cgroup_sock_addr(connect6)]
#[inline(always)]
pub fn connect6(ctx: SockAddrContext) -> i32 {
    let asked = Asked::of(&ctx);
    if !asked.has_ports() {
        return PASS;
    }
    let ip = asked.ip6();
    if ip[..3] == MAPPED {
        return answer(judge::connect(&Kernel, workload(), &asked.key4(ip[3])));
    }
    answer(judge::connect(&Kernel, workload(), &asked.key6(ip)))
}

#[cgroup_sock_addr(sendmsg4)]
#[inline(always)]
pub fn sendmsg4(ctx: SockAddrContext) -> i32 {
    let asked = Asked::of(&ctx);
    answer(judge::send(&Kernel, workload(), &asked.key4(asked.ip4())))
}

#[cgroup_sock_addr(sendmsg6)]
#[inline(always)]
pub fn sendmsg6(ctx: SockAddrContext) -> i32 {
    let asked = Asked::of(&ctx);
    answer(judge::send(&Kernel, workload(), &asked.key6(asked.ip6())))
}

#[cgroup_skb(egress)]
#[inline(always)]
pub fn socket_egress(ctx: SkBuffContext) -> i32 {
    let Some(socket) = Socket::of(&ctx) else { return PASS };
    let sent = Sent(&ctx);
    let outcome = match protocol(&ctx) {
        parse::IPV4 => {
            let left = match socket.kind() {
                Kind::Tcp => Left::segment(&socket.key4(), socket.begins()),
                Kind::Udp if socket.is_connected() => Left::datagram(&socket.key4()),
                Kind::Udp => return PASS,
                Kind::Other => {
                    let Some(left) = Left::packet(&parse::ipv4(&sent)) else { return PASS };
                    left
                }
            };
            judge::leave(&Kernel, &sent, workload(), left)
        }
        parse::IPV6 => {
            let left = match socket.kind() {
                Kind::Tcp => Left::segment(&socket.key6(), socket.begins()),
                Kind::Udp if socket.is_connected() => Left::datagram(&socket.key6()),
                Kind::Udp => return PASS,
                Kind::Other => {
                    let Some(left) = Left::packet(&parse::ipv6(&sent)) else { return PASS };
                    left
                }
            };
            judge::leave(&Kernel, &sent, workload(), left)
        }
        _ => Outcome::Pass,
    };
    if outcome == Outcome::Pass { PASS } else { END }
}

#[cgroup_skb(ingress)]
#[inline(always)]
pub fn socket_ingress(ctx: SkBuffContext) -> i32 {
    let Some(socket) = Socket::of(&ctx) else { return PASS };
    let sent = Sent(&ctx);
    if socket.protocol != TCP as u32 {
        match protocol(&ctx) {
            parse::IPV4 => arrive(&parse::ipv4(&sent)),
            parse::IPV6 => arrive(&parse::ipv6(&sent)),
            _ => {}
        }
    }
    PASS
}

#[inline(always)]
fn arrive<K: InboundKey>(parsed: &Parsed<K>) {
    judge::arrive(&Kernel, workload(), parsed);
}

#[inline(always)]
fn answer(outcome: Outcome) -> i32 {
    match outcome {
        Outcome::Pass => return PASS,
        // SAFETY: a helper that takes a number.
        Outcome::Refuse => unsafe {
            bpf_set_retval(-ECONNREFUSED);
        },
        Outcome::Drop => {}
    }
    END
}

#[inline(always)]
fn workload() -> WorkloadIndex {
    // SAFETY: a static of this object; volatile, for it is written at load time.
    WorkloadIndex(unsafe { core::ptr::read_volatile(&raw const WORKLOAD) })
}

/// The ethertype, in host order.
#[inline(always)]
fn protocol(ctx: &SkBuffContext) -> u16 {
    // SAFETY: the context.
    u16::from_be(unsafe { (*ctx.skb.skb).protocol } as u16)
}

/// Where an application asks to go. Each field is read whole: the verifier knows no other way.
struct Asked(*mut bpf_sock_addr);

impl Asked {
    #[inline(always)]
    fn of(ctx: &SockAddrContext) -> Self {
        Self(ctx.sock_addr)
    }

    #[inline(always)]
    fn protocol(&self) -> u32 {
        // SAFETY: the context, as below.
        unsafe { core::ptr::read_volatile(&raw const (*self.0).protocol) }
    }

    /// What else can be connected has packets to be judged by.
    #[inline(always)]
    fn has_ports(&self) -> bool {
        let protocol = self.protocol();
        protocol == TCP as u32 || protocol == UDP as u32
    }

    #[inline(always)]
    fn ip4(&self) -> u32 {
        // SAFETY: as above.
        unsafe { core::ptr::read_volatile(&raw const (*self.0).user_ip4) }
    }

    #[inline(always)]
    fn ip6(&self) -> [u32; 4] {
        // SAFETY: as above.
        let word = |at: usize| unsafe { core::ptr::read_volatile(&raw const (*self.0).user_ip6[at]) };
        [word(0), word(1), word(2), word(3)]
    }

    #[inline(always)]
    fn ports(&self) -> Ports {
        // SAFETY: as above.
        let (port, socket) = unsafe {
            let socket = core::ptr::read_volatile(&raw const (*self.0).__bindgen_anon_1.sk);
            (core::ptr::read_volatile(&raw const (*self.0).user_port), socket)
        };
        let local = if socket.is_null() { 0 } else { socket::local_port(socket) };
        Ports::new(local.to_be_bytes(), (port as u16).to_ne_bytes())
    }

    #[inline(always)]
    fn key4(&self, ip: u32) -> Flow4Key {
        Flow4Key { local: [0; 4], remote: ip.to_ne_bytes(), ports: self.ports(), protocol: self.protocol() }
    }

    #[inline(always)]
    fn key6(&self, ip: [u32; 4]) -> Flow6Key {
        Flow6Key { local: [0; 16], remote: socket::bytes(ip), ports: self.ports(), protocol: self.protocol() }
    }
}

/// A packet of a socket, which begins with its IP header: as if there were a link header before it.
struct Sent<'a>(&'a SkBuffContext);

/// Offsets beyond this are not read, see `packet.rs`.
const FAR: usize = 0x3fff;

impl Packet for Sent<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        if !(LINK..=FAR).contains(&at) {
            return None;
        }
        let mut bytes = [0; N];
        // SAFETY: the helper writes N bytes to a buffer of N, or fails.
        let failed = unsafe {
            bpf_skb_load_bytes(self.0.as_ptr(), (at - LINK) as u32, bytes.as_mut_ptr().cast(), N as u32)
        };
        (failed == 0).then_some(bytes)
    }

    #[inline(always)]
    fn words<const N: usize>(&self, at: usize) -> Option<[u32; N]> {
        if !(LINK..=FAR).contains(&at) {
            return None;
        }
        let mut words = [0; N];
        // SAFETY: the helper writes N words to a buffer of N, or fails.
        let failed = unsafe {
            bpf_skb_load_bytes(self.0.as_ptr(), (at - LINK) as u32, words.as_mut_ptr().cast(), N as u32 * 4)
        };
        (failed == 0).then_some(words)
    }

    #[inline(always)]
    fn window(&self, _at: usize) -> Option<(&[u8; WINDOW], usize)> {
        None
    }

    #[inline(always)]
    fn length(&self) -> u32 {
        self.0.len() + LINK as u32
    }
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
