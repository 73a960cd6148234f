//! Rules as numbers: the lower one decides. Denies come before allows, then policies by id, those of the cluster first,
//! then rules by place; so merging what two sets of rules say is taking the smaller number. Those of the policies of Kubernetes
//! have numbers of their own ([`super::upstream`]).

use std::collections::BTreeMap;
use std::iter;
use std::rc::Rc;

use ipnet::IpNet;

use crate::model::{Action, Ceiling, Mode, NameClass, Policy, PolicyKind, Rule};

use super::super::ruleset::{Class, Entry, RuleKey, RuleRef, Said};
use super::ceilings::{Allowance, Left, Reach, cut};
use super::ports::Table;
use super::upstream::Layer;
use super::{Excess, MAX_COMBINED, MAX_RULES, TooLarge};

/// The number of the rule that decides, in each verdict and in each tier; `u32::MAX` where none speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ranks {
    pub applied: u32,
    pub observed: u32,
    /// Codes of the layer of Kubernetes.
    pub tiers: [u32; 2],
}

impl Ranks {
    /// No rule speaks.
    pub const NONE: Self = Self { applied: u32::MAX, observed: u32::MAX, tiers: [u32::MAX; 2] };

    /// What both together say.
    pub fn min(self, other: Self) -> Self {
        let [first, next] = self.tiers;
        Self {
            applied: self.applied.min(other.applied),
            observed: self.observed.min(other.observed),
            tiers: [first.min(other.tiers[0]), next.min(other.tiers[1])],
        }
    }
}

/// All rules of some policies, by rank, and what ceilings leave of them.
pub(super) struct Ranking<'a> {
    policies: Vec<&'a Policy>,
    /// By rank.
    said: Vec<(Action, RuleRef)>,
    pieces: Vec<Piece>,
    /// How many pieces are of Egret's rules; those of Kubernetes' policies come after them.
    own: usize,
    /// The policies of Kubernetes.
    pub layer: Layer<'a>,
}

/// A rule, or what ceilings leave of it: destinations that have the same ports, in one verdict or in both.
struct Piece {
    to: Vec<Reach>,
    table: Rc<Table>,
}

impl<'a> Ranking<'a> {
    pub fn new(policies: &[&'a Policy]) -> Result<Self, TooLarge> {
        let mut policies = policies.to_vec();
        policies.sort_by_key(|policy| &policy.id);
        let of = |action| {
            policies.iter().flat_map(move |policy| {
                let rules = if action == Action::Deny { &policy.deny } else { &policy.allow };
                rules.iter().zip(iter::repeat(*policy)).map(move |(rule, policy)| (action, policy, rule))
            })
        };
        let (layer, of_layer) = Layer::new(&policies).map_err(|excess| too_large(&policies, excess))?;
        let (denies, allows): (Vec<_>, Vec<_>) = (of(Action::Deny).collect(), of(Action::Allow).collect());
        let said = denies.iter().chain(&allows);
        let said = said.map(|(action, policy, rule)| (*action, RuleRef::of(policy, &rule.name))).collect();
        let ceilings: Vec<_> =
            policies.iter().filter_map(|policy| Some((policy.mode, policy.ceiling.as_ref()?))).collect();
        let mut this = Self { policies: policies.clone(), said, pieces: Vec::new(), own: 0, layer };
        let mut allowance = Allowance::new();
        for ((action, policy, rule), rank) in denies.iter().chain(&allows).zip(0..) {
            let is_bound = *action == Action::Allow && policy.id.kind == PolicyKind::EgressPolicy;
            let ceilings: &[_] = if is_bound { &ceilings } else { &[] };
            this.add_pieces(policy, rule, rank, ceilings, &mut allowance)
                .map_err(|excess| too_large(&policies, excess))?;
        }
        this.own = this.pieces.len();
        for (left, ranks) in of_layer {
            this.push(vec![left], ranks);
        }
        Ok(this)
    }

    /// A ceiling on trial counts in the observed verdict only: where there is one, each verdict has pieces of its own.
    fn add_pieces(
        &mut self,
        policy: &Policy,
        rule: &Rule,
        rank: u32,
        ceilings: &[(Mode, &Ceiling)],
        allowance: &mut Allowance,
    ) -> Result<(), Excess> {
        let all: Vec<_> = ceilings.iter().map(|(_, ceiling)| *ceiling).collect();
        let in_force = ceilings.iter().filter(|(mode, _)| *mode == Mode::Enforce);
        let in_force: Vec<_> = in_force.map(|(_, ceiling)| *ceiling).collect();
        let is_enforced = policy.mode == Mode::Enforce;
        let applied = if is_enforced && in_force.len() == all.len() { rank } else { u32::MAX };
        self.push(cut(rule, &all, allowance)?, Ranks { applied, observed: rank, ..Ranks::NONE });
        if is_enforced && in_force.len() != all.len() {
            self.push(cut(rule, &in_force, allowance)?, Ranks { applied: rank, ..Ranks::NONE });
        }
        Ok(())
    }

    fn push(&mut self, left: Vec<Left>, ranks: Ranks) {
        self.pieces.extend(
            left.into_iter().map(|(ports, to)| Piece { to, table: Rc::new(Table::of_rule(&ports, ranks)) }),
        );
    }

    /// The classes of names of all pieces, each with the numbers of the pieces that reach it.
    pub fn names(&self) -> Result<BTreeMap<&NameClass, Vec<u32>>, TooLarge> {
        let names = self.reached(|reach| match reach {
            Reach::Names(class) => Some(class),
            Reach::Range(_) => None,
        });
        self.with_those_around(names).map_err(|excess| too_large(&self.policies, excess))
    }

    /// A flow remembers one class of names that it was admitted by. Where Kubernetes' policies accept names, that one must say
    /// what both layers do: so of two classes, one within the other, the inner one has the pieces of both.
    fn with_those_around<'s>(
        &self,
        names: BTreeMap<&'s NameClass, Vec<u32>>,
    ) -> Result<BTreeMap<&'s NameClass, Vec<u32>>, Excess> {
        let accepts = |pieces: &[u32]| pieces.iter().any(|piece| self.is_of_layer(*piece));
        let (accepted, allowed): (Vec<_>, Vec<_>) = names.iter().partition(|(_, pieces)| accepts(pieces));
        let all = names.len();
        accepted.len().checked_mul(all).filter(|pairs| *pairs <= MAX_COMBINED).ok_or(Excess::Names)?;
        let mut whole = names.clone();
        let mut add = |inner: &'s NameClass, pieces: &[u32]| {
            let known = whole.entry(inner).or_default();
            known.extend(pieces);
            known.sort_unstable();
            known.dedup();
        };
        for (one, pieces) in &accepted {
            for (other, others) in accepted.iter().chain(&allowed).filter(|(other, _)| other != one) {
                if one.covers(other) {
                    add(other, pieces);
                } else if other.covers(one) {
                    add(one, others);
                }
            }
        }
        Ok(whole)
    }

    /// The address ranges of all pieces, each with the numbers of the pieces that reach it.
    pub fn cidrs(&self) -> BTreeMap<IpNet, Vec<u32>> {
        self.reached(|reach| match reach {
            Reach::Range(net) => Some(*net),
            Reach::Names(_) => None,
        })
    }

    fn reached<'s, T: Ord>(&'s self, pick: impl Fn(&'s Reach) -> Option<T>) -> BTreeMap<T, Vec<u32>> {
        let mut reached = BTreeMap::<T, Vec<u32>>::new();
        for (piece, number) in self.pieces.iter().zip(0..) {
            for target in piece.to.iter().filter_map(&pick) {
                let pieces = reached.entry(target).or_default();
                if pieces.last() != Some(&number) {
                    pieces.push(number);
                }
            }
        }
        reached
    }

    /// What `pieces`, at least one, say together. Merged by halves: one by one would be quadratic.
    pub fn table(&self, pieces: &[u32]) -> Rc<Table> {
        match pieces {
            [] => Rc::new(Table::default()),
            [piece] => self.pieces[*piece as usize].table.clone(),
            _ => {
                let (left, right) = pieces.split_at(pieces.len() / 2);
                Rc::new(self.table(left).merged(&self.table(right)))
            }
        }
    }

    fn is_of_layer(&self, piece: u32) -> bool {
        piece as usize >= self.own
    }

    fn said(&self, rank: u32) -> Said {
        self.said.get(rank as usize).cloned()
    }
}

/// The rules of a ruleset, as they grow.
pub(super) struct Rules<'a> {
    ranking: &'a Ranking<'a>,
    pub entries: BTreeMap<RuleKey, Entry>,
}

impl<'a> Rules<'a> {
    pub fn new(ranking: &'a Ranking<'a>) -> Self {
        Self { ranking, entries: BTreeMap::new() }
    }

    /// Adds what `table` says of `class`.
    pub fn add(&mut self, class: &Class, table: &Table) -> Result<(), TooLarge> {
        for (ports, ranks) in table.entries() {
            if self.entries.len() == MAX_RULES {
                return Err(too_large(&self.ranking.policies, Excess::Rules));
            }
            let entry = Entry {
                applied: self.ranking.said(ranks.applied),
                observed: self.ranking.said(ranks.observed),
                tiers: ranks.tiers.map(|code| self.ranking.layer.first(code)),
            };
            self.entries.insert(RuleKey { class: class.clone(), ports }, entry);
        }
        Ok(())
    }
}

pub(super) fn too_large<'p>(policies: impl IntoIterator<Item = &'p &'p Policy>, excess: Excess) -> TooLarge {
    let mut ids: Vec<_> = policies.into_iter().map(|policy| policy.id.to_string()).collect();
    ids.sort();
    ids.dedup();
    TooLarge { policies: ids.join(", "), excess }
}
