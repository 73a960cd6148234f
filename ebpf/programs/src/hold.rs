//! Packets on hold: DNS answers on their way through the agent, and the questions over TCP that it must know.

use aya_ebpf::{
    EbpfContext,
    bindings::__sk_buff,
    helpers::{
        bpf_get_prandom_u32, bpf_redirect, bpf_redirect_peer, bpf_ringbuf_query, bpf_skb_change_type,
        bpf_skb_load_bytes, bpf_skb_store_bytes,
    },
    programs::TcContext,
};
use egret_abi::{ANSWER_MAX, AnswerHead, Budget, Carried, Counter, Held, WorkloadIndex};
use egret_decide::{Packet, Tables, budget};

use crate::{DROP, NEXT, kernel::Kernel, maps, packet::Frame, steps};

/// First byte of a ticket in the place of a link address: locally administered, not a group.
const TICKET: u8 = 0x02;
/// Second byte: an answer toward a workload.
const ANSWER: u8 = 0x02;
const SOURCE: u32 = 6;
const PACKET_HOST: u32 = 0;
const BPF_NOEXIST: u64 = 1;

/// Place in HOLD of what holds an answer.
pub const HOLD: u32 = 0;
/// Place in HOLD of what copies a question.
pub const COPY: u32 = 1;
/// `BPF_RB_AVAIL_DATA`.
const AVAILABLE: u64 = 0;
/// Bytes in ANSWERS up to which everyone has room at once; beyond, each workload has its share.
const BUSY: u64 = maps::ANSWERS_RING as u64 / 4;

#[repr(C)]
struct Record<const N: usize> {
    head: AnswerHead,
    frame: [u8; N],
}

/// What is to go into ANSWERS, on its way to the program that does it.
#[derive(Clone, Copy)]
#[repr(C)]
struct Parcel {
    workload: WorkloadIndex,
    carried: u32,
}

/// Hands the packet to the program at `place` of HOLD. Comes back only where there is no agent.
#[inline(always)]
pub fn ask_agent(ctx: &TcContext, place: u32, workload: WorkloadIndex, carried: Carried) {
    steps::hand(Parcel { workload, carried: carried as u32 });
    // SAFETY: HOLD holds classifiers only; where the agent is away it is empty, and the call falls through.
    let _ = unsafe { maps::HOLD.tail_call(ctx, place) };
}

/// Copies the answer to the agent and ends the original; a copy that cannot be made lets the original pass.
#[inline(always)]
pub fn hold_answer(ctx: &TcContext) -> i32 {
    // SAFETY: the context. A copy of the bytes would lose the tag beside them.
    let tagged = unsafe { (*ctx.skb.skb).vlan_present } != 0;
    let Some(parcel) = steps::handed::<Parcel>() else { return NEXT };
    let parcel = *parcel;
    if tagged {
        Kernel.count(Counter::AnswersUnlearned);
        return NEXT;
    }
    if !has_room(ctx, parcel.workload) {
        Kernel.count(Counter::AnswersOver);
        return NEXT;
    }
    let Some(ticket) = issue_ticket(ctx, parcel.workload) else {
        Kernel.count(Counter::AnswersFull);
        return NEXT;
    };
    match copy(ctx, parcel, ticket) {
        Copied::Yes => {
            Kernel.count(Counter::AnswersHeld);
            return DROP;
        }
        Copied::Full => Kernel.count(Counter::AnswersFull),
        Copied::Unfit => Kernel.count(Counter::AnswersUnlearned),
    }
    let _ = maps::HELD.remove(ticket);
    NEXT
}

/// Copies the question to the agent; it goes on whatever comes of that.
#[inline(always)]
pub fn copy_asking(ctx: &TcContext) -> i32 {
    let Some(parcel) = steps::handed::<Parcel>() else { return NEXT };
    let parcel = *parcel;
    if !(has_room(ctx, parcel.workload) && matches!(copy(ctx, parcel, 0), Copied::Yes)) {
        Kernel.count(Counter::AskingUnnoted);
    }
    NEXT
}

/// Whether the workload may put this packet into ANSWERS. While the agent keeps up it always may; where packets wait,
/// each workload has a share, so that nobody's answers have to pass unlearned for the many of another.
#[inline(always)]
fn has_room(ctx: &TcContext, workload: WorkloadIndex) -> bool {
    // SAFETY: a helper on a ring of this object.
    let waiting = unsafe { bpf_ringbuf_query((&raw const maps::ANSWERS).cast_mut().cast(), AVAILABLE) };
    if waiting < BUSY {
        return true;
    }
    let (now, rate, bytes) = (Kernel.now(), Kernel.config().answers, record_of(ctx.len()));
    let take = |b: &mut Budget| budget::take_many(&mut b.answers_at, &mut b.answers, now, rate, bytes);
    Kernel.with_budget(workload, take).unwrap_or(false)
}

/// Bytes that a frame takes in ANSWERS.
#[inline(always)]
fn record_of(length: u32) -> u32 {
    match length {
        0..=496 => 496,
        497..=1520 => 1520,
        1521..=4608 => 4608,
        4609..=16_384 => 16_384,
        _ => ANSWER_MAX as u32,
    }
}

enum Copied {
    Yes,
    /// The ring is full.
    Full,
    /// It is too long for a record, or its bytes cannot be had.
    Unfit,
}

/// Records have a few sizes, for the verifier wants to know each.
#[inline(always)]
fn copy(ctx: &TcContext, parcel: Parcel, ticket: u32) -> Copied {
    let length = ctx.len();
    match length {
        0..=496 => copy_into::<496>(ctx, parcel, ticket, length),
        497..=1520 => copy_into::<1520>(ctx, parcel, ticket, length),
        1521..=4608 => copy_into::<4608>(ctx, parcel, ticket, length),
        4609..=16_384 => copy_into::<16_384>(ctx, parcel, ticket, length),
        _ => copy_into::<ANSWER_MAX>(ctx, parcel, ticket, length),
    }
}

#[inline(always)]
fn copy_into<const N: usize>(ctx: &TcContext, parcel: Parcel, ticket: u32, length: u32) -> Copied {
    // From one to N; opaque to the compiler, which would ask `!= 0`, from which older verifiers learn nothing.
    let last = core::hint::black_box((length as usize).wrapping_sub(1));
    if last >= N {
        return Copied::Unfit;
    }
    let length = last as u32 + 1;
    let Some(mut entry) = maps::ANSWERS.reserve_untyped::<Record<N>>(0) else { return Copied::Full };
    let record = entry.as_mut_ptr();
    let Parcel { workload, carried } = parcel;
    // SAFETY: the record was reserved with room for a head and N bytes, and `length` is at most N.
    let failed = unsafe {
        (*record).head = AnswerHead { ticket, workload, length, carried };
        bpf_skb_load_bytes(ctx.as_ptr(), 0, (&raw mut (*record).frame).cast(), length)
    };
    if failed != 0 {
        entry.discard(0);
        return Copied::Unfit;
    }
    entry.submit(0);
    Copied::Yes
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

/// Where packets toward a workload are held, and so where they go on.
#[derive(Clone, Copy, PartialEq)]
pub enum To {
    /// The ingress of its own device.
    Pod,
    /// The egress of the host side.
    Host,
}

/// A frame that the agent wrote to its gate: the ticket is taken, and the packet goes to the hook it was held at.
#[inline(always)]
pub fn release(ctx: &TcContext, to: To) -> i32 {
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
        match to {
            To::Pod => bpf_redirect_peer(held.ifindex, 0) as i32,
            To::Host => bpf_redirect(held.ifindex, 0) as i32,
        }
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
