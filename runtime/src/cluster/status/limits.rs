//! Which denied attempts are told on a pod: each once an hour, and not too many. Pure.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::model::WorkloadId;

/// How long an attempt that was told is not told again.
const AGAIN: Duration = Duration::from_secs(3600);
/// Attempts that are remembered: 200 bytes each.
const ATTEMPTS: NonZeroUsize = NonZeroUsize::new(8192).expect("not zero");
const PODS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
/// Of one pod: ten at once, and one every two minutes.
const OF_POD: Rate = Rate { size: 10, every: Duration::from_secs(120) };
/// Of the node: fifty at once, and one every two seconds.
const OF_NODE: Rate = Rate { size: 50, every: Duration::from_secs(2) };

#[derive(Clone, Copy, Debug)]
struct Rate {
    size: u32,
    every: Duration,
}

/// A bucket of tokens, full at first.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u32,
    /// When the last token came in.
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { left: rate.size, at: now }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let came = now.saturating_duration_since(self.at).as_nanos() / rate.every.as_nanos();
        let came = u32::try_from(came).unwrap_or(u32::MAX);
        if self.left.saturating_add(came) >= rate.size {
            *self = Self::full(rate, now);
        } else {
            self.left += came;
            self.at += rate.every * came;
        }
    }
}

/// What was told. Bounded, whatever workloads do.
#[derive(Debug)]
pub struct Limits {
    told: LruCache<(WorkloadId, String), Instant>,
    pods: LruCache<WorkloadId, Bucket>,
    node: Bucket,
}

impl Limits {
    /// Nothing was told yet.
    pub fn new(now: Instant) -> Self {
        Self { told: LruCache::new(ATTEMPTS), pods: LruCache::new(PODS), node: Bucket::full(OF_NODE, now) }
    }

    /// Whether it is to be told now that `pod` was denied `place`. Then it counts as told.
    pub fn admit(&mut self, pod: &WorkloadId, place: &str, now: Instant) -> bool {
        let attempt = (pod.clone(), place.to_owned());
        let last = self.told.get(&attempt);
        if last.is_some_and(|last| now.saturating_duration_since(*last) < AGAIN) {
            return false;
        }
        let of_pod = self.pods.get_or_insert_mut(pod.clone(), || Bucket::full(OF_POD, now));
        of_pod.fill(OF_POD, now);
        self.node.fill(OF_NODE, now);
        if of_pod.left == 0 || self.node.left == 0 {
            return false;
        }
        of_pod.left -= 1;
        self.node.left -= 1;
        self.told.put(attempt, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> WorkloadId {
        WorkloadId { namespace: "shop".into(), name: name.into() }
    }

    #[test]
    fn an_attempt_is_told_once_an_hour() {
        let start = Instant::now();
        let mut limits = Limits::new(start);
        for (name, place, after, expected) in [
            ("web", "a:443", 0, true),
            ("web", "a:443", 1, false),
            ("web", "a:80", 1, true),
            ("other", "a:443", 2, true),
            ("web", "a:443", 3599, false),
            ("web", "a:443", 3600, true),
            ("web", "a:443", 3601, false),
        ] {
            let told = limits.admit(&pod(name), place, start + Duration::from_secs(after));
            assert_eq!(told, expected, "{name} {place} {after}");
        }
    }

    #[test]
    fn a_pod_that_tries_everything_is_not_told_everything_and_takes_nothing_from_others() {
        let start = Instant::now();
        let mut limits = Limits::new(start);
        let mut scan = |at: Duration| {
            (0..1000)
                .filter(|port| limits.admit(&pod("scan"), &format!("{at:?} a:{port}"), start + at))
                .count()
        };
        assert_eq!(scan(Duration::ZERO), 10);
        assert_eq!(scan(Duration::from_secs(119)), 0);
        assert_eq!(scan(Duration::from_secs(245)), 2);
        assert_eq!(scan(Duration::from_secs(86_400)), 10);
        let later = start + Duration::from_secs(86_400);
        assert!(limits.admit(&pod("web"), "a:443", later));
    }

    #[test]
    fn many_pods_together_are_told_so_much_and_what_was_not_told_may_be_told_later() {
        let start = Instant::now();
        let mut limits = Limits::new(start);
        let told = (0..200).filter(|index| limits.admit(&pod(&format!("p{index}")), "a:443", start)).count();
        assert_eq!(told, 50);
        let later = start + Duration::from_secs(2);
        assert!(limits.admit(&pod("p199"), "a:443", later));
        assert!(!limits.admit(&pod("p198"), "a:443", later));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let start = Instant::now();
        let mut limits = Limits::new(start);
        for hour in 0..20_000_u64 {
            limits.admit(&pod(&format!("p{hour}")), "a:443", start + Duration::from_secs(hour * 4));
        }
        assert_eq!((limits.told.len(), limits.pods.len()), (ATTEMPTS.get(), PODS.get()));
    }
}
