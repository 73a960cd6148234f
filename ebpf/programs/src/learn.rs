//! Answers that are learned where they pass; see [`egret_decide::learn`]. The rest goes to the agent.

use aya_ebpf::{EbpfContext, helpers::bpf_skb_load_bytes, programs::TcContext};
use egret_abi::{
    Binding, Carried, Counter, LEARNED_PER_WORKLOAD, LearnedKey, Lesson, NAME_BYTES, NameKey, Named, OwnKey,
    RulesetId, Slot, Tick,
};
use egret_decide::{
    Exchange, Packet, Tables,
    learn::{self, Learning, Lessons, MESSAGE, NAME, Next, Taught},
};

use crate::{
    NEXT,
    hold::{self, BPF_NOEXIST},
    kernel::{Kernel, compare_exchange, fetch_add},
    maps,
    packet::Frame,
    steps::{self, Step},
};

/// Reads the question.
#[inline(always)]
pub fn question(ctx: &TcContext) -> i32 {
    let Some(exchange) = steps::handed::<Exchange>() else { return NEXT };
    let exchange = *exchange;
    let Some(learning) = in_hand() else { return NEXT };
    learning.workload = exchange.workload;
    let ruleset = Kernel.generation(exchange.workload).map(|generation| generation.ruleset());
    let Some(ruleset) = ruleset else { return end(ctx, learning, Next::Odd) };
    let learns = Kernel.ruleset(ruleset).unwrap_or_default().learns;
    learning.suffices = u32::from(learns != 0 && Kernel.config().searches == 0);
    let next = match message(ctx, exchange.message as usize, learning) {
        Some(length) => learn::question(&Kernel, ruleset, length, learning),
        None => Next::Odd,
    };
    if next == Next::On {
        steps::go_on(ctx, Step::Records);
    }
    end(ctx, learning, next)
}

/// Reads some records.
#[inline(always)]
pub fn records(ctx: &TcContext) -> i32 {
    let Some(learning) = in_hand() else { return NEXT };
    let next = learn::records(learning);
    match next {
        Next::Again => steps::go_on(ctx, Step::Records),
        Next::On => steps::go_on(ctx, Step::Bind),
        Next::Nothing | Next::Odd => {}
    }
    end(ctx, learning, next)
}

/// Binds some addresses.
#[inline(always)]
pub fn bind(ctx: &TcContext) -> i32 {
    let Some(learning) = in_hand() else { return NEXT };
    let next = learn::bind(&Kernel, Kernel.now(), Kernel.config().least, learning);
    if next == Next::Again {
        steps::go_on(ctx, Step::Bind);
    }
    end(ctx, learning, next)
}

/// Adds a class to what an address is bound to; run by the agent, whose lesson stands in for a packet.
#[inline(always)]
pub fn teach(ctx: &TcContext) -> i32 {
    let Some(bytes) = Frame(ctx).read::<{ size_of::<Lesson>() }>(0) else { return Taught::Full as i32 };
    // SAFETY: as many bytes, of which all are numbers.
    let lesson: Lesson = unsafe { core::mem::transmute(bytes) };
    learn::teach(&Kernel, &lesson.key, lesson.slot, Kernel.now()) as i32
}

/// What becomes of the answer: it goes on, and the agent is told of what is new; or it goes to the agent first.
#[inline(always)]
fn end(ctx: &TcContext, learning: &Learning, next: Next) -> i32 {
    let is_learned = matches!(next, Next::On | Next::Nothing);
    if is_learned && learning.suffices != 0 {
        Kernel.count(Counter::AnswersLearned);
        if learning.is_news != 0 {
            hold::ask_agent(ctx, hold::COPY, learning.workload, Carried::Learned);
        }
        return NEXT;
    }
    hold::ask_agent(ctx, hold::HOLD, learning.workload, Carried::Datagram);
    Kernel.count(if is_learned { Counter::AnswersLearned } else { Counter::AnswersUnlearned });
    NEXT
}

#[inline(always)]
fn in_hand() -> Option<&'static mut Learning> {
    // SAFETY: this CPU's own memory; nothing else uses it while an answer is learned.
    maps::LEARNING.get_ptr_mut(0).map(|learning| unsafe { &mut *learning })
}

/// Copies the message; how many bytes it has. `None`: more than are learned, or they cannot be had.
#[inline(always)]
fn message(ctx: &TcContext, at: usize, learning: &mut Learning) -> Option<usize> {
    let last = (ctx.len() as usize).checked_sub(at + 1)?;
    if last >= learn::LONGEST {
        return None;
    }
    // See `packet::Frame::window`.
    let length = (core::hint::black_box(last) & (MESSAGE - 1)) + 1;
    // SAFETY: the helper writes at most `length` bytes, which fit, or fails.
    let failed = unsafe {
        bpf_skb_load_bytes(ctx.as_ptr(), at as u32, learning.message.as_mut_ptr().cast(), length as u32)
    };
    (failed == 0).then_some(length)
}

impl Lessons for Kernel {
    #[inline(always)]
    fn named(&self, ruleset: RulesetId, name: &[u8; NAME], at: usize) -> Option<Named> {
        let mut key = NameKey { ruleset, name: [0; NAME_BYTES] };
        let mut i = 0;
        while i < NAME_BYTES {
            key.name[i] = name[(at & 0xff) + i];
            i += 1;
        }
        // SAFETY: only the agent writes names, and it replaces them whole; copied at once.
        unsafe { maps::NAMES.get(&key) }.copied()
    }

    #[inline(always)]
    fn with_binding<R>(&self, key: &OwnKey, f: impl FnOnce(&mut Binding) -> R) -> Option<R> {
        let binding = maps::BINDINGS.get_ptr_mut(key)?;
        // SAFETY: a map value of this type; each slot of it is read and written whole.
        Some(f(unsafe { &mut *binding }))
    }

    #[inline(always)]
    fn put_slot(&self, slot: &mut Slot, old: Slot, new: Slot) -> bool {
        let word = |slot: Slot| (slot.until.0 as u64) << 32 | slot.class.0 as u64;
        let place = core::ptr::from_mut(slot).cast::<u64>();
        // SAFETY: a slot of a map value, whose size is that of a word, and its place a multiple of it.
        unsafe { compare_exchange(place, word(old), word(new)) == word(old) }
    }

    #[inline(always)]
    fn bind_anew(&self, key: &OwnKey, binding: &Binding, now: Tick) -> bool {
        let Some(turns) = maps::TURNS.get_ptr_mut(key.workload.0) else { return false };
        // SAFETY: a map value of this type.
        let turn = unsafe { fetch_add(turns, 1) };
        let place = LearnedKey { workload: key.workload, place: turn as u32 & (LEARNED_PER_WORKLOAD - 1) };
        // SAFETY: copied at once.
        if let Some(address) = unsafe { maps::LEARNED.get(&place) }.copied() {
            let before = OwnKey { workload: key.workload, address };
            // SAFETY: as above.
            if let Some(bound) = unsafe { maps::BINDINGS.get(&before) } {
                let mut at = 0;
                while at < bound.slots.len() {
                    if bound.slots[at].until > now {
                        return false;
                    }
                    at += 1;
                }
                let _ = maps::BINDINGS.remove(&before);
            }
        }
        maps::LEARNED.insert(&place, &key.address, 0).is_ok()
            && maps::BINDINGS.insert(key, binding, BPF_NOEXIST).is_ok()
    }
}
