//! Packets on hold: DNS answers on their way through the agent, the questions over TCP that it must know, and packets of
//! workloads that wait for what policy modules say.

use aya_ebpf::{
    EbpfContext,
    bindings::__sk_buff,
    btf_maps::LruHashMap,
    helpers::{
        bpf_get_prandom_u32, bpf_get_smp_processor_id, bpf_redirect, bpf_redirect_peer, bpf_ringbuf_query,
        bpf_skb_change_type, bpf_skb_load_bytes, bpf_skb_store_bytes,
    },
    programs::TcContext,
};
use egret_abi::{ANSWER_MAX, AnswerHead, Budget, Carried, Counter, Held, PULSE_LASTS, WorkloadIndex};
use egret_decide::{Packet, Tables, budget, egress::Released};

use crate::{DROP, NEXT, kernel::Kernel, maps, packet::Frame, steps};

/// First byte of a ticket in the place of a link address: locally administered, not a group.
const TICKET: u8 = 0x02;
/// Second byte: an answer toward a workload.
const ANSWER: u8 = 0x02;
/// Second byte: a workload's own packet.
const PACKET: u8 = 0x01;
/// Where both link addresses are, and how long they are together.
const ADDRESSES: u32 = 0;
const ADDRESSES_LENGTH: u32 = 12;
const PACKET_HOST: u32 = 0;
/// Only where nothing is there.
pub const BPF_NOEXIST: u64 = 1;
const BPF_F_INGRESS: u64 = 1;

/// Place in HOLD of what holds an answer.
pub const HOLD: u32 = 0;
/// Place in HOLD of what copies a question.
pub const COPY: u32 = 1;
/// Place in HOLD of what puts an IPv4 packet of a workload on hold.
pub const PACKET4: u32 = 2;
/// The same of an IPv6 packet.
pub const PACKET6: u32 = 3;
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

/// Whether the agent gave a sign of life lately: one that is stopped, or that hangs, is as good as none.
#[inline(always)]
pub fn is_heard() -> bool {
    maps::PULSE.get(0).is_some_and(|last| Kernel.now() <= last.plus(PULSE_LASTS))
}

/// Hands the packet to the program at `place` of HOLD. Comes back only where there is no agent. What is merely copied waits
/// for an agent that hangs, and keeps nobody waiting.
#[inline(always)]
pub fn ask_agent(ctx: &TcContext, place: u32, workload: WorkloadIndex, carried: Carried) {
    if place == HOLD && !is_heard() {
        return;
    }
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
    issue(ctx, &maps::HELD, Held { workload, ifindex, ..Held::default() })
}

#[inline(always)]
fn issue<const N: usize>(ctx: &TcContext, tickets: &LruHashMap<u32, Held, N>, held: Held) -> Option<u32> {
    let addresses = Frame(ctx).read::<12>(ADDRESSES as usize)?;
    // SAFETY: a helper without arguments. A ticket is also a mark, and none is no mark.
    let ticket = unsafe { bpf_get_prandom_u32() } | 1;
    tickets.insert(ticket, Held { addresses, ..held }, BPF_NOEXIST).ok()?;
    Some(ticket)
}

/// Puts a packet of a workload, which is number `sequence` of its flow, on hold: the ticket stands in for its source,
/// this processor and the workload (below [`egret_abi::WORKLOADS_MAX`]) for its destination. `None`: there is no room.
#[inline(always)]
pub fn send_to_gate(ctx: &TcContext, workload: WorkloadIndex, sequence: u64, udp: bool) -> Option<i32> {
    let skb: *mut __sk_buff = ctx.skb.skb;
    let passes = released(ctx).passes + 1;
    // SAFETY: the context.
    let ifindex = unsafe { (*skb).ifindex };
    let config = Kernel.config();
    // SAFETY: the context. What is no UDP the gate takes whole.
    let segments = if config.cuts != 0 && udp { unsafe { (*skb).gso_segs }.clamp(1, 64) as u16 } else { 1 };
    let held = Held { workload, ifindex, sequence, passes: passes as u16, segments, ..Held::default() };
    let ticket = issue(ctx, &maps::TICKETS, held)?;
    // SAFETY: a helper without arguments.
    let processor = unsafe { bpf_get_smp_processor_id() } as u16;
    let ([a, b], [c, d]) = (processor.to_be_bytes(), (workload.0 as u16).to_be_bytes());
    let [e, f, g, h] = ticket.to_be_bytes();
    let addresses = [TICKET, PACKET, a, b, c, d, TICKET, PACKET, e, f, g, h];
    // SAFETY: helpers on the context with a buffer of the length given; volatile, or the compiler makes an access that the
    // verifier refuses.
    unsafe {
        if bpf_skb_store_bytes(skb, ADDRESSES, addresses.as_ptr().cast(), ADDRESSES_LENGTH, 0) != 0 {
            let _ = maps::TICKETS.remove(ticket);
            return None;
        }
        core::ptr::write_volatile(&raw mut (*skb).mark, config.gate_mark);
        Kernel.count(Counter::PacketsHeld);
        Some(bpf_redirect(config.gate, 0) as i32)
    }
}

/// At the gate's egress: only what [`send_to_gate`] sent goes on to the agent.
#[inline(always)]
pub fn pass_gate(ctx: &TcContext) -> i32 {
    let skb = ctx.skb.skb;
    // SAFETY: the context, as above.
    unsafe {
        if core::ptr::read_volatile(&raw const (*skb).mark) != Kernel.config().gate_mark {
            return DROP;
        }
        core::ptr::write_volatile(&raw mut (*skb).mark, 0);
    }
    NEXT
}

/// At the hook of a workload: notes for the steps behind whether the packet comes back from the hold. Its ticket is its
/// mark, which is taken, for it is nobody else's business. What a workload sends has no mark: it ends where the packet
/// leaves its namespace.
#[inline(always)]
pub fn note_release(ctx: &TcContext) {
    let skb: *mut __sk_buff = ctx.skb.skb;
    // SAFETY: the context, as above; cb is writable by classifiers and kept across a tail call.
    unsafe {
        (*skb).cb[0] = 0;
        let mark = core::ptr::read_volatile(&raw const (*skb).mark);
        if mark == 0 {
            return;
        }
        let Some(ticket) = maps::TICKETS.get_ptr_mut(mark) else { return };
        let held = *ticket;
        if held.ifindex != (*skb).ifindex {
            return;
        }
        if held.segments > 1 {
            (*ticket).segments = held.segments - 1;
        } else {
            let _ = maps::TICKETS.remove(mark);
        }
        core::ptr::write_volatile(&raw mut (*skb).mark, 0);
        (*skb).cb[0] = held.passes.into();
        (*skb).cb[1] = held.sequence as u32;
        (*skb).cb[2] = (held.sequence >> 32) as u32;
        Kernel.count(Counter::PacketsReleased);
    }
}

/// What [`note_release`] noted.
#[inline(always)]
pub fn released(ctx: &TcContext) -> Released {
    // SAFETY: the context.
    let [passes, low, high, ..] = unsafe { (*ctx.skb.skb).cb };
    if passes == 0 {
        return Released::default();
    }
    Released { passes, sequence: (high as u64) << 32 | low as u64 }
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
    let Some((ticket, held)) = ticket_of(ctx) else {
        Kernel.count(Counter::BadTickets);
        return DROP;
    };
    let skb: *mut __sk_buff = ctx.skb.skb;
    // SAFETY: helpers on the context with a buffer of the length given.
    unsafe {
        if bpf_skb_store_bytes(skb, ADDRESSES, held.addresses.as_ptr().cast(), ADDRESSES_LENGTH, 0) != 0 {
            return DROP;
        }
        if held.passes != 0 {
            // Its hook takes the ticket, and judges the packet again.
            core::ptr::write_volatile(&raw mut (*skb).mark, ticket);
            return bpf_redirect(held.ifindex, BPF_F_INGRESS) as i32;
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
fn ticket_of(ctx: &TcContext) -> Option<(u32, Held)> {
    let [TICKET, kind, a, b, c, d] = Frame(ctx).read::<6>(6)? else { return None };
    let ticket = u32::from_be_bytes([a, b, c, d]);
    if kind == PACKET {
        // SAFETY: copied at once. Its hook takes it.
        return Some((ticket, unsafe { maps::TICKETS.get(ticket) }.copied()?));
    }
    // SAFETY: copied out before the entry is removed.
    let held = unsafe { maps::HELD.get(ticket) }.copied()?;
    maps::HELD.remove(ticket).ok()?;
    (kind == ANSWER).then_some((ticket, held))
}
