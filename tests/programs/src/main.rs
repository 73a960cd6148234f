//! What others run on a node beside Egret: a CNI that delivers past the host side of interface pairs, and programs that
//! sit on the same interfaces.
#![no_std]
#![no_main]

use aya_ebpf::{
    EbpfContext,
    bindings::{__sk_buff, xdp_action},
    btf_maps::HashMap,
    helpers::{bpf_redirect_peer, bpf_skb_load_bytes, bpf_skb_store_bytes},
    macros::{btf_map, classifier, xdp},
    programs::{TcContext, XdpContext},
};

/// A pod of this node.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Endpoint {
    /// The host side of its interface pair.
    ifindex: u32,
    /// The link address of its own side.
    link: [u8; 6],
    zero: [u8; 2],
}

/// Pods by address; one of IPv4 in the clothes of IPv6.
#[btf_map]
static ENDPOINTS: HashMap<[u8; 16], Endpoint, 512> = HashMap::new();

/// `TCX_NEXT`: the next program decides.
const NEXT: i32 = -1;
/// `TCX_PASS`: the packet goes on, and no other program is asked.
const PASS: i32 = 0;
/// `TCX_DROP`.
const DROP: i32 = 2;

const ETHERTYPE: u32 = 12;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const TO_IPV4: u32 = 14 + 16;
const TO_IPV6: u32 = 14 + 24;

/// Lets everything go on to the next program.
#[classifier]
pub fn neighbour(_ctx: TcContext) -> i32 {
    NEXT
}

/// Lets everything go on, past all programs behind it.
#[classifier]
pub fn silencer(_ctx: TcContext) -> i32 {
    PASS
}

/// Lets nothing go on.
#[classifier]
pub fn swallower(_ctx: TcContext) -> i32 {
    DROP
}

/// Lets nothing come in, before any other program has it.
#[xdp]
pub fn deaf(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

/// Delivers what goes to a pod of this node right into it, as a CNI's host routing does: neither the node's stack nor
/// the host side of the pod's pair sees it.
#[classifier]
pub fn deliver(ctx: TcContext) -> i32 {
    // SAFETY: copied at once; user space writes entries before any packet.
    match destination(&ctx).and_then(|address| unsafe { ENDPOINTS.get(address) }.copied()) {
        Some(endpoint) => send(&ctx, &endpoint),
        None => NEXT,
    }
}

#[inline(always)]
fn send(ctx: &TcContext, endpoint: &Endpoint) -> i32 {
    let skb: *mut __sk_buff = ctx.skb.skb;
    // SAFETY: helpers on the context with a buffer of the length given.
    unsafe {
        if bpf_skb_store_bytes(skb, 0, endpoint.link.as_ptr().cast(), 6, 0) != 0 {
            return DROP;
        }
        bpf_redirect_peer(endpoint.ifindex, 0) as i32
    }
}

#[inline(always)]
fn destination(ctx: &TcContext) -> Option<[u8; 16]> {
    let mut ethertype = [0; 2];
    load(ctx, ETHERTYPE, &mut ethertype)?;
    let mut address = [0; 16];
    match ethertype {
        IPV4 => {
            let mut last = [0; 4];
            load(ctx, TO_IPV4, &mut last)?;
            [address[10], address[11]] = [0xff; 2];
            [address[12], address[13], address[14], address[15]] = last;
        }
        IPV6 => load(ctx, TO_IPV6, &mut address)?,
        _ => return None,
    }
    Some(address)
}

#[inline(always)]
fn load<const N: usize>(ctx: &TcContext, at: u32, into: &mut [u8; N]) -> Option<()> {
    // SAFETY: the helper writes N bytes to a buffer of N, or fails.
    let failed = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), at, into.as_mut_ptr().cast(), N as u32) };
    (failed == 0).then_some(())
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
