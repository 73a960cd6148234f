//! Bindings that the programs write too: a class is added to one by a program, slot by slot, so that neither side takes
//! away what the other one put there in between.

use std::os::fd::OwnedFd;

use egret_abi::{Lesson, OwnKey, Slot};
use egret_decide::learn::Taught;
use zerocopy::IntoBytes;

use super::{Doing, KernelError, bpf};

/// The program, run without a packet.
#[derive(Debug)]
pub struct Teacher(OwnedFd);

impl Teacher {
    pub(super) fn new(program: OwnedFd) -> Self {
        Self(program)
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
