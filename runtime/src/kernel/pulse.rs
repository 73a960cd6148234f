//! The sign of life that the programs ask for before they put anything on hold: an agent that is stopped, or whose thread
//! hangs, has its maps and its hold all the same.

use std::time::Duration;

use aya::maps::{Array, MapData};
use egret_abi::PULSE_LASTS;

use super::maps::open;
use super::{Doing, KernelError, Pins, clock};

/// Told by the thread that answers, for it is the one that others wait for.
pub struct Pulse {
    map: Array<MapData, u32>,
    last: Option<Duration>,
}

impl Pulse {
    /// How often it is to be told at least.
    pub const EVERY: Duration = Duration::from_secs(1);

    /// Opens the pinned map.
    ///
    /// # Errors
    /// Where it is not there.
    pub fn open(pins: &Pins) -> Result<Self, KernelError> {
        Ok(Self { map: open(pins, "PULSE")?, last: None })
    }

    /// Tells that the caller lives, unless it just did. For how long it had been silent, where the programs noticed.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn beat(&mut self) -> Result<Option<Duration>, KernelError> {
        let now = clock::now();
        let silent = self.last.map(|last| now.saturating_sub(last));
        if silent.is_some_and(|silent| silent < Self::EVERY) {
            return Ok(None);
        }
        self.map.set(0, clock::tick(now).0, 0).doing(|| "write PULSE".to_owned())?;
        self.last = Some(now);
        Ok(silent.filter(|silent| silent.as_nanos() > PULSE_LASTS.nanoseconds().into()))
    }
}
