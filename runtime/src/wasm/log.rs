//! Lines of modules in the agent's log: escaped, cut, and not more than a few a second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use egret_contract::shown;
use tracing::Level;

/// What is kept of a line, in bytes.
const MAX_LINE: usize = 500;
/// Lines a second of one module.
const MAX_LINES: u32 = 20;

/// The lines of one module.
#[derive(Debug)]
pub(super) struct Lines {
    module: String,
    budget: Mutex<Budget>,
}

#[derive(Debug)]
struct Budget {
    second: Instant,
    told: u32,
    left_out: u64,
}

impl Lines {
    pub fn new(module: &str) -> Self {
        let budget = Budget { second: Instant::now(), told: 0, left_out: 0 };
        Self { module: module.to_owned(), budget: Mutex::new(budget) }
    }

    /// The same for a module that is asked aside, with a budget of their own: they are told from those that count.
    pub fn aside(&self) -> Self {
        Self::new(&format!("{} (asked for an explanation)", self.module))
    }

    /// Tells the log, or counts what is left out.
    pub fn write(&self, level: Level, line: &str) {
        let module = &self.module;
        let left_out = {
            let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
            match budget.take(Instant::now()) {
                Some(left_out) => left_out,
                None => return,
            }
        };
        if left_out > 0 {
            tracing::warn!(module, left_out, "lines of the module were left out");
        }
        let line = shown(line, MAX_LINE);
        match level {
            Level::DEBUG => tracing::debug!(module, "{line}"),
            Level::WARN => tracing::warn!(module, "{line}"),
            _ => tracing::info!(module, "{line}"),
        }
    }
}

impl Budget {
    /// How many lines were left out before this one, which may be told; `None`: it may not.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let mut left_out = 0;
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            left_out = std::mem::take(&mut self.left_out);
            (self.second, self.told) = (now, 0);
        }
        if self.told == MAX_LINES {
            self.left_out += 1;
            return None;
        }
        self.told += 1;
        Some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_twenty_in_a_second_are_counted_and_left_out() {
        let start = Instant::now();
        let mut budget = Budget { second: start, told: 0, left_out: 0 };
        let told = (0..50).filter(|_| budget.take(start).is_some()).count();
        assert_eq!(told, 20);
        let later = start + Duration::from_secs(1);
        assert_eq!([budget.take(later), budget.take(later)], [Some(30), Some(0)]);
    }
}
