//! The clock that the programs use.

use std::time::Duration;

use egret_abi::Tick;
use rustix::time::{ClockId, clock_gettime};

/// Time since boot, suspended time left out: CLOCK_MONOTONIC, which `bpf_ktime_get_coarse_ns` reads too.
#[must_use]
pub fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The tick that `time` since boot falls in, at most [`Tick::NEVER`].
#[must_use]
pub fn tick(time: Duration) -> Tick {
    u64::try_from(time.as_nanos()).map_or(Tick::NEVER, Tick::from_nanoseconds)
}

/// The first tick that starts after `time`: an expiry rounded so that it never comes early.
#[must_use]
pub fn tick_after(time: Duration) -> Tick {
    tick(time).plus(Tick(1))
}
