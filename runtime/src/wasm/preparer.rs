//! One thread that frees used instances and makes new ones, so that no packet waits for either.

use std::sync::Weak;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread;

use super::instance::Instance;
use super::policy::Policy;

/// So many jobs may wait. Beyond, whoever decides does the work itself.
const MAX_WAITING: usize = 64;

enum Job {
    Fill(Weak<Policy>),
    Replace(Box<Instance>, Weak<Policy>),
}

#[derive(Debug)]
pub(super) struct Preparer {
    jobs: SyncSender<Job>,
}

impl Preparer {
    /// Starts the thread, which ends with the sender.
    pub fn start() -> std::io::Result<Self> {
        let (jobs, work) = mpsc::sync_channel(MAX_WAITING);
        thread::Builder::new().name("wasm-preparer".to_owned()).spawn(move || {
            for job in work {
                run(job);
            }
        })?;
        Ok(Self { jobs })
    }

    /// Makes what the policy lacks.
    pub fn fill(&self, policy: &Weak<Policy>) {
        self.send(Job::Fill(policy.clone()));
    }

    /// Frees an instance, and makes what the policy lacks.
    pub fn replace(&self, instance: Instance, policy: &Weak<Policy>) {
        self.send(Job::Replace(Box::new(instance), policy.clone()));
    }

    fn send(&self, job: Job) {
        match self.jobs.try_send(job) {
            Ok(()) => {}
            // Dropped here: an instance is freed, and the next attempt makes one for itself.
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => drop(job),
        }
    }
}

fn run(job: Job) {
    let policy = match job {
        Job::Fill(policy) => policy,
        Job::Replace(instance, policy) => {
            drop(instance);
            policy
        }
    };
    if let Some(policy) = policy.upgrade() {
        policy.fill();
    }
}
