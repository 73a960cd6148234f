//! Where policy modules have a say: the steps that repeat what they said, and those that put a packet on hold.

use aya_ebpf::{macros::classifier, programs::TcContext};
use egret_abi::{Flow4Key, Flow6Key, action_reason as why};
use egret_decide::{
    FlowKey,
    egress::{self, Pending, Queued},
    inbound::InboundKey,
    parse::UDP,
};

use crate::{DROP, act, hold, kernel::Kernel, maps, packet::Frame, steps};

#[classifier]
pub fn consult4(ctx: TcContext) -> i32 {
    consult::<Flow4Key>(&ctx)
}

#[classifier]
pub fn consult6(ctx: TcContext) -> i32 {
    consult::<Flow6Key>(&ctx)
}

#[inline(always)]
fn consult<K: InboundKey + 'static>(ctx: &TcContext) -> i32 {
    let Some(pending) = steps::handed::<Pending<K>>() else { return DROP };
    if let Some(egress) = egress::consult(&Kernel, &Frame(ctx), pending, hold::released(ctx)) {
        return act(ctx, pending, egress);
    }
    let place = if K::V6 { hold::PACKET6 } else { hold::PACKET4 };
    if hold::is_heard() {
        // SAFETY: HOLD holds classifiers only; where the agent is away it is empty, and the call falls through.
        let _ = unsafe { maps::HOLD.tail_call(ctx, place) };
    }
    act(ctx, pending, egress::fail(&Kernel, &Frame(ctx), pending, why::HELD_TIMEOUT))
}

#[classifier]
pub fn hold_packet4(ctx: TcContext) -> i32 {
    hold_packet::<Flow4Key>(&ctx)
}

#[classifier]
pub fn hold_packet6(ctx: TcContext) -> i32 {
    hold_packet::<Flow6Key>(&ctx)
}

#[inline(always)]
fn hold_packet<K: InboundKey + 'static>(ctx: &TcContext) -> i32 {
    let Some(pending) = steps::handed::<Pending<K>>() else { return DROP };
    let reason = match egress::enqueue(&Kernel, pending, hold::released(ctx)) {
        Queued::Repeated => return DROP,
        Queued::At(sequence) => {
            match hold::send_to_gate(ctx, pending.workload, sequence, pending.key.protocol() == UDP) {
                Some(action) => return action,
                None => why::MAP_FULL,
            }
        }
        Queued::Over => why::OVER_QUOTA,
        Queued::Enough => why::HELD_TIMEOUT,
    };
    act(ctx, pending, egress::fail(&Kernel, &Frame(ctx), pending, reason))
}
