//! Numbers for words: what the kernel's maps say in 32 bits.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use egret_abi::{Class, Epoch, RULESETS_MAX, RuleId, RulesetId, WORKLOADS_MAX, WorkloadIndex};

use crate::model::{NameClass, WorkloadId};
use crate::policy::{Entry, RuleRef, Ruleset};
use crate::state::{ClassNumber, NextNumbers, RuleNumber, Snapshot, WorkloadNumber};

/// The words of rule numbers, for whoever tells a verdict. A number never changes its meaning.
#[derive(Clone, Debug, Default)]
pub struct RuleNames(Arc<RwLock<Words>>);

#[derive(Debug, Default)]
struct Words {
    by_id: HashMap<RuleId, RuleRef>,
    by_rule: HashMap<RuleRef, RuleId>,
}

impl RuleNames {
    /// The rule that `id` stands for.
    #[must_use]
    pub fn get(&self, id: RuleId) -> Option<RuleRef> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).by_id.get(&id).cloned()
    }

    /// What stands for `rule`, where it has a number.
    #[must_use]
    pub fn id(&self, rule: &RuleRef) -> Option<RuleId> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).by_rule.get(rule).copied()
    }

    fn numbered(&self) -> Vec<RuleNumber> {
        let words = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let number = |(id, rule): (&RuleId, &RuleRef)| RuleNumber {
            policy: rule.policy.clone(),
            rule: rule.rule.clone(),
            number: id.0,
        };
        words.by_id.iter().map(number).collect()
    }

    fn insert(&self, id: RuleId, rule: RuleRef) {
        let mut words = self.0.write().unwrap_or_else(PoisonError::into_inner);
        words.by_rule.insert(rule.clone(), id);
        words.by_id.insert(id, rule);
    }
}

/// Gives numbers out, the same word the same number for as long as the maps live.
#[derive(Debug)]
pub struct Numbers {
    classes: HashMap<NameClass, u32>,
    rules: RuleNames,
    workloads: HashMap<WorkloadId, (WorkloadIndex, u32)>,
    /// What is in force for a workload: its epoch, and the fingerprint of its ruleset.
    epochs: HashMap<WorkloadIndex, (Epoch, u64)>,
    next: NextNumbers,
    /// Whether a number was given out since the last snapshot.
    fresh: bool,
}

impl Default for Numbers {
    fn default() -> Self {
        Self {
            classes: HashMap::new(),
            rules: RuleNames::default(),
            workloads: HashMap::new(),
            epochs: HashMap::new(),
            next: NextNumbers { class: 1, rule: RuleId::FIRST, ruleset: 1, workload: 1 },
            fresh: false,
        }
    }
}

impl Numbers {
    /// The numbers of an earlier agent.
    #[must_use]
    pub fn restore(snapshot: &Snapshot) -> Self {
        let numbers = Self {
            classes: snapshot
                .classes
                .iter()
                .filter_map(|number| Some((number.names.parse().ok()?, number.class)))
                .collect(),
            rules: RuleNames::default(),
            workloads: snapshot
                .workloads
                .iter()
                .map(|number| (number.id.clone(), (WorkloadIndex(number.index), number.ifindex)))
                .collect(),
            epochs: snapshot
                .workloads
                .iter()
                .map(|number| (WorkloadIndex(number.index), (Epoch(number.epoch), number.fingerprint)))
                .collect(),
            next: snapshot.next,
            fresh: false,
        };
        for number in &snapshot.rules {
            let rule = RuleRef { policy: number.policy.clone(), rule: number.rule.clone() };
            numbers.rules.insert(RuleId(number.number), rule);
        }
        numbers
    }

    /// Whether a number was given out since the last [`Self::snapshot`]: it must be on disk before it is in a map.
    #[must_use]
    pub fn have_news(&self) -> bool {
        self.fresh
    }

    /// What a restart needs of them.
    pub fn snapshot(&mut self, boot_id: &str) -> Snapshot {
        self.fresh = false;
        let classes = self.classes.iter();
        let classes = classes.map(|(names, class)| ClassNumber { names: names.to_string(), class: *class });
        let workloads = self.workloads.iter().map(|(id, (index, ifindex))| {
            let (epoch, fingerprint) = self.epoch_of(*index).unwrap_or_default();
            let (id, index, epoch) = (id.clone(), index.0, epoch.0);
            WorkloadNumber { id, index, ifindex: *ifindex, epoch, fingerprint }
        });
        Snapshot {
            boot_id: boot_id.to_owned(),
            classes: classes.collect(),
            rules: self.rules.numbered(),
            workloads: workloads.collect(),
            next: self.next,
            policies: Vec::new(),
        }
    }

    /// The words of rule numbers, shared.
    #[must_use]
    pub fn rule_names(&self) -> RuleNames {
        self.rules.clone()
    }

    /// The number of a class of names.
    pub fn class(&mut self, names: &NameClass) -> Class {
        let number = *self.classes.entry(names.clone()).or_insert_with(|| {
            let number = self.next.class;
            self.next.class += 1;
            self.fresh = true;
            number
        });
        Class::name(number)
    }

    /// The number of a rule.
    pub fn rule(&mut self, rule: &RuleRef) -> RuleId {
        if let Some(id) = self.rules.id(rule) {
            return id;
        }
        let id = RuleId(self.next.rule);
        self.next.rule += 1;
        self.fresh = true;
        self.rules.insert(id, rule.clone());
        id
    }

    /// Gives a number to every class and rule of `ruleset`; the classes of names with theirs.
    pub fn words_of(&mut self, ruleset: &Ruleset) -> Vec<(NameClass, Class)> {
        for Entry { applied, observed, tiers } in ruleset.rules.values() {
            let of_tiers = tiers.iter().flatten().map(|first| &first.rule);
            for rule in applied.iter().chain(observed).map(|(_, rule)| rule).chain(of_tiers) {
                self.rule(rule);
            }
        }
        for asked in &ruleset.modules {
            self.rule(&asked.rule());
        }
        ruleset.names.iter().map(|names| (names.clone(), self.class(names))).collect()
    }

    /// A ruleset number that `taken` does not hold; the longest unused first, so that none comes back at once.
    pub fn ruleset(&mut self, taken: impl Fn(RulesetId) -> bool) -> Option<RulesetId> {
        for _ in 1..RULESETS_MAX {
            let id = RulesetId(self.next.ruleset);
            self.next.ruleset = if id.0 + 1 < RULESETS_MAX { id.0 + 1 } else { 1 };
            if !taken(id) {
                return Some(id);
            }
        }
        None
    }

    /// A workload's index, and whether it had one already; `None` where all are in use.
    pub fn workload(&mut self, id: &WorkloadId, ifindex: u32) -> Option<(WorkloadIndex, bool)> {
        if let Some((index, known)) = self.workloads.get_mut(id) {
            self.fresh |= *known != ifindex;
            *known = ifindex;
            return Some((*index, true));
        }
        let index = self.free_index()?;
        self.fresh = true;
        self.workloads.insert(id.clone(), (index, ifindex));
        Some((index, false))
    }

    fn free_index(&mut self) -> Option<WorkloadIndex> {
        if self.next.workload < WORKLOADS_MAX {
            let index = WorkloadIndex(self.next.workload);
            self.next.workload += 1;
            return Some(index);
        }
        let used: std::collections::HashSet<_> = self.workloads.values().map(|(index, _)| *index).collect();
        (1..WORKLOADS_MAX).map(WorkloadIndex).find(|index| !used.contains(index))
    }

    /// A workload's index, where it has one.
    #[must_use]
    pub fn index_of(&self, id: &WorkloadId) -> Option<WorkloadIndex> {
        self.workloads.get(id).map(|(index, _)| *index)
    }

    /// Every workload with an index, and its interface on the node.
    pub fn workloads(&self) -> impl Iterator<Item = (&WorkloadId, WorkloadIndex, u32)> {
        self.workloads.iter().map(|(id, (index, ifindex))| (id, *index, *ifindex))
    }

    /// Takes a workload's index back.
    pub fn retire(&mut self, id: &WorkloadId) {
        if let Some((index, _)) = self.workloads.remove(id) {
            self.epochs.remove(&index);
            self.fresh = true;
        }
    }

    /// Notes what is in force for a workload. Unlike a number it may be on disk later: an epoch that is not says so.
    pub fn note_epoch(&mut self, index: WorkloadIndex, epoch: Epoch, fingerprint: u64) {
        self.epochs.insert(index, (epoch, fingerprint));
    }

    /// What was last noted as in force for a workload.
    #[must_use]
    pub fn epoch_of(&self, index: WorkloadIndex) -> Option<(Epoch, u64)> {
        self.epochs.get(&index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_a_restart_and_new_ones_do_not_reuse_them() {
        let names: NameClass = "*.a.test & x*.a.test within 192.0.2.0/24".parse().expect("a class");
        let id: WorkloadId = "updates/update".parse().expect("an id");
        let mut before = Numbers::default();
        let class = before.class(&names);
        let index = before.workload(&id, 7);
        let mut after = Numbers::restore(&before.snapshot("boot"));
        assert_eq!(after.class(&names), class);
        assert_eq!(after.workload(&id, 7), index.map(|(index, _)| (index, true)));
        assert_ne!(after.class(&"*.a.test & x*.a.test".parse().expect("a class")), class);
    }

    #[test]
    fn a_ruleset_number_in_use_is_passed_over() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.ruleset(|id| id == RulesetId(1)), Some(RulesetId(2)));
        assert_eq!(numbers.ruleset(|_| true), None);
    }
}
