//! Bindings that the programs write too: a class is added to one by a program, slot by slot, so that neither side takes
//! away what the other one put there in between.

use std::os::fd::{AsFd, OwnedFd};

use egret_abi::{Lesson, OwnKey, Slot};
use egret_decide::learn::Taught;
use zerocopy::IntoBytes;

use super::object::classifier;
use super::{Doing, KernelError, Object, bpf};

/// The program, run without a packet.
#[derive(Debug)]
pub struct Teacher(OwnedFd);

impl Teacher {
    /// The one of these programs.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn of(object: &mut Object) -> Result<Self, KernelError> {
        let program =
            classifier(&mut object.ebpf, "teach")?.fd().doing(|| "open the program teach".to_owned())?;
        program.as_fd().try_clone_to_owned().map(Self).doing(|| "keep the program teach".to_owned())
    }

    /// Adds a class to what an address is bound to.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn teach(&self, key: OwnKey, slot: Slot) -> Result<Taught, KernelError> {
        let lesson = Lesson { key, slot };
        match bpf::run(&self.0, lesson.as_bytes()).doing(|| "bind an address".to_owned())? {
            0 => Ok(Taught::Absent),
            1 => Ok(Taught::Bound),
            _ => Ok(Taught::Full),
        }
    }
}
