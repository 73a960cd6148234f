//! The door of one workload: a program so small that each workload has its own copy.
//!
//! `to_pod` runs inside the workload's network namespace, where interface indexes mean nothing to the node and
//! addresses are the workload's to change. So the copy attached there carries its workload's index as a constant,
//! and hands over to the one program that all share. Swapping that program is one write to TO_POD. A second copy is on
//! the egress of the host side; CONFIG says which of the two looks.
#![no_std]
#![no_main]

use aya_ebpf::{
    btf_maps::ProgramArray,
    macros::{btf_map, classifier},
    programs::TcContext,
};

#[btf_map]
static TO_POD: ProgramArray<1> = ProgramArray::new();

/// The workload, written when the copy is loaded.
#[unsafe(no_mangle)]
static WORKLOAD: u32 = 0;

/// Which door it is, written likewise: `egret_abi::INSIDE` or `egret_abi::AT_HOST`.
#[unsafe(no_mangle)]
static DOOR: u32 = 0;

/// `TCX_NEXT`: the next program decides.
const NEXT: i32 = -1;

#[classifier]
pub fn door(ctx: TcContext) -> i32 {
    // SAFETY: statics of this object; volatile, for the values are written at load time.
    let (workload, door) =
        unsafe { (core::ptr::read_volatile(&raw const WORKLOAD), core::ptr::read_volatile(&raw const DOOR)) };
    // SAFETY: `skb` is the context the kernel passed; cb is writable by classifiers and kept across a tail call.
    unsafe {
        (*ctx.skb.skb).cb[0] = workload;
        (*ctx.skb.skb).cb[1] = door;
    }
    // SAFETY: TO_POD holds classifiers only; where it is empty the call falls through.
    let _ = unsafe { TO_POD.tail_call(&ctx, 0) };
    NEXT
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
