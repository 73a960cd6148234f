//! Address ranges to destinations: every range gets the class of all ranges that hold it, and its kind.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use ipnet::{IpNet, Ipv6Net};

use crate::model::{Action, Kind, LINK_LOCAL};

use super::super::ruleset::{Class, DestEntry};
use super::open::Open;
use super::ports::Table;
use super::ranks::{Ranking, Ranks, Rules};
use super::upstream::Tiers;
use super::{Ranges, TooLarge};

/// The destinations of all address ranges; what each class of them says goes to `rules`.
///
/// Sorted ranges come with each one right after those that hold it, so one walk with a stack knows all that cover it.
pub(super) fn walk(
    ranking: &Ranking<'_>,
    open: &Open,
    ranges: &Ranges,
    rules: &mut Rules<'_>,
) -> Result<BTreeMap<IpNet, DestEntry>, TooLarge> {
    let mut classes = Classes::new(ranking, open);
    let mut dest = BTreeMap::new();
    let mut holders: Vec<(IpNet, Place)> = Vec::new();
    for (net, found) in all_ranges(ranking, ranges) {
        while holders.pop_if(|(holder, _)| !holder.contains(&net)).is_some() {}
        let outside = holders.last().map_or(Place::OUTSIDE, |(_, place)| *place);
        let inside = classes.place(&net, outside, found, rules)?;
        if (inside.class, inside.kind) != (outside.class, outside.kind) {
            let class = (inside.class != 0).then_some(inside.class);
            dest.insert(net, DestEntry { class, kind: inside.kind });
        }
        if inside != outside {
            holders.push((net, inside));
        }
    }
    Ok(dest)
}

/// What an address is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    /// What all rules say of it together; 0: no rule names it.
    class: u32,
    kind: Kind,
    /// What Egret's rules say of it.
    own: u32,
    /// What the rules of Kubernetes' policies say of it.
    tiers: u32,
}

impl Place {
    const OUTSIDE: Self = Self { class: 0, kind: Kind::Internet, own: 0, tiers: 0 };
}

/// What is about one range.
#[derive(Default)]
struct Found {
    /// Pieces of Egret's rules.
    own: Vec<u32>,
    /// Pieces of the rules of Kubernetes' policies.
    upstream: Vec<u32>,
    kind: Option<Kind>,
}

/// Ranges of rules and of the configuration, sorted so that a range follows those that hold it.
fn all_ranges(ranking: &Ranking<'_>, ranges: &Ranges) -> BTreeMap<IpNet, Found> {
    let own = ranking.cidrs().into_iter().map(|(net, own)| (net, Found { own, ..Found::default() }));
    let mut all: BTreeMap<_, _> = own.collect();
    for (net, pieces) in ranking.layer.ranges() {
        all.entry(net).or_default().upstream.clone_from(pieces);
    }
    if ranking.layer.is_there {
        all.entry(LINK_LOCAL.into()).or_default();
    }
    let kinds = [(&ranges.cluster, Kind::Cluster), (&ranges.node, Kind::Node)];
    for (net, kind) in kinds.into_iter().flat_map(|(nets, kind)| nets.iter().map(move |net| (net, kind))) {
        all.entry(net.trunc()).or_default().kind = Some(kind);
    }
    all
}

/// Classes by what their rules say together: ranges of which the same is said share one.
struct Classes<'a> {
    ranking: &'a Ranking<'a>,
    open: &'a Open,
    own: Tables<Rc<Table>>,
    tiers: Tables<Tiers>,
    /// By number; 0 says nothing.
    numbers: HashMap<Rc<Table>, u32>,
    /// What each layer says, the kind, and whether it is of the node, to the class.
    known: HashMap<(u32, u32, Kind, bool), u32>,
}

impl<'a> Classes<'a> {
    fn new(ranking: &'a Ranking<'a>, open: &'a Open) -> Self {
        let nothing = Rc::new(Table::default());
        let numbers = HashMap::from([(nothing.clone(), 0)]);
        let (own, tiers) = (Tables::new(nothing), Tables::new(Tiers::silent()));
        Self { ranking, open, own, tiers, numbers, known: HashMap::new() }
    }

    /// What the range `net` is, within `outer`.
    fn place(
        &mut self,
        net: &IpNet,
        outer: Place,
        found: Found,
        rules: &mut Rules<'_>,
    ) -> Result<Place, TooLarge> {
        let ranking = self.ranking;
        let kind = found.kind.unwrap_or(outer.kind);
        let own = self
            .own
            .within(outer.own, found.own, |outer, ranks| Rc::new(outer.merged(&ranking.table(ranks))));
        let tiers = self
            .tiers
            .within(outer.tiers, found.upstream, |outer, pieces| ranking.layer.within(outer, pieces));
        let is_own_node = kind == Kind::Node && !is_link_local(net);
        let key = (own, tiers, kind, is_own_node);
        let class = match self.known.get(&key) {
            Some(class) => *class,
            None => {
                let class = self.class(key, rules)?;
                self.known.insert(key, class);
                class
            }
        };
        Ok(Place { class, kind, own, tiers })
    }

    fn class(&mut self, key: (u32, u32, Kind, bool), rules: &mut Rules<'_>) -> Result<u32, TooLarge> {
        let (own, tiers, kind, is_own_node) = key;
        let own = &self.own.all[own as usize];
        let table = match self.ranking.layer.is_there {
            false => own.clone(),
            true => {
                let decided = self.ranking.layer.decided(&self.tiers.all[tiers as usize], is_own_node);
                Rc::new(own.combined(&decided, |own, code| own.min(self.ranks(code.applied, kind))))
            }
        };
        if let Some(class) = self.numbers.get(&table) {
            return Ok(*class);
        }
        let class = self.numbers.len() as u32;
        rules.add(&Class::Cidrs(class), &table)?;
        self.numbers.insert(table, class);
        Ok(class)
    }

    /// What a code of the layer comes to: a denial always, and what it accepts is told where nothing of Egret's has a say.
    fn ranks(&self, code: u32, kind: Kind) -> Ranks {
        match self.ranking.layer.verdict(code) {
            None => Ranks::NONE,
            Some(Action::Deny) => {
                let rank = self.ranking.of_layer(Action::Deny, code);
                Ranks { applied: rank, observed: rank }
            }
            Some(Action::Allow) => {
                let rank = self.ranking.of_layer(Action::Allow, code);
                let where_open = |is_open: bool| if is_open { rank } else { u32::MAX };
                let (applied, observed) = self.open.of(kind);
                Ranks { applied: where_open(applied), observed: where_open(observed) }
            }
        }
    }
}

fn is_link_local(net: &IpNet) -> bool {
    matches!(net, IpNet::V6(net) if Ipv6Net::contains(&LINK_LOCAL, net))
}

/// What rules say of ranges, each once and by number, in one layer.
struct Tables<T> {
    all: Vec<T>,
    numbers: HashMap<T, u32>,
    /// What is said around and the pieces of a range, to what is said in it: ten thousand ranges of one rule are merged once.
    known: HashMap<(u32, Vec<u32>), u32>,
}

impl<T: Clone + Eq + std::hash::Hash> Tables<T> {
    /// `nothing` is number 0.
    fn new(nothing: T) -> Self {
        Self { all: vec![nothing.clone()], numbers: HashMap::from([(nothing, 0)]), known: HashMap::new() }
    }

    /// What is said of a range with `pieces` of its own, within one of which `outer` is said.
    fn within(&mut self, outer: u32, pieces: Vec<u32>, merge: impl Fn(&T, &[u32]) -> T) -> u32 {
        if pieces.is_empty() {
            return outer;
        }
        let key = (outer, pieces);
        if let Some(number) = self.known.get(&key) {
            return *number;
        }
        let said = merge(&self.all[outer as usize], &key.1);
        let number = *self.numbers.entry(said.clone()).or_insert(self.all.len() as u32);
        if number as usize == self.all.len() {
            self.all.push(said);
        }
        self.known.insert(key, number);
        number
    }
}
