//! From one program to the next: a packet's judgement is cut into steps that call each other through STEPS.
//!
//! Each step has a stack of its own, and the verifier follows it once: what it is handed comes out of a map, of which
//! the verifier knows nothing.

use aya_ebpf::programs::TcContext;

use crate::maps;

/// The steps; each one's number is its place in STEPS.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Step {
    /// Judges an IPv4 packet.
    Judge4 = 0,
    /// Judges an IPv6 packet.
    Judge6 = 1,
    /// Remembers a DNS question.
    Query = 2,
    /// Sends a TCP reset.
    Reset = 3,
    /// Sends an ICMP error.
    Unreachable = 4,
    /// Finds the question of a DNS answer.
    Answer = 5,
    /// Ends an IPv4 connection for both ends.
    Cut4 = 6,
    /// Ends an IPv6 connection for both ends.
    Cut6 = 7,
    /// Finds out whether a TCP segment of a resolver is to be held.
    Segment = 8,
    /// Finds out what a packet without ports of a resolver is.
    Piece = 9,
    /// Acts on what the judgement of an IPv4 packet found.
    Settle4 = 10,
    /// Acts on what the judgement of an IPv6 packet found.
    Settle6 = 11,
    /// Looks at a piece of an IPv4 packet.
    Fragment4 = 12,
    /// Looks at a piece of an IPv6 packet.
    Fragment6 = 13,
    /// Remembers a first piece, for those that follow.
    Train = 14,
    /// Looks at what keeps the link alive over IPv4.
    Link4 = 15,
    /// The same over IPv6.
    Link6 = 16,
    /// Looks at address resolution.
    Arp = 17,
    /// Repeats what modules said of an IPv4 packet, or puts it on hold.
    Consult4 = 18,
    /// The same of an IPv6 packet.
    Consult6 = 19,
    /// Reads the question of a DNS answer, and finds the classes of its name.
    Learn = 20,
    /// Gathers the addresses of an answer.
    Records = 21,
    /// Binds them.
    Bind = 22,
}

/// Hands `value` to `step`. Comes back only where the step is not there.
#[inline(always)]
pub fn go<V: Copy>(ctx: &TcContext, step: Step, value: V) {
    hand(value);
    go_on(ctx, step);
}

/// Hands on what this step was handed.
#[inline(always)]
pub fn go_on(ctx: &TcContext, step: Step) {
    // SAFETY: STEPS holds classifiers only.
    let _ = unsafe { maps::STEPS.tail_call(ctx, step as u32) };
}

/// Leaves `value` for the program that is called next.
#[inline(always)]
pub fn hand<V: Copy>(value: V) {
    const { assert!(size_of::<V>() <= maps::SCRATCH_SIZE && align_of::<V>() <= 8) };
    if let Some(scratch) = maps::SCRATCH.get_ptr_mut(0) {
        // SAFETY: this CPU's own memory, large enough and aligned; nothing else writes it before it is read.
        unsafe { scratch.cast::<V>().write(value) };
    }
}

/// What the step before handed over.
#[inline(always)]
pub fn handed<V: Copy>() -> Option<&'static V> {
    // SAFETY: the step before wrote a V there; all of its bytes are numbers.
    maps::SCRATCH.get_ptr(0).map(|scratch| unsafe { &*scratch.cast::<V>() })
}

/// Zeroed memory for two frames, in the place of what the step before handed over: the stack has no room for them.
#[inline(always)]
pub fn memory<const N: usize>() -> Option<&'static mut [[u8; N]; 2]> {
    const { assert!(2 * N <= maps::SCRATCH_SIZE) };
    // SAFETY: this CPU's own memory, large enough; the step is done with what it was handed.
    let memory = unsafe { &mut *maps::SCRATCH.get_ptr_mut(0)?.cast::<[[u8; N]; 2]>() };
    *memory = [[0; N]; 2];
    Some(memory)
}

/// `value`, by way of a map.
#[inline(always)]
pub fn through(value: usize) -> usize {
    let Some(scratch) = maps::SCRATCH_WORD.get_ptr_mut(0) else { return value };
    // SAFETY: this CPU's own memory; volatile, or the compiler would skip the way.
    unsafe {
        scratch.write_volatile(value as u64);
        scratch.read_volatile() as usize
    }
}
