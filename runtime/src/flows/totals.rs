//! First packets by namespace and by both verdicts, for metrics.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

use crate::model::{Action, Verdicts};

/// Namespaces counted by default. On a busy cluster namespaces come and go for ever.
pub const DEFAULT_NAMESPACES: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// The actions that are counted, applied then observed, in the order of the counts.
const ACTIONS: [(Action, Action); 4] = [
    (Action::Allow, Action::Allow),
    (Action::Allow, Action::Deny),
    (Action::Deny, Action::Allow),
    (Action::Deny, Action::Deny),
];

/// How many first packets of a namespace had these two actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstPackets {
    /// The namespace of their workloads.
    pub namespace: String,
    /// What happened.
    pub applied: Action,
    /// What would have happened with every policy in mode Enforce.
    pub observed: Action,
    /// How many.
    pub count: u64,
}

/// Bounded: when full, the namespace that was least recently added to goes. Shared by reference.
#[derive(Debug)]
pub struct Totals {
    namespaces: Mutex<LruCache<String, [u64; ACTIONS.len()]>>,
}

impl Totals {
    /// Nothing counted yet; see [`DEFAULT_NAMESPACES`].
    #[must_use]
    pub fn new(namespaces: NonZeroUsize) -> Self {
        Self { namespaces: Mutex::new(LruCache::new(namespaces)) }
    }

    /// Counts a first packet of a workload of `namespace`.
    pub fn add(&self, namespace: &str, verdicts: &Verdicts) {
        let actions = (verdicts.applied.action, verdicts.observed.action);
        let Some(at) = ACTIONS.iter().position(|each| *each == actions) else { return };
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = namespaces.get_mut(namespace) {
            counts[at] += 1;
        } else {
            namespaces.get_or_insert_mut(namespace.to_owned(), Default::default)[at] += 1;
        }
    }

    /// All counts, four for each namespace, by namespace.
    #[must_use]
    pub fn list(&self) -> Vec<FirstPackets> {
        let mut all: Vec<_> = {
            let namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
            namespaces.iter().map(|(namespace, counts)| (namespace.clone(), *counts)).collect()
        };
        all.sort_unstable();
        all.into_iter().flat_map(|(namespace, counts)| told(&namespace, counts)).collect()
    }
}

fn told(namespace: &str, counts: [u64; ACTIONS.len()]) -> [FirstPackets; ACTIONS.len()] {
    std::array::from_fn(|at| FirstPackets {
        namespace: namespace.to_owned(),
        applied: ACTIONS[at].0,
        observed: ACTIONS[at].1,
        count: counts[at],
    })
}

#[cfg(test)]
mod tests {
    use crate::model::{Reason, Verdict};

    use super::*;

    fn verdicts(applied: Action, observed: Action) -> Verdicts {
        Verdicts {
            applied: Verdict::of(applied, Reason::Rule),
            observed: Verdict::of(observed, Reason::Rule),
        }
    }

    #[test]
    fn first_packets_add_up_by_namespace_and_by_both_actions() {
        let totals = Totals::new(DEFAULT_NAMESPACES);
        let added = [
            ("shop", Action::Allow, Action::Deny),
            ("bank", Action::Deny, Action::Deny),
            ("shop", Action::Allow, Action::Deny),
            ("shop", Action::Deny, Action::Allow),
        ];
        for (namespace, applied, observed) in added {
            totals.add(namespace, &verdicts(applied, observed));
        }
        let told = totals.list();
        let counts: Vec<_> = told.iter().map(|each| (each.namespace.as_str(), each.count)).collect();
        assert_eq!(
            counts,
            [
                ("bank", 0),
                ("bank", 0),
                ("bank", 0),
                ("bank", 1),
                ("shop", 0),
                ("shop", 2),
                ("shop", 1),
                ("shop", 0)
            ]
        );
        assert_eq!((told[5].applied, told[5].observed), (Action::Allow, Action::Deny));
    }

    #[test]
    fn namespaces_that_come_and_go_for_ever_take_no_memory_for_ever() {
        let totals = Totals::new(NonZeroUsize::new(2).expect("not zero"));
        for namespace in ["a", "b", "a", "c"] {
            totals.add(namespace, &verdicts(Action::Allow, Action::Allow));
        }
        let mut kept: Vec<_> = totals.list().into_iter().map(|each| each.namespace).collect();
        kept.dedup();
        assert_eq!(kept, ["a", "c"], "the one that was added to least recently is gone");
    }
}
