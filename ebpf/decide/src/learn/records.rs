//! From the question along the chain of aliases to addresses.

use egret_abi::Address;

use super::message::{INTERNET, LOWER, NAME_MAX};
use super::{ADDRESSES, Learning, Next, into_memory};

/// Records that one run of the step reads.
const AT_ONCE: usize = 4;
/// Labels and pointers of the target of an alias.
const TARGET: usize = 24;
/// Type, class, TTL and length, behind the owner.
const FIXED: usize = 10;
const POINTER: u8 = 0xc0;

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const SVCB: u16 = 64;
const HTTPS: u16 = 65;

/// Reads the next records. [`Next::On`]: all are read.
#[inline(always)]
pub fn records(learning: &mut Learning) -> Next {
    for _ in 0..AT_ONCE {
        if learning.left == 0 {
            return if learning.found == 0 { Next::Nothing } else { Next::On };
        }
        if record(learning).is_none() {
            return Next::Odd;
        }
    }
    Next::Again
}

#[inline(always)]
fn record(learning: &mut Learning) -> Option<()> {
    let fixed = owner(learning)?;
    let (length, data) = (learning.length as usize, fixed + FIXED);
    if data > length {
        return None;
    }
    let (kind, class) = (learning.word(fixed), learning.word(fixed + 2));
    let seconds = seconds(learning.long(fixed + 4)).min(learning.chain_seconds);
    let size = learning.word(fixed + 8) as usize;
    let end = data + size;
    if end > length || class != INTERNET {
        return None;
    }
    match (kind, size) {
        (A, 4) => {
            let of = [
                learning.byte(data),
                learning.byte(data + 1),
                learning.byte(data + 2),
                learning.byte(data + 3),
            ];
            found(learning, Address::v4(of), seconds)?;
        }
        (AAAA, 16) => {
            let mut of = [0; 16];
            let mut at = 0;
            while at < 16 {
                of[at] = learning.byte(data + at);
                at += 1;
            }
            found(learning, Address(of), seconds)?;
        }
        // Behind an address the chain may have led back to where it was.
        (CNAME, _) if learning.found == 0 => {
            learning.chain_length = target(learning, data, end)?;
            learning.chain = data as u32;
            learning.chain_seconds = seconds;
        }
        (A | AAAA | CNAME | SVCB | HTTPS, _) => return None,
        _ => {}
    }
    learning.at = end as u32;
    learning.left -= 1;
    into_memory(learning);
    Some(())
}

#[inline(always)]
fn found(learning: &mut Learning, address: Address, seconds: u32) -> Option<()> {
    let place = learning.found as usize & (ADDRESSES - 1);
    learning.addresses[place] = address;
    learning.seconds[place] = seconds;
    learning.found += 1;
    Some(())
}

/// A TTL with its highest bit set counts as zero (RFC 2181, section 8).
#[inline(always)]
fn seconds(ttl: u32) -> u32 {
    if ttl > i32::MAX as u32 { 0 } else { ttl }
}

/// Where the owner of the next record ends, if it is the name that the chain has led to: by a pointer to it, or spelled as
/// it is there.
#[inline(always)]
fn owner(learning: &Learning) -> Option<usize> {
    let at = learning.at as usize;
    if learning.byte(at) >= POINTER {
        let to = learning.word(at) & 0x3fff;
        return (to as u32 == learning.chain).then_some(at + 2);
    }
    let (chain, length) = (learning.chain as usize, core::hint::black_box(learning.chain_length as usize));
    if length == 0 || at + length > learning.length as usize {
        return None;
    }
    let mut i = 0;
    while i < length && i < NAME_MAX {
        if LOWER[learning.byte(at + i) as usize] != LOWER[learning.byte(chain + i) as usize] {
            return None;
        }
        i += 1;
    }
    Some(at + length)
}

/// Whether a name is from `at` to `end`: how many bytes it has there, 0 where a pointer leads on to the rest of it.
#[inline(always)]
fn target(learning: &mut Learning, at: usize, end: usize) -> Option<u32> {
    learning.walk = super::Walk { at: at as u32, start: at as u32, limit: learning.length, total: 0, end: 0 };
    for _ in 0..TARGET {
        into_memory(learning);
        let walk = learning.walk;
        if walk.at >= walk.limit {
            return None;
        }
        let label = learning.byte(walk.at as usize);
        if label >= POINTER {
            let to = (learning.word(walk.at as usize) & 0x3fff) as u32;
            if walk.at + 1 >= walk.limit || to >= walk.start {
                return None;
            }
            if walk.end == 0 {
                learning.walk.end = walk.at + 2;
            }
            learning.walk.limit = walk.start;
            learning.walk.start = to;
            learning.walk.at = to;
            continue;
        }
        if label > 63 || walk.total > NAME_MAX as u32 - 2 {
            return None;
        }
        learning.walk.at = walk.at + 1 + label as u32;
        learning.walk.total = walk.total + 1 + label as u32;
        if label == 0 {
            let is_spelled = walk.end == 0;
            let ends = if is_spelled { walk.at + 1 } else { walk.end };
            if ends != end as u32 || learning.walk.total > NAME_MAX as u32 {
                return None;
            }
            return Some(if is_spelled { learning.walk.total } else { 0 });
        }
    }
    None
}
