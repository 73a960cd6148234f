//! What waits to be told, workload by workload in turn: one that looks up much keeps nobody waiting. Pure.

use std::collections::{HashMap, VecDeque};

use egret_abi::WorkloadIndex;

/// How much of one workload waits at one time.
const WAITING: usize = 64;

/// What waits.
pub struct Turns<T> {
    of: HashMap<WorkloadIndex, VecDeque<T>>,
    order: VecDeque<WorkloadIndex>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { of: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Turns<T> {
    /// Adds something of a workload; whether there was room.
    pub fn add(&mut self, workload: WorkloadIndex, item: T) -> bool {
        let waiting = self.of.entry(workload).or_insert_with(|| {
            self.order.push_back(workload);
            VecDeque::new()
        });
        if waiting.len() >= WAITING {
            return false;
        }
        waiting.push_back(item);
        true
    }

    /// The first of the workload whose turn it is.
    pub fn take(&mut self) -> Option<(WorkloadIndex, T)> {
        let workload = self.order.pop_front()?;
        let waiting = self.of.get_mut(&workload)?;
        let item = waiting.pop_front()?;
        if waiting.is_empty() {
            self.of.remove(&workload);
        } else {
            self.order.push_back(workload);
        }
        Some((workload, item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_take_turns_and_each_has_so_much_room() {
        let (busy, other) = (WorkloadIndex(1), WorkloadIndex(2));
        let mut turns = Turns::default();
        let added: Vec<_> = (0..WAITING + 1).map(|item| turns.add(busy, item)).collect();
        assert_eq!(added.iter().filter(|added| !**added).count(), 1);
        assert!(turns.add(other, 7));
        assert_eq!(turns.take(), Some((busy, 0)));
        assert_eq!(turns.take(), Some((other, 7)));
        assert_eq!(turns.take(), Some((busy, 1)));
        assert!(turns.add(other, 8));
        assert_eq!([turns.take(), turns.take()], [Some((busy, 2)), Some((other, 8))]);
        assert_eq!(std::iter::from_fn(|| turns.take()).count(), WAITING - 3);
        assert!(turns.order.is_empty() && turns.of.is_empty());
    }
}
