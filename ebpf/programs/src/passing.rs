//! What comes into the node, on its way to a workload: a program of others may put it right into one
//! (`bpf_redirect_peer`), and then the door inside is the next to see it, on this processor, before any other packet. What
//! is put there in another way, as a workload with NET_ADMIN can, was not seen here just now, and is not believed.

use aya_ebpf::{EbpfContext, helpers::bpf_skb_load_bytes, macros::classifier, programs::TcContext};

use crate::{
    NEXT,
    maps::{self, HEAD, Passing},
};

/// Behind the link addresses.
const NETWORK: u32 = 14;

/// On the ingress of the node's devices, where a program of others may put packets right into workloads: notes the packet.
#[classifier]
pub fn node_door(ctx: TcContext) -> i32 {
    let Some(passing) = memory() else { return NEXT };
    passing.head = [0; HEAD / 8];
    load(&ctx, &mut passing.head);
    passing.packet = ctx.as_ptr() as u64;
    NEXT
}

/// At the door inside: whether this is what was noted last. Once only.
#[inline(always)]
pub fn is_noted(ctx: &TcContext) -> bool {
    let Some(passing) = memory() else { return false };
    passing.at_hand = ctx.as_ptr() as u64;
    core::hint::black_box(&mut *passing);
    let packet = core::mem::take(&mut passing.packet);
    if packet != passing.at_hand {
        return false;
    }
    passing.head_at_hand = [0; HEAD / 8];
    load(ctx, &mut passing.head_at_hand);
    // What routes it counts its hops, in the first word of IPv6, in the second of IPv4, where the sum of the header is too.
    let [mut first, mut second] = [u64::MAX; 2];
    if passing.head_at_hand[0].to_ne_bytes()[0] >> 4 == 6 {
        first = u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]);
    } else {
        second = u64::from_ne_bytes([0, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    }
    let mut other = (passing.head[0] ^ passing.head_at_hand[0]) & first;
    other |= (passing.head[1] ^ passing.head_at_hand[1]) & second;
    let mut word = 2;
    while word < HEAD / 8 {
        other |= passing.head[word] ^ passing.head_at_hand[word];
        word += 1;
    }
    other == 0
}

/// At the door on the host side, which looks at all: what the node routes there is not for the one inside as well.
#[inline(always)]
pub fn forget() {
    if let Some(passing) = memory() {
        passing.packet = 0;
    }
}

/// As much as there is of it.
#[inline(always)]
fn load(ctx: &TcContext, head: &mut [u64; HEAD / 8]) {
    let mut last = core::hint::black_box(ctx.len().wrapping_sub(NETWORK + 1) as usize);
    if last >= HEAD {
        last = HEAD - 1;
    }
    // The compiler must not add before it compares: older verifiers would not know the sum's bound.
    let length = core::hint::black_box(last) + 1;
    // SAFETY: the helper writes at most `length` bytes, which fit, or fails; then zeros are what is compared.
    let _ = unsafe { bpf_skb_load_bytes(ctx.as_ptr(), NETWORK, head.as_mut_ptr().cast(), length as u32) };
}

#[inline(always)]
fn memory() -> Option<&'static mut Passing> {
    // SAFETY: this CPU's own memory; each use of it ends before another program runs here.
    maps::PASSING.get_ptr_mut(0).map(|passing| unsafe { &mut *passing })
}
