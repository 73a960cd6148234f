//! Arming, as the maps see it: a workload that nothing is denied to yet, and flows that were there before.

use std::sync::Arc;

use egret_abi::{Epoch, Flow, Generation, Tick, WorkloadIndex, action_reason as why};

use super::{Enforcer, next};
use crate::kernel::KernelError;
use crate::kernel::maps::Seeds;
use crate::kernel::sockets::Census;
use crate::policy::Ruleset;

impl Enforcer {
    /// Lets the workload be judged by `ruleset`, but nothing be denied yet: while it is armed. Flows that are seeded
    /// meanwhile are of the epoch that [`Self::put_in_force`] begins; what the programs see begin is of this one, and is
    /// judged then, or once it is `until` where the agent did not live to see it through.
    pub fn begin_arming(
        &mut self,
        index: WorkloadIndex,
        ruleset: &Arc<Ruleset>,
        until: Tick,
    ) -> Result<(), KernelError> {
        let id = self.load(ruleset)?;
        self.config.arming_until = until;
        self.writer.set_config(self.config)?;
        let placed = self.placed.entry(index).or_default();
        placed.epoch = next(placed.epoch);
        self.writer.set_generation(index, Generation::new(placed.epoch, id).arming())
    }

    /// Writes the flows that were there before. Twice, with a pause for the programs: one that looked for a flow before
    /// the first time may write its own after it, and none may after the second.
    pub fn seed(&mut self, index: WorkloadIndex, census: &Census, until: Tick) -> Result<(), KernelError> {
        let epoch = next(self.placed.get(&index).map_or(Epoch::default(), |placed| placed.epoch));
        let established = why::ESTABLISHED;
        let flow = Flow { epoch, applied_why: established, observed_why: established, ..Flow::default() };
        let seeds = Seeds { outbound: &census.outbound, inbound: &census.inbound, flow, until };
        self.writer.seed(index, &seeds);
        self.writer.wait_for_programs()?;
        self.writer.seed(index, &seeds);
        // Replies that were seen before, and taken for the workload's own.
        self.writer.forget_flows(index, &census.inbound);
        Ok(())
    }
}
