//! Pods that wait for their policies before anything runs in them: the CNI plugin holds their start.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use egret_cni::{Answer, Start};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{Reconciler, Worker};
use crate::model::{Mode, WorkloadId};

/// How long a pod is held of which the API server did not tell, or that cannot be covered while a policy is in force for
/// it. The node then tries again.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one is held that cannot be covered and that no policy in force selects.
const UNENFORCED: Duration = Duration::from_secs(1);

/// A pod that waits.
pub(super) struct Waiting {
    start: Start,
    reply: oneshot::Sender<Answer>,
    since: Instant,
}

impl Reconciler {
    /// Takes in that a pod is about to start, and covers it as soon as it is known whose it is.
    pub(super) async fn hold_start(&mut self, start: Start, reply: oneshot::Sender<Answer>) {
        self.starting.push(Waiting { start, reply, since: Instant::now() });
        self.read_workloads().await;
    }

    /// Says of pods that wait where they are, for what reads workloads next.
    pub(super) fn tell_of_starts(&self) {
        for waiting in &self.starting {
            self.parts.source.start(&waiting.start);
        }
    }

    /// Lets those go whose policies are in force; tells others why they do not start.
    pub(super) fn answer_starts(&mut self) {
        for waiting in std::mem::take(&mut self.starting) {
            // Whoever asked is gone, and asks again.
            if waiting.reply.is_closed() {
                continue;
            }
            let Some(answer) = self.answer_to(&waiting) else {
                self.starting.push(waiting);
                continue;
            };
            let (id, held) = (id_of(&waiting.start), waiting.since.elapsed().as_millis());
            match &answer {
                Answer::Start => info!("{id} starts with its policies in force; it was held for {held} ms"),
                Answer::Wait(reason) => warn!("{id} does not start: {reason}"),
            }
            let _ = waiting.reply.send(answer);
            self.parts.node.count_held_start();
        }
    }

    /// Tells of a pod, `new` to the agent, that began before its policies were in force.
    pub(super) fn note_unheld(&self, id: &WorkloadId, is_new: bool) {
        // What was there before the agent is armed, and no start of a pod, whenever the agent was told of it.
        let is_start = |sent: &Duration| is_new && *sent < self.since.elapsed();
        let Some(sent) = self.parts.source.unheld(id).filter(is_start) else { return };
        self.parts.node.count_unheld_start();
        let may_be = "it was not held by the CNI plugin, and may have sent for";
        info!("{id}: {may_be} {} ms before its policies were in force", sent.as_millis());
    }

    /// `None`: not yet.
    fn answer_to(&self, Waiting { start, since, .. }: &Waiting) -> Option<Answer> {
        let (id, waited) = (id_of(start), since.elapsed());
        let Ok(inode) = std::fs::metadata(&start.netns).map(|metadata| metadata.ino()) else {
            return Some(Answer::Wait(format!("its network namespace {} is gone", start.netns.display())));
        };
        let Some(worker) = self.workers.get(&id) else {
            let reason = "the API server did not tell of this pod yet, so its policies are not known";
            return (waited > PATIENCE).then(|| Answer::Wait(reason.to_owned()));
        };
        match &worker.state {
            Ok(placed) if placed.netns.inode == inode => Some(Answer::Start),
            Ok(_) => (waited > PATIENCE).then(|| {
                Answer::Wait("another pod of this name is still there, and is waited for".to_owned())
            }),
            Err(_) if !self.is_enforced(worker) => (waited > UNENFORCED).then_some(Answer::Start),
            Err(reason) => (waited > PATIENCE).then(|| {
                Answer::Wait(format!(
                    "a policy of mode Enforce selects it, and it cannot be covered: {reason}"
                ))
            }),
        }
    }

    fn is_enforced(&self, worker: &Worker) -> bool {
        let selecting = self.accepted.selecting(&worker.namespace, &worker.workload.labels);
        selecting.iter().any(|policy| policy.mode == Mode::Enforce)
    }
}

fn id_of(start: &Start) -> WorkloadId {
    WorkloadId { namespace: start.namespace.clone(), name: start.name.clone() }
}
