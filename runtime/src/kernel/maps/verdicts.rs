//! What modules said of a workload's destinations, as the programs repeat it.

use std::collections::HashMap as Table;

use aya::maps::{HashMap, Map, MapData};
use egret_abi::{
    CachedVerdict, Flow6Key, VERDICTS_PER_WORKLOAD, VerdictKey, WAITING_PER_WORKLOAD, Waiting, WorkloadIndex,
};

use super::{Inner, give, open, replace};
use crate::kernel::plain::Plain;
use crate::kernel::{Doing, KernelError, Pins};

type Room = HashMap<MapData, Plain<VerdictKey>, Plain<CachedVerdict>>;

/// The hand on VERDICTS and WAITING, which only workloads with modules have.
pub struct Verdicts {
    verdicts: Inner,
    waiting: Inner,
    rooms: Table<WorkloadIndex, Room>,
}

impl Verdicts {
    /// Opens the pinned maps.
    ///
    /// # Errors
    /// Where one is not there.
    pub fn open(pins: &Pins) -> Result<Self, KernelError> {
        Ok(Self { verdicts: open(pins, "VERDICTS")?, waiting: open(pins, "WAITING")?, rooms: Table::new() })
    }

    /// Gives a workload its maps, where it has none: before its modules are in force. What an earlier agent wrote stays.
    ///
    /// # Errors
    /// What the kernel said; the same for all that follow.
    pub fn make_room(&mut self, workload: WorkloadIndex) -> Result<(), KernelError> {
        if self.rooms.contains_key(&workload) {
            return Ok(());
        }
        give::<Flow6Key, Waiting>(&mut self.waiting, "WAITING", workload, WAITING_PER_WORKLOAD)?;
        give::<VerdictKey, CachedVerdict>(&mut self.verdicts, "VERDICTS", workload, VERDICTS_PER_WORKLOAD)?;
        let doing = || "open VERDICTS of a workload".to_owned();
        let room = self.verdicts.get(&workload.0, 0).doing(doing)?;
        let room = Map::LruHashMap(room).try_into().doing(doing)?;
        self.rooms.insert(workload, room);
        Ok(())
    }

    /// Takes a workload's maps away; what lies in a map of maps can only be made small.
    pub fn take_room(&mut self, workload: WorkloadIndex) -> Result<(), KernelError> {
        if self.rooms.remove(&workload).is_none() {
            return Ok(());
        }
        replace::<Flow6Key, Waiting>(&mut self.waiting, "WAITING", workload, 1)?;
        replace::<VerdictKey, CachedVerdict>(&mut self.verdicts, "VERDICTS", workload, 1)
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
