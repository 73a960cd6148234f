//! When something is written: what changed at once, but not twice in a row; counts more rarely; after a failure later. Pure.

use std::time::{Duration, Instant};

/// What is different from what was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Nothing.
    None,
    /// Numbers that move all the time.
    Counts,
    /// Something that a person waits for.
    State,
}

/// How long it is at least from one writing to the next.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    /// Where the state changed.
    pub state: Duration,
    /// Where counts changed.
    pub counts: Duration,
    /// Where nothing changed; `None`: then nothing is written.
    pub heartbeat: Option<Duration>,
}

impl Pauses {
    /// Whether something that was last written at `last` is to be written.
    pub fn is_due(&self, last: Option<Instant>, change: Change, now: Instant) -> bool {
        let pause = match change {
            Change::State => Some(self.state),
            Change::Counts => Some(self.counts),
            Change::None => self.heartbeat,
        };
        let since = last.map(|last| now.saturating_duration_since(last));
        pause.is_some_and(|pause| since.is_none_or(|since| since >= pause))
    }
}

/// Failures in a row.
#[derive(Debug, Default)]
pub struct Failures(u32);

impl Failures {
    /// The longest pause after a failure.
    const LONGEST: Duration = Duration::from_secs(60);

    /// One more: how long to wait, and whether it is the first, which is told.
    pub fn add(&mut self) -> (Duration, bool) {
        let pause = Duration::from_secs(1 << self.0.min(6)).min(Self::LONGEST);
        self.0 = self.0.saturating_add(1);
        (pause, self.0 == 1)
    }

    /// It worked; whether it had not before.
    pub fn clear(&mut self) -> bool {
        std::mem::take(&mut self.0) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_written_soon_a_count_later_and_nothing_now_and_then() {
        let seconds = Duration::from_secs;
        let pauses = Pauses { state: seconds(3), counts: seconds(15), heartbeat: Some(seconds(60)) };
        let start = Instant::now();
        for (change, after, is_due) in [
            (Change::State, 2, false),
            (Change::State, 3, true),
            (Change::Counts, 14, false),
            (Change::Counts, 15, true),
            (Change::None, 59, false),
            (Change::None, 60, true),
        ] {
            assert_eq!(
                pauses.is_due(Some(start), change, start + seconds(after)),
                is_due,
                "{change:?} {after}"
            );
        }
        assert!(pauses.is_due(None, Change::None, start), "the first time");
        let silent = Pauses { heartbeat: None, ..pauses };
        assert!(!silent.is_due(None, Change::None, start));
    }

    #[test]
    fn failures_are_told_once_and_tried_again_less_and_less_often() {
        let mut failures = Failures::default();
        assert!(!failures.clear());
        let all: Vec<_> = (0..8).map(|_| failures.add()).collect();
        let pauses: Vec<_> = all.iter().map(|(pause, _)| pause.as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(all.iter().filter(|(_, is_first)| *is_first).count(), 1);
        assert!(failures.clear());
        assert_eq!(failures.add(), (Duration::from_secs(1), true));
    }
}
