//! Sends a refusal: the denied packet becomes the answer, and goes back where it came from.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_INVALIDATE_HASH},
    helpers::{bpf_redirect, bpf_skb_change_tail, bpf_skb_store_bytes},
    programs::TcContext,
};
use egret_abi::Counter;
use egret_decide::{Tables, parse, refuse};

use crate::{DROP, ethertype, kernel::Kernel, packet::Frame, steps};

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
