//! First packets denied in the last hour, by policy.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;

/// Policies counted by default: at 300 bytes each, 1.2 MB when full.
pub const DEFAULT_POLICIES: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

const MINUTES: usize = 60;

/// One count a minute.
#[derive(Clone, Debug)]
struct Hour {
    counts: [u32; MINUTES],
    /// The last minute that counts, since the clock began.
    latest: u64,
}

/// Bounded: when full, the policy that was least recently added to goes. Shared by reference. Times are of one monotonic
/// clock.
#[derive(Debug)]
pub struct DeniedLastHour {
    policies: Mutex<LruCache<String, Hour>>,
}

impl DeniedLastHour {
    /// Nothing counted yet; see [`DEFAULT_POLICIES`].
    #[must_use]
    pub fn new(policies: NonZeroUsize) -> Self {
        Self { policies: Mutex::new(LruCache::new(policies)) }
    }

    /// Counts one for `policy`.
    pub fn add(&self, policy: &str, now: Duration) {
        let minute = minute(now);
        let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        if !policies.contains(policy) {
            policies.push(policy.to_owned(), Hour { counts: [0; MINUTES], latest: minute });
        }
        let Some(hour) = policies.get_mut(policy) else { return };
        hour.go_to(minute);
        let count = &mut hour.counts[place(minute)];
        *count = count.saturating_add(1);
    }

    /// How many there were for `policy` in this minute and the 59 before.
    #[must_use]
    pub fn of(&self, policy: &str, now: Duration) -> u64 {
        let policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut hour) = policies.peek(policy).cloned() else { return 0 };
        hour.go_to(minute(now));
        hour.counts.iter().map(|count| u64::from(*count)).sum()
    }
}

impl Hour {
    /// Forgets what is an hour old at `minute`.
    fn go_to(&mut self, minute: u64) {
        let gone = minute.saturating_sub(self.latest).min(MINUTES as u64);
        (0..gone).for_each(|back| self.counts[place(minute - back)] = 0);
        self.latest = self.latest.max(minute);
    }
}

fn minute(now: Duration) -> u64 {
    now.as_secs() / 60
}

fn place(minute: u64) -> usize {
    (minute % MINUTES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    #[test]
    fn what_was_denied_counts_for_an_hour() {
        let denied = DeniedLastHour::new(DEFAULT_POLICIES);
        for minute in [100, 100, 130, 159] {
            denied.add("shop/web", at(minute));
        }
        for (minute, expected) in [(159, 4), (160, 2), (189, 2), (190, 1), (218, 1), (219, 0), (9999, 0)] {
            assert_eq!(denied.of("shop/web", at(minute)), expected, "minute {minute}");
        }
        denied.add("shop/web", at(400));
        assert_eq!(denied.of("shop/web", at(400)), 1, "after hours of silence");
        assert_eq!(denied.of("shop/other", at(400)), 0);
    }

    #[test]
    fn policies_that_come_and_go_for_ever_take_no_memory_for_ever() {
        let denied = DeniedLastHour::new(NonZeroUsize::new(2).expect("not zero"));
        for policy in ["a", "b", "a", "c"] {
            denied.add(policy, at(1));
        }
        assert_eq!(["a", "b", "c"].map(|policy| denied.of(policy, at(1))), [2, 0, 1]);
    }
}
