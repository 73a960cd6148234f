//! On which processor the packets of a flow go back. What one processor is given, it handles in that order; what another
//! one is given later, it may handle before.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use super::question::Question;
use crate::kernel::clock;

/// Flows that are remembered. Of one that is forgotten packets may overtake. Not zero, or the compiler would stop here.
const FLOWS: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// How long a processor may take to handle what it was given: a flow of which nothing went back since may go anywhere.
const HANDLED: Duration = Duration::from_millis(200);

/// The processor of each flow of which packets went back, and when the last one did; a question with its own port is a flow.
pub struct Processors {
    of: Mutex<LruCache<Question, (usize, Duration)>>,
    /// What threads may use.
    all: Option<CpuSet>,
}

impl Processors {
    /// No flow yet.
    pub fn new() -> Self {
        Self { of: Mutex::new(LruCache::new(FLOWS)), all: sched_getaffinity(None).ok() }
    }

    /// The calling thread, free to be anywhere.
    pub fn anywhere(&self) -> Stay<'_> {
        Stay { processors: self, at: None }
    }
}

/// Where the calling thread stays until this goes.
pub struct Stay<'a> {
    processors: &'a Processors,
    at: Option<usize>,
}

impl Stay<'_> {
    /// Goes where packets came from, unless it stays somewhere: there those that need not go on hold come by too.
    pub fn at(&mut self, processor: usize) {
        if self.at.is_none() {
            self.go(processor);
        }
    }

    /// Goes where the packets of `flow` before went back, if there were any of late. They all go back from here then.
    pub fn with(&mut self, flow: Question) {
        let (here, now) = (self.at.unwrap_or_else(sched_getcpu), clock::now());
        let known = {
            let mut of = self.processors.of.lock().unwrap_or_else(PoisonError::into_inner);
            let last = of.get(&flow).copied();
            let known = last.filter(|(_, last)| now.saturating_sub(*last) < HANDLED).map(|(known, _)| known);
            of.put(flow, (known.unwrap_or(here), now));
            known
        };
        if let Some(known) = known
            && self.at != Some(known)
        {
            self.go(known);
        }
    }

    /// Where the system does not let it, packets may overtake.
    fn go(&mut self, processor: usize) {
        let mut one = CpuSet::new();
        one.set(processor);
        self.at = sched_setaffinity(None, &one).ok().map(|()| processor);
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        if self.at.is_some()
            && let Some(all) = &self.processors.all
        {
            let _ = sched_setaffinity(None, all);
        }
    }
}

#[cfg(test)]
mod tests {
    use egret_abi::{VerdictKey, WorkloadIndex};

    use super::*;

    fn flow(port: u8) -> Question {
        Question {
            workload: WorkloadIndex(1),
            key: VerdictKey { local_port: [0, port], ..VerdictKey::default() },
        }
    }

    #[test]
    fn packets_of_a_flow_go_back_from_where_the_first_did_and_others_from_anywhere() {
        let processors = Processors::new();
        let all = sched_getaffinity(None).expect("known");
        let first = {
            let mut stay = processors.anywhere();
            stay.at(sched_getcpu());
            stay.with(flow(1));
            sched_getcpu()
        };
        assert_eq!(sched_getaffinity(None).expect("known"), all);
        let elsewhere = (0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu) && *cpu != first).unwrap_or(first);
        let mut stay = processors.anywhere();
        stay.go(elsewhere);
        stay.with(flow(2));
        assert_eq!(sched_getcpu(), elsewhere);
        stay.with(flow(1));
        assert_eq!(sched_getcpu(), first);
        stay.with(flow(2));
        assert_eq!(sched_getcpu(), elsewhere);
    }
}
