//! Addresses that the programs bound themselves.

use egret_abi::{LEARNED_PER_WORKLOAD, LearnedKey, OwnKey, WorkloadIndex};

use super::{Plain, Writer, absent_is_fine};
use crate::kernel::{Doing, KernelError};

impl Writer {
    /// Forgets what the programs bound for a workload, whether the agent has heard of it or not.
    pub fn forget_learned(&mut self, workload: WorkloadIndex) -> Result<(), KernelError> {
        let learned = self.turns.get(&workload.0, 0).doing(|| "read TURNS".to_owned())?;
        let places = u32::try_from(learned).unwrap_or(u32::MAX).min(LEARNED_PER_WORKLOAD);
        for place in 0..places {
            let key = Plain(LearnedKey { workload, place });
            let Ok(Plain(address)) = self.learned.get(&key, 0) else { continue };
            self.remove_binding(OwnKey { workload, address })?;
            absent_is_fine(self.learned.remove(&key)).doing(|| "write LEARNED".to_owned())?;
        }
        self.turns.set(workload.0, 0, 0).doing(|| "write TURNS".to_owned())
    }
}
