//! Packets on hold: DNS answers on their way through the agent.

use aya_ebpf::{
    EbpfContext,
    bindings::__sk_buff,
    helpers::{
        bpf_get_prandom_u32, bpf_redirect_peer, bpf_skb_change_type, bpf_skb_load_bytes, bpf_skb_store_bytes,
    },
    programs::TcContext,
};
use egret_abi::{ANSWER_MAX, AnswerHead, Counter, Held, WorkloadIndex};
use egret_decide::{Packet, Tables};

use crate::{DROP, NEXT, kernel::Kernel, maps, packet::Frame};

/// First byte of a ticket in the place of a link address: locally administered, not a group.
const TICKET: u8 = 0x02;
/// Second byte: an answer toward a workload.
const ANSWER: u8 = 0x02;
const SOURCE: u32 = 6;
const PACKET_HOST: u32 = 0;
const BPF_NOEXIST: u64 = 1;

#[repr(C)]
struct Record<const N: usize> {
    head: AnswerHead,
    frame: [u8; N],
}

/// Copies the answer to the agent and ends the original; a copy that cannot be made lets the original pass.
#[inline(always)]
pub fn hold_answer(ctx: &TcContext) -> i32 {
    let skb = ctx.skb.skb;
    // SAFETY: the context; cb[0] was written by the door.
    let workload = WorkloadIndex(unsafe { (*skb).cb[0] });
    let length = ctx.len();
    let held = match length {
        0..=496 => copy::<496>(ctx, workload, length),
        497..=1520 => copy::<1520>(ctx, workload, length),
        _ => copy::<ANSWER_MAX>(ctx, workload, length),
    };
    if held { DROP } else { NEXT }
}

#[inline(always)]
fn copy<const N: usize>(ctx: &TcContext, workload: WorkloadIndex, length: u32) -> bool {
    let length = length as usize;
    if length == 0 || length > N {
        Kernel.count(Counter::AnswersUnlearned);
        return false;
    }
    let Some(ticket) = issue_ticket(ctx, workload) else {
        Kernel.count(Counter::AnswersFull);
        return false;
    };
    let Some(mut entry) = maps::ANSWERS.reserve_untyped::<Record<N>>(0) else {
        let _ = maps::HELD.remove(ticket);
        Kernel.count(Counter::AnswersFull);
        return false;
    };
    let record = entry.as_mut_ptr();
    // SAFETY: the record was reserved with room for a head and N bytes, and `length` is at most N.
    let failed = unsafe {
        (*record).head = AnswerHead { ticket, workload, length: length as u32, zero: 0 };
        bpf_skb_load_bytes(ctx.as_ptr(), 0, (&raw mut (*record).frame).cast(), length as u32)
    };
    if failed != 0 {
        entry.discard(0);
        let _ = maps::HELD.remove(ticket);
        Kernel.count(Counter::AnswersUnlearned);
        return false;
    }
    entry.submit(0);
    Kernel.count(Counter::AnswersHeld);
    true
}

#[inline(always)]
fn issue_ticket(ctx: &TcContext, workload: WorkloadIndex) -> Option<u32> {
    let ifindex = *maps::LINKS.get(workload.0)?;
    let source = Frame(ctx).read::<6>(SOURCE as usize)?;
    // SAFETY: a helper without arguments.
    let ticket = unsafe { bpf_get_prandom_u32() };
    let held = Held { workload, ifindex, source, zero: [0; 2] };
    maps::HELD.insert(ticket, held, BPF_NOEXIST).ok()?;
    Some(ticket)
}

/// A frame that the agent wrote to its gate: the ticket is taken, and the packet goes to the hook it was held at.
#[inline(always)]
pub fn release(ctx: &TcContext) -> i32 {
    let Some(held) = take_ticket(ctx) else {
        Kernel.count(Counter::BadTickets);
        return DROP;
    };
    let skb: *mut __sk_buff = ctx.skb.skb;
    // SAFETY: helpers on the context with a buffer of the length given.
    unsafe {
        if bpf_skb_store_bytes(skb, SOURCE, held.source.as_ptr().cast(), 6, 0) != 0 {
            return DROP;
        }
        // The gate is not the frame's destination, so the kernel took it for somebody else's.
        if bpf_skb_change_type(skb, PACKET_HOST) != 0 {
            return DROP;
        }
        core::ptr::write_volatile(&raw mut (*skb).mark, Kernel.config().mark);
        Kernel.count(Counter::AnswersReleased);
        bpf_redirect_peer(held.ifindex, 0) as i32
    }
}

#[inline(always)]
fn take_ticket(ctx: &TcContext) -> Option<Held> {
    let [TICKET, ANSWER, a, b, c, d] = Frame(ctx).read::<6>(SOURCE as usize)? else { return None };
    let ticket = u32::from_be_bytes([a, b, c, d]);
    // SAFETY: copied out before the entry is removed.
    let held = unsafe { maps::HELD.get(ticket) }.copied()?;
    maps::HELD.remove(ticket).ok()?;
    Some(held)
}
