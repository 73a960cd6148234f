//! Token buckets. Updates are not atomic: two processors at once may let a few more through, never a flood.

use egret_abi::Tick;

/// Ticks in which an empty bucket fills: one second, a bit less.
const FILL: u32 = 15;

/// Takes one token of a bucket that holds `rate` and refills in a second; false when there is none.
#[inline(always)]
pub fn take(at: &mut Tick, left: &mut u32, now: Tick, rate: u32) -> bool {
    take_many(at, left, now, rate, 1)
}

/// Takes `many` tokens, or none; false when there are fewer.
#[inline(always)]
pub fn take_many(at: &mut Tick, left: &mut u32, now: Tick, rate: u32, many: u32) -> bool {
    if now.0.wrapping_sub(at.0) >= FILL {
        *at = now;
        *left = rate;
    }
    if *left < many {
        return false;
    }
    *left -= many;
    true
}
