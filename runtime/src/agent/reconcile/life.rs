//! How it begins, and how it ends.

use std::os::fd::BorrowedFd;

use tokio::task::JoinHandle;
use tracing::warn;

use super::Reconciler;
use crate::agent::memory;
use crate::agent::remembered::Whose;
use crate::agent::source::Source;
use crate::policy;

/// Every policy that `source` has; `None`: it is not known which there are.
///
/// # Errors
/// Where they cannot be read.
pub fn policies(source: &Source) -> anyhow::Result<Option<Vec<policy::Outcome>>> {
    source
        .policies()
        .map_err(|problem| anyhow::anyhow!("{}: {}; {}", problem.place(), problem.reason, problem.fix))
}

impl Reconciler {
    /// Reads everything once and puts it in force for what an earlier agent left in force, whose packets and answers come
    /// all the time: from here on they can be answered.
    ///
    /// # Errors
    /// Where workloads or policies cannot be read.
    pub fn read(&mut self) -> anyhow::Result<()> {
        let workloads = self.parts.source.workloads(&self.parts.own, &self.parts.config.resolvers)?;
        self.listed = self.parts.source.listed();
        let outcomes = policies(&self.parts.source)?;
        self.load_modules();
        if let Some(outcomes) = outcomes {
            self.accept(outcomes);
        }
        if let Some(workloads) = workloads {
            self.name_workloads(workloads);
            self.retire_strangers();
        }
        self.enforce_all();
        Ok(())
    }

    /// Opens the hold, and covers all workloads.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        self.parts.object.take_over_answers()?;
        self.cover_all().await;
        self.note_at_devices(false);
        self.sweep_filters();
        self.parts.pins.drop_strangers()?;
        self.look_at_hooks();
        self.probe_due();
        self.settle();
        self.sweep();
        self.save(true)?;
        self.publish(true);
        self.has_started = true;
        // Whom it holds is answered from here on.
        if let Some(plugin) = &mut self.parts.plugin {
            plugin.keep();
        }
        Ok(())
    }

    /// Whether enforcement is to end with the agent, for it was taken out of the cluster.
    pub fn is_uninstalled(&self) -> bool {
        self.parts.source.is_uninstalled()
    }

    /// Ends the hold, so that no answer waits for an agent that is going, and writes down what is in force.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn drain(&mut self) -> anyhow::Result<()> {
        self.parts.object.close_hold()?;
        self.remember();
        self.save(true)
    }

    /// Writes down what is in force; the hold, which the next agent gets, stays open.
    ///
    /// # Errors
    /// What cannot be written.
    pub fn hand_over(&mut self) -> anyhow::Result<BorrowedFd<'_>> {
        self.remember();
        self.save(true)?;
        Ok(self.parts.object.hold())
    }

    /// Takes programs, maps and the snapshot away.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn detach(&mut self) -> anyhow::Result<()> {
        // First, or no pod of this node would start any more.
        if let Some(plugin) = &self.parts.plugin {
            plugin.remove().map_err(|error| anyhow::anyhow!("the CNI plugin is still in place: {error}"))?;
        }
        self.parts.pins.remove_all()?;
        self.parts.object.sweep_filters(&self.node_survey.devices);
        self.parts.remembered.remove()?;
        if self.parts.snapshot.exists() {
            std::fs::remove_file(&self.parts.snapshot)?;
        }
        Ok(())
    }

    /// Writes down what workloads looked up.
    fn remember(&mut self) {
        let placed = self.placed();
        if let Err(error) = self.parts.remembered.begin(&self.parts.node, placed).finish(&self.parts.node) {
            warn!("after a reboot workloads must look up again what they have looked up: {error}");
        }
    }

    /// The same beside this task, where anything was learned; not twice at a time.
    pub(super) fn remember_aside(&mut self) {
        let is_done = self.remembering.as_ref().is_none_or(JoinHandle::is_finished);
        if !is_done || !self.parts.remembered.has_news(&self.parts.node) {
            return;
        }
        let (node, placed) = (self.parts.node.clone(), self.placed());
        let writing = self.parts.remembered.begin(&node, placed);
        self.remembering = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = writing.finish(&node) {
                warn!("after a reboot workloads must look up again what they have looked up: {error}");
            }
            memory::give_back();
        }));
    }

    fn placed(&self) -> Vec<Whose> {
        let placed = self.workers.iter().filter_map(|(id, worker)| Some((id, worker.state.as_ref().ok()?)));
        placed.map(|(id, placed)| (id.clone(), placed.index, placed.netns.inode)).collect()
    }
}
