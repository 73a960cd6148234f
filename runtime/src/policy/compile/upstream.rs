//! The layer of Kubernetes' own policies, as tables: which of its rules is the first that speaks of an address and a port.
//!
//! A code is twice the place of a rule in the order in which they are asked, or one more where the rule denies for it covers a
//! service's address in part. So the lowest of several codes is the first match, and merging is as with Egret's own rules. The
//! last code is that of the isolation by a NetworkPolicy, which no rule speaks.

use std::collections::BTreeMap;
use std::rc::Rc;

use ipnet::IpNet;

use crate::model::{Action, Block, Policy, Target, Tier, UpstreamAction, UpstreamRule};

use super::super::ruleset::RuleRef;
use super::ports::{Ports, Table};
use super::ranks::Ranks;
use super::{Excess, MAX_ADDRESSES};

/// What verdicts call the isolation by a NetworkPolicy, where its rules would stand.
pub(in super::super) const ISOLATION: &str = "egress";

/// The policies of Kubernetes among those that select a workload.
pub(super) struct Layer<'a> {
    /// There are any.
    pub is_there: bool,
    rules: Vec<(&'a Policy, &'a UpstreamRule)>,
    /// The first NetworkPolicy.
    isolating: Option<&'a Policy>,
    pieces: Vec<Piece>,
    /// To the numbers of pieces.
    ranges: BTreeMap<IpNet, Vec<u32>>,
}

/// A rule on some ports.
struct Piece {
    is_admin: bool,
    table: Rc<Table>,
}

/// What the layer's rules say of an address: those of the first tier, and those of the tier below that is asked.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Tiers {
    admin: Rc<Table>,
    below: Rc<Table>,
}

impl Tiers {
    /// No rule speaks.
    pub fn silent() -> Self {
        let nothing = Rc::new(Table::default());
        Self { admin: nothing.clone(), below: nothing }
    }
}

impl<'a> Layer<'a> {
    /// Of `policies`, sorted by id.
    pub fn new(policies: &[&'a Policy]) -> Result<Self, Excess> {
        let upstream = policies.iter().filter_map(|policy| Some((*policy, policy.upstream.as_ref()?)));
        let mut upstream: Vec<_> = upstream.collect();
        upstream.sort_by_key(|(policy, upstream)| (upstream.tier, upstream.priority, &policy.id));
        let isolating = upstream.iter().find(|(_, upstream)| upstream.tier == Tier::NetworkPolicy);
        let isolating = isolating.map(|(policy, _)| *policy);
        let is_there = !upstream.is_empty();
        let asked =
            upstream.into_iter().filter(|(_, policy)| isolating.is_none() || policy.tier != Tier::Baseline);
        let rules: Vec<_> = asked
            .flat_map(|(policy, upstream)| {
                upstream.rules.iter().map(move |rule| (upstream.tier, policy, rule))
            })
            .collect();
        let bare = rules.iter().map(|(_, policy, rule)| (*policy, *rule)).collect();
        let mut this = Self { is_there, rules: bare, isolating, pieces: Vec::new(), ranges: BTreeMap::new() };
        let mut left = MAX_ADDRESSES;
        for (place, (tier, _, rule)) in rules.iter().enumerate() {
            this.add(place, *tier == Tier::Admin, rule, &mut left)?;
        }
        if is_there {
            for everywhere in EVERYWHERE {
                this.ranges.entry(everywhere).or_default();
            }
        }
        Ok(this)
    }

    fn add(
        &mut self,
        place: usize,
        is_admin: bool,
        upstream: &UpstreamRule,
        left: &mut usize,
    ) -> Result<(), Excess> {
        let UpstreamRule { action, rule } = upstream;
        let code = 2 * place as u32;
        let mut ranges = Vec::new();
        for target in &rule.to {
            match target {
                Target::Cidr(range) => ranges.push(range.trunc()),
                Target::Block(block) => without(block, left, &mut ranges)?,
                Target::Fqdn(_) | Target::Service(_) | Target::Pods(_) | Target::PodPort(..) => {}
            }
        }
        self.push(ranges, is_admin, Ports::of(&rule.ports), code);
        if let Some(found) = &rule.found {
            for spot in &found.spots {
                self.push(spot.ranges(), is_admin, Ports::of(&spot.ports), code);
            }
            // What accepts a part accepts nothing.
            let of_part = match action {
                UpstreamAction::Accept => return Ok(()),
                UpstreamAction::Deny => code,
                UpstreamAction::Pass => code + 1,
            };
            for spot in &found.partly {
                self.push(spot.ranges(), is_admin, Ports::of(&spot.ports), of_part);
            }
        }
        Ok(())
    }

    fn push(&mut self, ranges: Vec<IpNet>, is_admin: bool, ports: Ports, code: u32) {
        let number = self.pieces.len() as u32;
        let table = Rc::new(Table::of_rule(&ports, Ranks { applied: code, observed: code }));
        self.pieces.push(Piece { is_admin, table });
        for range in ranges {
            let pieces = self.ranges.entry(range).or_default();
            if pieces.last() != Some(&number) {
                pieces.push(number);
            }
        }
    }

    /// How many codes there are.
    pub fn codes(&self) -> usize {
        self.words().count()
    }

    /// What verdicts call each code.
    pub fn words(&self) -> impl Iterator<Item = RuleRef> {
        let of_rules = self.rules.iter().flat_map(|(policy, upstream)| {
            let rule = RuleRef::of(policy, &upstream.rule.name);
            [rule.clone(), rule]
        });
        // Nobody is isolated where there is no NetworkPolicy, and the code is not used then.
        let isolating = self.isolating.or(self.rules.first().map(|(policy, _)| *policy));
        of_rules.chain(isolating.map(|policy| RuleRef::of(policy, ISOLATION)))
    }

    /// The ranges that rules lead to, with the pieces that do.
    pub fn ranges(&self) -> impl Iterator<Item = (IpNet, &Vec<u32>)> {
        self.ranges.iter().map(|(range, pieces)| (*range, pieces))
    }

    /// What rules say of a range that `pieces` lead to, within one of which they say `outer`.
    pub fn within(&self, outer: &Tiers, pieces: &[u32]) -> Tiers {
        let of = |is_admin, outer: &Rc<Table>| {
            let pieces = pieces.iter().map(|number| &self.pieces[*number as usize]);
            let tables: Vec<_> =
                pieces.filter(|piece| piece.is_admin == is_admin).map(|piece| &piece.table).collect();
            if tables.is_empty() { outer.clone() } else { Rc::new(outer.merged(&together(&tables))) }
        };
        Tiers { admin: of(true, &outer.admin), below: of(false, &outer.below) }
    }

    /// The code that decides, port by port. `is_own_node`: a NetworkPolicy denies nothing there.
    pub fn decided(&self, tiers: &Tiers, is_own_node: bool) -> Table {
        let isolated = self.isolating.is_some() && !is_own_node;
        let last = 2 * self.rules.len() as u32;
        tiers.admin.combined(&tiers.below, |admin, below| match (self.effect(admin.applied), below) {
            (Some(UpstreamAction::Accept | UpstreamAction::Deny), _) => admin,
            (None | Some(UpstreamAction::Pass), Ranks::NONE) if isolated => {
                Ranks { applied: last, observed: last }
            }
            (None | Some(UpstreamAction::Pass), below) => below,
        })
    }

    /// What `code` comes to; `None`: nobody says anything.
    pub fn verdict(&self, code: u32) -> Option<Action> {
        match self.effect(code) {
            Some(UpstreamAction::Accept) => Some(Action::Allow),
            Some(UpstreamAction::Deny) => Some(Action::Deny),
            Some(UpstreamAction::Pass) => None,
            None => (code == 2 * self.rules.len() as u32).then_some(Action::Deny),
        }
    }

    fn effect(&self, code: u32) -> Option<UpstreamAction> {
        let (_, upstream) = self.rules.get(code as usize / 2)?;
        Some(if code % 2 == 1 { UpstreamAction::Deny } else { upstream.action })
    }
}

const EVERYWHERE: [IpNet; 2] = [
    IpNet::V4(ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED, 0)),
    IpNet::V6(ipnet::Ipv6Net::new_assert(std::net::Ipv6Addr::UNSPECIFIED, 0)),
];

/// Merged by halves: one by one would be quadratic.
fn together(tables: &[&Rc<Table>]) -> Rc<Table> {
    match tables {
        [] => Rc::new(Table::default()),
        [table] => (*table).clone(),
        _ => {
            let (left, right) = tables.split_at(tables.len() / 2);
            Rc::new(together(left).merged(&together(right)))
        }
    }
}

/// Adds the ranges that make up `block`, of which `left` may still be had.
fn without(block: &Block, left: &mut usize, ranges: &mut Vec<IpNet>) -> Result<(), Excess> {
    let mut todo = vec![(block.range.trunc(), block.except.clone())];
    while let Some((range, except)) = todo.pop() {
        *left = left.checked_sub(1).ok_or(Excess::Addresses)?;
        let meets: Vec<_> =
            except.into_iter().filter(|except| range.contains(except) || except.contains(&range)).collect();
        if meets.is_empty() {
            ranges.push(range);
        } else if !meets.iter().any(|except| except.contains(&range))
            && let Ok(halves) = range.subnets(range.prefix_len() + 1)
        {
            todo.extend(halves.map(|half| (half, meets.clone())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_the_ranges_that_are_left_of_it() {
        let net = |text: &str| text.parse::<IpNet>().expect("a range");
        for (range, except, expected) in [
            ("10.0.0.0/24", &[][..], &["10.0.0.0/24"][..]),
            ("10.0.0.0/30", &["10.0.0.2/32"], &["10.0.0.0/31", "10.0.0.3/32"]),
            ("10.0.0.0/30", &["10.0.0.2/32", "10.0.0.3/32"], &["10.0.0.0/31"]),
            ("10.0.0.0/24", &["10.0.0.0/8"], &[]),
            ("10.0.0.0/31", &["192.0.2.0/24", "fd00::/8"], &["10.0.0.0/31"]),
            ("fd00::/127", &["fd00::1/128"], &["fd00::/128"]),
        ] {
            let block =
                Block { range: net(range), except: except.iter().map(|except| net(except)).collect() };
            let mut ranges = Vec::new();
            without(&block, &mut 1000, &mut ranges).expect("not too many");
            ranges.sort();
            assert_eq!(ranges, expected.iter().map(|range| net(range)).collect::<Vec<_>>(), "{block}");
        }
        let many = (0..=255).map(|last| net(&format!("fd00::{last:x}00/128"))).collect();
        let block = Block { range: net("::/0"), except: many };
        assert_eq!(without(&block, &mut 1000, &mut Vec::new()), Err(Excess::Addresses));
    }
}
