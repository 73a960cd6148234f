//! Rules as numbers: the lower one decides. Denies come before allows, then policies by id, then rules by place; so
//! merging what two sets of rules say is taking the smaller number.

use std::collections::BTreeMap;
use std::iter;
use std::rc::Rc;

use ipnet::IpNet;

use crate::model::{Action, EgressPolicy, Mode, Pattern, Rule, Target};

use super::super::ruleset::{Class, RuleKey, RuleRef, Said};
use super::ports::Table;
use super::{MAX_RULES, TooLarge};

/// The number of the rule that decides, in each verdict; [`Ranks::NONE`] where none speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ranks {
    pub applied: u32,
    pub observed: u32,
}

impl Ranks {
    /// No rule speaks.
    pub const NONE: Self = Self { applied: u32::MAX, observed: u32::MAX };

    /// What both together say.
    pub fn min(self, other: Self) -> Self {
        Self { applied: self.applied.min(other.applied), observed: self.observed.min(other.observed) }
    }
}

/// All rules of some policies, by rank.
pub(super) struct Ranking<'a> {
    rules: Vec<(Action, &'a EgressPolicy, &'a Rule)>,
    tables: Vec<Rc<Table>>,
}

impl<'a> Ranking<'a> {
    pub fn new(policies: &[&'a EgressPolicy]) -> Self {
        let mut policies = policies.to_vec();
        policies.sort_by_key(|policy| &policy.id);
        let of = |action| {
            policies.iter().flat_map(move |policy| {
                let rules = if action == Action::Deny { &policy.deny } else { &policy.allow };
                rules.iter().zip(iter::repeat(*policy)).map(move |(rule, policy)| (action, policy, rule))
            })
        };
        let rules: Vec<_> = of(Action::Deny).chain(of(Action::Allow)).collect();
        let tables = rules.iter().zip(0..).map(|((_, policy, rule), rank)| {
            let applied = if policy.mode == Mode::Enforce { rank } else { u32::MAX };
            Rc::new(Table::of_rule(&rule.ports, Ranks { applied, observed: rank }))
        });
        Self { tables: tables.collect(), rules }
    }

    /// The name patterns of all rules, each with the ranks of the rules that name it.
    pub fn names(&self) -> BTreeMap<&'a Pattern, Vec<u32>> {
        self.targets(|target| match target {
            Target::Fqdn(pattern) => Some(pattern),
            Target::Cidr(_) => None,
        })
    }

    /// The address ranges of all rules, each with the ranks of the rules that name it.
    pub fn cidrs(&self) -> BTreeMap<IpNet, Vec<u32>> {
        self.targets(|target| match target {
            Target::Cidr(net) => Some(*net),
            Target::Fqdn(_) => None,
        })
    }

    fn targets<T: Ord>(&self, pick: impl Fn(&'a Target) -> Option<T>) -> BTreeMap<T, Vec<u32>> {
        let mut targets = BTreeMap::<T, Vec<u32>>::new();
        for ((_, _, rule), rank) in self.rules.iter().zip(0..) {
            for target in rule.to.iter().filter_map(&pick) {
                let ranks = targets.entry(target).or_default();
                if ranks.last() != Some(&rank) {
                    ranks.push(rank);
                }
            }
        }
        targets
    }

    /// What the rules of `ranks`, at least one, say together. Merged by halves: one by one would be quadratic.
    pub fn table(&self, ranks: &[u32]) -> Rc<Table> {
        match ranks {
            [] => Rc::new(Table::default()),
            [rank] => self.tables[*rank as usize].clone(),
            _ => {
                let (left, right) = ranks.split_at(ranks.len() / 2);
                Rc::new(self.table(left).merged(&self.table(right)))
            }
        }
    }

    fn said(&self, rank: u32) -> Said {
        let (action, policy, rule) = self.rules.get(rank as usize)?;
        Some((*action, RuleRef { policy: policy.id.clone(), rule: rule.name.clone() }))
    }
}

/// The rules of a ruleset, as they grow.
pub(super) struct Rules<'a> {
    ranking: &'a Ranking<'a>,
    pub entries: BTreeMap<RuleKey, (Said, Said)>,
}

impl<'a> Rules<'a> {
    pub fn new(ranking: &'a Ranking<'a>) -> Self {
        Self { ranking, entries: BTreeMap::new() }
    }

    /// Adds what `table` says of `class`.
    pub fn add(&mut self, class: &Class, table: &Table) -> Result<(), TooLarge> {
        for (ports, ranks) in table.entries() {
            if self.entries.len() == MAX_RULES {
                return Err(self.too_large());
            }
            let said = (self.ranking.said(ranks.applied), self.ranking.said(ranks.observed));
            self.entries.insert(RuleKey { class: class.clone(), ports }, said);
        }
        Ok(())
    }

    fn too_large(&self) -> TooLarge {
        let mut ids: Vec<_> = self.ranking.rules.iter().map(|(_, policy, _)| policy.id.to_string()).collect();
        ids.sort();
        ids.dedup();
        TooLarge { policies: ids.join(", ") }
    }
}
