//! What modules said of a workload's destinations, as the programs repeat it.

use std::collections::HashMap as Table;

use aya::maps::{HashMap, Map, MapData, MapError};
use egret_abi::{
    CachedVerdict, Flow6Key, VERDICTS_PER_WORKLOAD, VerdictKey, WAITING_PER_WORKLOAD, Waiting, WorkloadIndex,
};

use super::outer::Outer;
use crate::kernel::plain::Plain;
use crate::kernel::{Doing, KernelError, Pins};

type Room = HashMap<MapData, Plain<VerdictKey>, Plain<CachedVerdict>>;

/// The hand on VERDICTS and WAITING, which only workloads with modules have.
pub struct Verdicts {
    verdicts: Outer,
    waiting: Outer,
    rooms: Table<WorkloadIndex, Room>,
}

impl Verdicts {
    /// Opens the pinned maps.
    ///
    /// # Errors
    /// Where one is not there.
    pub fn open(pins: &Pins) -> Result<Self, KernelError> {
        Ok(Self {
            verdicts: Outer::open(pins, "VERDICTS")?,
            waiting: Outer::open(pins, "WAITING")?,
            rooms: Table::new(),
        })
    }

    /// Gives a workload its maps, where it has none: before its modules are in force. What an earlier agent wrote stays.
    ///
    /// # Errors
    /// What the kernel said; the same for all that follow.
    pub fn make_room(&mut self, workload: WorkloadIndex) -> Result<(), KernelError> {
        if self.rooms.contains_key(&workload) {
            return Ok(());
        }
        self.waiting.give::<Flow6Key, Waiting>(workload, WAITING_PER_WORKLOAD, true)?;
        self.verdicts.give::<VerdictKey, CachedVerdict>(workload, VERDICTS_PER_WORKLOAD, true)?;
        let doing = || "open VERDICTS of a workload".to_owned();
        let room = self.verdicts.get(workload).ok_or(MapError::KeyNotFound).doing(doing)?;
        let room = Map::LruHashMap(room).try_into().doing(doing)?;
        self.rooms.insert(workload, room);
        Ok(())
    }

    /// Takes a workload's maps away.
    pub fn take_room(&mut self, workload: WorkloadIndex) -> Result<(), KernelError> {
        if self.rooms.remove(&workload).is_none() {
            return Ok(());
        }
        self.waiting.take(workload)?;
        self.verdicts.take(workload)
    }

    /// Writes a verdict; the least recently used one goes where there is no room.
    pub fn write(
        &mut self,
        workload: WorkloadIndex,
        key: VerdictKey,
        verdict: CachedVerdict,
    ) -> Result<(), KernelError> {
        let Some(room) = self.rooms.get_mut(&workload) else { return Ok(()) };
        room.insert(Plain(key), Plain(verdict), 0).doing(|| "write VERDICTS".to_owned())
    }
}
