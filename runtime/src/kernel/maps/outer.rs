//! A map of maps: a room for each workload, which comes and goes with it.

use std::panic::resume_unwind;
use std::thread;

use aya::maps::{ArrayOfMaps, MapData};
use egret_abi::WorkloadIndex;

use super::open;
use crate::kernel::rooms::{Shape, inner};
use crate::kernel::{Doing, KernelError, Pins, bpf};

/// A pinned map of maps.
pub(super) struct Outer {
    name: &'static str,
    rooms: ArrayOfMaps<MapData, MapData>,
    /// The same, for what the library cannot do.
    map: MapData,
}

impl Outer {
    /// Opens it.
    ///
    /// # Errors
    /// It is not there.
    pub fn open(pins: &Pins, name: &'static str) -> Result<Self, KernelError> {
        let map = MapData::from_pin(pins.map(name)).doing(|| format!("open the map {name}"))?;
        Ok(Self { name, rooms: open(pins, name)?, map })
    }

    /// A workload's map, where it has one.
    pub fn get(&self, workload: WorkloadIndex) -> Option<MapData> {
        self.rooms.get(&workload.0, 0).ok()
    }

    /// Gives a workload a new, empty map; where it is `known`, only if it has none.
    pub fn give<K, V>(
        &mut self,
        workload: WorkloadIndex,
        entries: u32,
        known: bool,
    ) -> Result<(), KernelError> {
        if known && self.get(workload).is_some() {
            return Ok(());
        }
        self.replace::<K, V>(workload, entries)
    }

    /// Gives a workload a new, empty map.
    pub fn replace<K, V>(&mut self, workload: WorkloadIndex, entries: u32) -> Result<(), KernelError> {
        let inner = inner(self.name, Shape::of::<K, V>(), entries)?;
        self.rooms.set(workload.0, &inner, 0).doing(|| format!("write {}", self.name))
    }

    /// Takes a workload's map away.
    pub fn take(&mut self, workload: WorkloadIndex) -> Result<(), KernelError> {
        match bpf::remove(&self.map, workload.0) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
            _ => Ok(()),
        }
        .doing(|| format!("write {}", self.name))
    }
}

/// A change of a map of maps.
pub(super) type Change<'a> = Box<dyn FnOnce() -> Result<(), KernelError> + Send + 'a>;

/// Makes changes of several maps of maps together. With each the kernel waits until no program reads what was there: one after
/// the other a pod would wait as many times as long.
pub(super) fn at_once(changes: Vec<Change<'_>>) -> Result<(), KernelError> {
    thread::scope(|scope| {
        let begin = |change| thread::Builder::new().name("rooms".to_owned()).spawn_scoped(scope, change);
        let begun: Vec<_> = changes.into_iter().map(begin).collect();
        begun.into_iter().try_for_each(|begun| {
            let running = begun.doing(|| "start a thread that changes maps".to_owned())?;
            running.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    })
}
