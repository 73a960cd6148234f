//! Sends a refusal: the denied packet becomes the answer, and goes back where it came from.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_INVALIDATE_HASH},
    helpers::{bpf_redirect, bpf_skb_change_tail, bpf_skb_store_bytes},
    programs::TcContext,
};
use egret_abi::Counter;
use egret_decide::{Tables, parse, refuse};

use crate::{DROP, ethertype, kernel::Kernel, maps, packet::Frame};

/// Which refusal; its index in REFUSE.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Refusal {
    /// A TCP reset.
    Reset = 0,
    /// An ICMP error.
    Unreachable = 1,
}

/// Ends the packet with a refusal; in silence where the program of the refusal is not there.
#[inline(always)]
pub fn refuse(ctx: &TcContext, refusal: Refusal, transport: usize) -> i32 {
    // SAFETY: the context; cb is writable by classifiers and kept across a tail call.
    unsafe { (*ctx.skb.skb).cb[0] = transport as u32 };
    // SAFETY: REFUSE holds classifiers only.
    let _ = unsafe { maps::REFUSE.tail_call(ctx, refusal as u32) };
    DROP
}

/// Where the transport header starts, as [`refuse`] handed it over.
#[inline(always)]
fn transport(ctx: &TcContext) -> usize {
    // SAFETY: the context.
    unsafe { (*ctx.skb.skb).cb[0] as usize }
}

#[inline(always)]
pub fn reset(ctx: &TcContext) -> i32 {
    Kernel.count(Counter::Resets);
    let (packet, transport) = (Frame(ctx), transport(ctx));
    match ethertype(ctx) {
        parse::IPV4 => answer(ctx, |frame| refuse::reset4(&packet, transport, frame)),
        _ => answer(ctx, |frame| refuse::reset6(&packet, transport, frame)),
    }
}

#[inline(always)]
pub fn unreachable(ctx: &TcContext) -> i32 {
    let (packet, transport) = (Frame(ctx), transport(ctx));
    match ethertype(ctx) {
        parse::IPV4 => answer(ctx, |frame| refuse::unreachable4(&packet, frame)),
        _ => answer(ctx, |frame| refuse::unreachable6(&packet, transport, frame)),
    }
}

#[inline(always)]
fn answer<const N: usize>(ctx: &TcContext, make: impl FnOnce(&mut [u8; N]) -> Option<()>) -> i32 {
    let mut frame = [0; N];
    if make(&mut frame).is_none() {
        return DROP;
    }
    let skb: *mut __sk_buff = ctx.skb.skb;
    // SAFETY: helpers on the context; the frame has the length given, and so has the packet after the first call.
    unsafe {
        if bpf_skb_change_tail(skb, N as u32, 0) != 0 {
            return DROP;
        }
        let flags = BPF_F_INVALIDATE_HASH as u64;
        if bpf_skb_store_bytes(skb, 0, frame.as_ptr().cast(), N as u32, flags) != 0 {
            return DROP;
        }
        bpf_redirect((*skb).ifindex, 0) as i32
    }
}
