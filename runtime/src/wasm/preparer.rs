//! One thread that frees used instances and makes new ones, so that no packet waits for either.

use std::sync::Weak;
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use rustix::process::setpriority_process;

use super::policy::Policy;

/// So many policies may wait. Beyond, whoever decides makes its instances itself.
const MAX_WAITING: usize = 1_024;

/// Its niceness.
const BEHIND: i32 = 10;

#[derive(Debug)]
pub(super) struct Preparer {
    policies: SyncSender<Weak<Policy>>,
}

impl Preparer {
    /// Starts the thread, which ends with the sender.
    pub fn start() -> std::io::Result<Self> {
        let (policies, waiting) = mpsc::sync_channel::<Weak<Policy>>(MAX_WAITING);
        thread::Builder::new().name("wasm-preparer".to_owned()).spawn(move || {
            // Of this thread alone. Woken at the same priority, it would run at once in place of the thread that woke it,
            // and a decision would wait for it after all. Where the system refuses, that is all that happens.
            let _ = setpriority_process(None, BEHIND);
            for policy in waiting.iter().filter_map(|policy| policy.upgrade()) {
                policy.fill();
            }
        })?;
        Ok(Self { policies })
    }

    /// Has the policy's pool filled up. Whether that could be asked for: where not, somebody will ask again.
    pub fn fill(&self, policy: &Weak<Policy>) -> bool {
        self.policies.try_send(policy.clone()).is_ok()
    }
}
