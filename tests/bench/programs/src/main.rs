//! The least that a program can do and still do something like Egret's: what Egret's are measured against.
#![no_std]
#![no_main]

use aya_ebpf::{
    btf_maps::{LpmTrie, LruHashMap, ProgramArray, lpm_trie::Key},
    helpers::bpf_get_prandom_u32,
    macros::{btf_map, classifier},
    programs::TcContext,
};

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Flow {
    source: u32,
    destination: u32,
    ports: u32,
    protocol: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Count {
    packets: u64,
    bytes: u64,
}

#[btf_map]
static CACHE: LruHashMap<Flow, Count, 4096> = LruHashMap::new();
#[btf_map]
static RANGES: LpmTrie<[u8; 4], u32, 16384> = LpmTrie::new();

const NEXT: i32 = -1;
const DROP: i32 = 2;

/// What [`spray`] calls.
#[btf_map]
static SPRAYED: ProgramArray<1> = ProgramArray::new();

/// Makes another flow of each run of the same frame, then calls the program to be measured: a source port and one of
/// 8,000 destinations, at random. A packet that repeats itself finds every map entry warm, and new flows never do.
#[classifier]
pub fn spray(ctx: TcContext) -> i32 {
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + 38 > end {
        return DROP;
    }
    // SAFETY: a helper without arguments.
    let random = unsafe { bpf_get_prandom_u32() };
    let destination = ((random >> 16) * 8_000) >> 16;
    // SAFETY: the bounds check above.
    unsafe {
        ((start + 34) as *mut u16).write_unaligned(random as u16);
        ((start + 31) as *mut u16).write_unaligned((destination as u16).to_be());
        let _ = SPRAYED.tail_call(&ctx, 0);
    }
    DROP
}

/// Nothing.
#[classifier]
pub fn empty(_ctx: TcContext) -> i32 {
    NEXT
}

/// A flow cache and nothing else: IPv4 without options, one map, one look-up, two counts.
#[classifier]
pub fn flow_cache(ctx: TcContext) -> i32 {
    let Some(key) = key(&ctx) else { return NEXT };
    match CACHE.get_ptr_mut(key) {
        Some(count) => {
            // SAFETY: a map value of this type.
            unsafe {
                (*count).packets += 1;
                (*count).bytes += ctx.len() as u64;
            }
            NEXT
        }
        None => {
            let _ = CACHE.insert(key, Count { packets: 1, bytes: ctx.len() as u64 }, 0);
            NEXT
        }
    }
}

/// A new flow remembered, and nothing asked: what the cache alone costs.
#[classifier]
pub fn insert(ctx: TcContext) -> i32 {
    let Some(key) = key(&ctx) else { return NEXT };
    let _ = CACHE.insert(key, Count { packets: 1, bytes: ctx.len() as u64 }, 0);
    NEXT
}

/// A new flow judged by address range alone: longest match, then remembered.
#[classifier]
pub fn new_flow(ctx: TcContext) -> i32 {
    let Some(key) = key(&ctx) else { return NEXT };
    if RANGES.get(&Key::new(32, key.destination.to_ne_bytes())).is_none() {
        return DROP;
    }
    let _ = CACHE.insert(key, Count { packets: 1, bytes: ctx.len() as u64 }, 0);
    NEXT
}

#[inline(always)]
fn key(ctx: &TcContext) -> Option<Flow> {
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + 38 > end {
        return None;
    }
    // SAFETY: the bounds check above.
    unsafe {
        let ip = (start + 14) as *const u8;
        if *((start + 12) as *const u16) != 0x0800_u16.to_be() || *ip != 0x45 {
            return None;
        }
        Some(Flow {
            source: (ip.add(12) as *const u32).read_unaligned(),
            destination: (ip.add(16) as *const u32).read_unaligned(),
            ports: (ip.add(20) as *const u32).read_unaligned(),
            protocol: *ip.add(9) as u32,
        })
    }
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
