//! Sends a refusal: the denied packet becomes the answer, and goes back where it came from; or, where a connection is
//! cut, a copy of it does, and itself goes on as a reset.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_INVALIDATE_HASH},
    helpers::{bpf_clone_redirect, bpf_redirect, bpf_skb_change_tail, bpf_skb_store_bytes},
    programs::TcContext,
};
use egret_abi::Counter;
use egret_decide::{Packet, Tables, parse, refuse};

use crate::{DROP, NEXT, ethertype, kernel::Kernel, packet::Frame, steps};

/// Where the two bytes of data offset and flags are in a TCP header.
const FLAGS: usize = 12;

#[inline(always)]
pub fn reset(ctx: &TcContext) -> i32 {
    Kernel.count(Counter::Resets);
    let packet = Frame(ctx);
    let Some(&transport) = steps::handed::<usize>() else { return DROP };
    match ethertype(ctx) {
        parse::IPV4 => answer(ctx, |frame| refuse::reset4(&packet, transport, frame)),
        _ => answer(ctx, |frame| refuse::reset6(&packet, transport, frame)),
    }
}

#[inline(always)]
pub fn unreachable(ctx: &TcContext) -> i32 {
    let packet = Frame(ctx);
    let Some(&transport) = steps::handed::<usize>() else { return DROP };
    match ethertype(ctx) {
        parse::IPV4 => answer(ctx, |frame| refuse::unreachable4(&packet, frame)),
        _ => answer(ctx, |frame| refuse::unreachable6(&packet, transport, frame)),
    }
}

#[inline(always)]
fn answer<const N: usize>(ctx: &TcContext, make: impl FnOnce(&mut [u8; N]) -> Option<()>) -> i32 {
    let mut frame = [0; N];
    if make(&mut frame).is_none() || replace(ctx, &frame).is_none() {
        return DROP;
    }
    // SAFETY: the context.
    unsafe { bpf_redirect((*ctx.skb.skb).ifindex, 0) as i32 }
}

/// Resets both ends of an IPv4 connection. Where the peer's reset cannot be made, the workload still gets its own. A
/// program for each family: both would not fit into one stack.
#[inline(always)]
pub fn cut4(ctx: &TcContext) -> i32 {
    let packet = Frame(ctx);
    let Some(&transport) = steps::handed::<usize>() else { return DROP };
    both(
        ctx,
        transport,
        |frame| refuse::reset4(&packet, transport, frame),
        |frame| refuse::cut4(&packet, transport, frame),
    )
}

/// The same over IPv6.
#[inline(always)]
pub fn cut6(ctx: &TcContext) -> i32 {
    let packet = Frame(ctx);
    let Some(&transport) = steps::handed::<usize>() else { return DROP };
    both(
        ctx,
        transport,
        |frame| refuse::reset6(&packet, transport, frame),
        |frame| refuse::cut6(&packet, transport, frame),
    )
}

#[inline(always)]
fn both<const N: usize>(
    ctx: &TcContext,
    transport: usize,
    back: impl FnOnce(&mut [u8; N]) -> Option<()>,
    onward: impl FnOnce(&mut [u8; N]) -> Option<()>,
) -> i32 {
    let Some([to_workload, to_peer]) = steps::memory::<N>() else { return DROP };
    let is_reset = Frame(ctx).read::<2>(transport + FLAGS).is_none_or(|[_, flags]| parse::is_reset(flags));
    if back(to_workload).is_none() {
        return DROP;
    }
    let peer = onward(to_peer);
    if !is_reset {
        if replace(ctx, to_workload).is_none() {
            return DROP;
        }
        let skb: *mut __sk_buff = ctx.skb.skb;
        // SAFETY: helpers on the context.
        unsafe { bpf_clone_redirect(skb, (*skb).ifindex, 0) };
    }
    if peer.and_then(|()| replace(ctx, to_peer)).is_none() {
        return DROP;
    }
    NEXT
}

/// The packet is `frame` from now on.
#[inline(always)]
fn replace<const N: usize>(ctx: &TcContext, frame: &[u8; N]) -> Option<()> {
    let skb: *mut __sk_buff = ctx.skb.skb;
    let flags = BPF_F_INVALIDATE_HASH as u64;
    // SAFETY: helpers on the context; the frame has the length given, and so has the packet after the first call.
    let failed = unsafe {
        bpf_skb_change_tail(skb, N as u32, 0) != 0
            || bpf_skb_store_bytes(skb, 0, frame.as_ptr().cast(), N as u32, flags) != 0
    };
    (!failed).then_some(())
}
