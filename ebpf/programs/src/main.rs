//! The hooks. Each finds its workload and does what `egret-decide` says.
//!
//! `from_pod`: tcx ingress on the host side of a workload's interface pair. `to_pod`: the shared half of the doors,
//! which are tcx ingress on the workload's own device. `refuse_*`: called by
//! `from_pod` through REFUSE. `hold_answer`: called through HOLD while the agent lives.
//! `gate_in`, `gate_out`: ingress and egress of the agent's TAP device.
#![no_std]
#![no_main]

mod hold;
mod kernel;
mod maps;
mod packet;
mod refuse;

use aya_ebpf::{macros::classifier, programs::TcContext};
use egret_abi::{Counter, IFACES_MAX, WorkloadIndex};
use egret_decide::{Egress, Ingress, Tables};

use crate::{kernel::Kernel, packet::Frame, refuse::Refusal};

/// `TCX_NEXT`: the next program decides; a plain pass would silence the programs of others.
const NEXT: i32 = -1;
/// `TCX_DROP`.
const DROP: i32 = 2;

#[classifier]
pub fn from_pod(ctx: TcContext) -> i32 {
    let Some(workload) = workload_of(&ctx) else { return NEXT };
    match egret_decide::from_pod(&Kernel, &Frame(&ctx), workload, ethertype(&ctx)) {
        Egress::Pass => NEXT,
        Egress::Drop => DROP,
        Egress::Reset { transport } => refuse::refuse(&ctx, Refusal::Reset, transport),
        Egress::Unreachable { transport } => refuse::refuse(&ctx, Refusal::Unreachable, transport),
    }
}

#[classifier]
pub fn refuse_reset(ctx: TcContext) -> i32 {
    refuse::reset(&ctx)
}

#[classifier]
pub fn refuse_unreachable(ctx: TcContext) -> i32 {
    refuse::unreachable(&ctx)
}

#[classifier]
pub fn to_pod(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    // SAFETY: the context; volatile, or the compiler makes an access that the verifier refuses.
    let (mark, workload) = unsafe { (core::ptr::read_volatile(&raw const (*skb).mark), (*skb).cb[0]) };
    if mark != 0 && mark == Kernel.config().mark {
        // SAFETY: as above. The mark has done its work, and is nobody else's business.
        unsafe { core::ptr::write_volatile(&raw mut (*skb).mark, 0) };
        return NEXT;
    }
    match egret_decide::to_pod(&Kernel, &Frame(&ctx), WorkloadIndex(workload), ethertype(&ctx)) {
        Ingress::Pass => NEXT,
        Ingress::Learn => {
            // SAFETY: HOLD holds classifiers only; where the agent is away it is empty, and the call falls through.
            let _ = unsafe { maps::HOLD.tail_call(&ctx, 0) };
            Kernel.count(Counter::AnswersUnlearned);
            NEXT
        }
    }
}

#[classifier]
pub fn hold_answer(ctx: TcContext) -> i32 {
    hold::hold_answer(&ctx)
}

#[classifier]
pub fn gate_in(ctx: TcContext) -> i32 {
    hold::release(&ctx)
}

/// Nothing is ever sent to the agent this way: what a process with a raw socket puts here ends here.
#[classifier]
pub fn gate_out(_ctx: TcContext) -> i32 {
    DROP
}

#[inline(always)]
fn workload_of(ctx: &TcContext) -> Option<WorkloadIndex> {
    // SAFETY: the context.
    let ifindex = unsafe { (*ctx.skb.skb).ifindex };
    let workload = if ifindex < IFACES_MAX {
        *maps::IFACES.get(ifindex)?
    } else {
        // SAFETY: a number, copied at once.
        *unsafe { maps::IFACES_FAR.get(ifindex) }?
    };
    (workload != 0).then_some(WorkloadIndex(workload))
}

/// The ethertype behind any hardware VLAN tag, in host order.
#[inline(always)]
fn ethertype(ctx: &TcContext) -> u16 {
    // SAFETY: the context.
    u16::from_be(unsafe { (*ctx.skb.skb).protocol } as u16)
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
