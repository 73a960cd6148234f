//! What the node's devices note of what comes in, for the door inside workloads; see [`super::Door::Node`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use aya::Ebpf;
use aya::programs::{LinkOrder, TcAttachType};

use super::netns::Device;
use super::object::classifier;
use super::{Doing, KernelError, Object, tcx};

/// The devices that note, by their numbers, with the names they had then.
#[derive(Debug, Default)]
pub struct Noting {
    names: BTreeMap<u32, String>,
    /// What an earlier agent left is gone.
    is_known: bool,
}

impl Object {
    /// Has `devices` of the node note what comes in, and no others: before all programs of others there, and behind what
    /// judges on the host side of a workload's pair, `hosts`, for what that denies did not come in. With `look` those that do
    /// already are looked at, for a device may have come in the place of another.
    ///
    /// # Errors
    /// Of the first device that refuses; the others note all the same.
    pub fn note_at(
        &mut self,
        noting: &mut Noting,
        devices: &[&Device],
        hosts: &BTreeSet<u32>,
        look: bool,
    ) -> Result<(), KernelError> {
        let wanted: BTreeMap<u32, String> =
            devices.iter().map(|device| (device.index, device.name.clone())).collect();
        if !std::mem::replace(&mut noting.is_known, true) {
            // What an earlier agent left.
            for (pin, index) in self.pins.noting()? {
                if index.is_none_or(|index| !wanted.contains_key(&index)) {
                    let _ = std::fs::remove_file(pin);
                }
            }
        }
        let (pins, ebpf) = (&self.pins, &mut self.ebpf);
        noting.names.retain(|index, name| {
            let is_wanted = wanted.get(index) == Some(name);
            if !is_wanted {
                let _ = std::fs::remove_file(pins.note(*index));
            }
            is_wanted && (!look || is_there(ebpf, name))
        });
        let mut result = Ok(());
        for (index, name) in wanted {
            if noting.names.contains_key(&index) {
                continue;
            }
            match self.note_on(&name, &self.pins.note(index), hosts.contains(&index)) {
                Ok(()) => drop(noting.names.insert(index, name)),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }

    fn note_on(&mut self, name: &str, pin: &Path, is_host: bool) -> Result<(), KernelError> {
        let order = match is_host {
            true => LinkOrder::after_program(&*classifier(&mut self.ebpf, "from_pod")?)
                .doing(|| "find the program from_pod".to_owned())?,
            false => LinkOrder::first(),
        };
        tcx::attach_at(order, classifier(&mut self.ebpf, "node_door")?, name, TcAttachType::Ingress, pin)
    }
}

/// Whether the program is on the device still.
fn is_there(ebpf: &mut Ebpf, name: &str) -> bool {
    let program = classifier(ebpf, "node_door");
    program.is_ok_and(|program| tcx::runs_on(program, name, TcAttachType::Ingress).unwrap_or(false))
}
