//! What proves that a workload is covered, and what speaks against it. Pure: the time is an argument.
//!
//! Two things are known of a workload beyond its devices: whether a probe passed both hooks, and whether they are the
//! first programs where they sit. A hook that somebody else got before is put first again, but not for ever: two
//! programs that both insist would take turns, and packets with them.

use std::collections::VecDeque;
use std::time::Duration;

use crate::kernel::Hook;
use crate::kernel::order::Other;

/// From one proof to the next.
const AGAIN: Duration = Duration::from_mins(1);
/// From a probe that was not seen to the next.
const DOUBT: Duration = Duration::from_secs(5);
/// The least time between two probes: a workload may change its links in a loop.
const LEAST: Duration = Duration::from_secs(1);
/// When a probe that nobody told the outcome of is no longer waited for.
const LOST: Duration = Duration::from_secs(60);
/// How often a hook is put first again...
const TIMES: usize = 3;
/// ...within this time.
const WITHIN: Duration = Duration::from_mins(10);

/// What the probes said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Proof {
    #[default]
    None,
    Proven,
    /// It was proven, and the last probe was not seen: one that is lost proves little.
    Doubted,
    Refuted(String),
}

/// What is to be done about a program that is before a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Put the hook first again.
    PutFirst,
    /// Nothing more, and that was not told yet.
    GiveUp,
    /// Nothing, and it is known.
    Nothing,
}

/// What is known of one workload.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    proof: Proof,
    /// When the last probes were sent, and whether their outcome is still to come.
    sent: Option<(Duration, bool)>,
    /// Something changed since.
    changed: bool,
    contests: [Contest; 3],
}

#[derive(Clone, Debug, Default)]
struct Contest {
    put_first: VecDeque<Duration>,
    lost_to: Option<String>,
}

impl Evidence {
    /// Whether a probe is to be sent at `now`.
    #[must_use]
    pub fn is_due(&self, now: Duration) -> bool {
        let Some((at, is_awaited)) = self.sent else { return true };
        let wait = match &self.proof {
            _ if is_awaited => LOST,
            _ if self.changed => LEAST,
            Proof::Proven => AGAIN,
            Proof::None | Proof::Doubted => LEAST,
            Proof::Refuted(_) => DOUBT,
        };
        now >= at + wait
    }

    /// A probe was sent.
    pub fn sent(&mut self, now: Duration) {
        self.sent = Some((now, true));
        self.changed = false;
    }

    /// Something changed at the workload's links or hooks: what was proven is to be proven again, soon.
    pub fn disturb(&mut self) {
        self.changed = true;
    }

    /// A hook was gone: nothing is proven any more.
    pub fn forget(&mut self) {
        self.proof = Proof::None;
        self.changed = true;
    }

    /// What came of a probe. True: what is to be told of the workload has changed.
    pub fn probed(&mut self, outcome: Result<(), String>) -> bool {
        if let Some((_, is_awaited)) = &mut self.sent {
            *is_awaited = false;
        }
        let proof = match (outcome, &self.proof) {
            (Ok(()), _) => Proof::Proven,
            (Err(_), Proof::Proven) => Proof::Doubted,
            (Err(reason), _) => Proof::Refuted(reason),
        };
        let before = self.gap();
        self.proof = proof;
        self.gap() != before
    }

    /// A hook is first, as it should be. True: it was not.
    pub fn is_first(&mut self, hook: Hook) -> bool {
        self.contest(hook).lost_to.take().is_some()
    }

    /// Another program is before a hook, at `place`.
    pub fn is_behind(&mut self, hook: Hook, other: &Other, place: &str, now: Duration) -> Remedy {
        let contest = self.contest(hook);
        while contest.put_first.front().is_some_and(|at| *at + WITHIN <= now) {
            contest.put_first.pop_front();
        }
        if contest.put_first.len() < TIMES {
            contest.put_first.push_back(now);
            self.disturb();
            return Remedy::PutFirst;
        }
        let told = format!(
            "the program `{}` (id {}) is put before Egret's hook {} on `{place}` again and again, and decides what that \
             sees; take it away, or let it be attached behind",
            other.name,
            other.id,
            hook.word()
        );
        let is_new = contest.lost_to.is_none();
        contest.lost_to = Some(told);
        if is_new { Remedy::GiveUp } else { Remedy::Nothing }
    }

    /// Why the workload is not covered, where that is so.
    #[must_use]
    pub fn gap(&self) -> Option<String> {
        let lost = self.contests.iter().find_map(|contest| contest.lost_to.clone());
        lost.or_else(|| match &self.proof {
            Proof::Proven | Proof::Doubted => None,
            Proof::None => Some("it is not proven yet that its packets pass Egret's hooks".to_owned()),
            Proof::Refuted(reason) => Some(reason.clone()),
        })
    }

    fn contest(&mut self, hook: Hook) -> &mut Contest {
        match hook {
            Hook::FromPod => &mut self.contests[0],
            Hook::ToPod => &mut self.contests[1],
            Hook::HostDoor => &mut self.contests[2],
        }
    }
}

#[cfg(test)]
#[path = "coverage_tests.rs"]
mod tests;
