//! What DNS answers did not teach, counted by the reason.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::dns::Stray;

/// A count that goes up.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All of them. Each answer went on to its workload nevertheless.
#[derive(Debug, Default)]
pub struct Lessons {
    /// It cannot be read, or is not of the kind that teaches.
    pub malformed: Count,
    /// Segments of no connection, or not at their place in one, and messages that answer no question of it.
    pub stray: Count,
    /// Connections and fragmented answers that contradict themselves.
    pub broken: Count,
    /// More than is remembered at one time.
    pub over: Count,
}

impl Lessons {
    /// Counts a segment or message.
    pub fn count(&self, stray: Stray) {
        match stray {
            Stray::Segment | Stray::Message => self.stray.add(),
            Stray::Broken => self.broken.add(),
            Stray::Full => self.over.add(),
        }
    }

    /// The counts, in the order of [`crate::api::AGENT_COUNTERS`].
    #[must_use]
    pub fn counts(&self) -> [u64; 4] {
        [&self.malformed, &self.stray, &self.broken, &self.over].map(Count::get)
    }
}
