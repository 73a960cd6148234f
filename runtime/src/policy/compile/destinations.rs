//! Address ranges to destinations: every range gets the class of all ranges that hold it, and its kind.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use ipnet::{IpNet, Ipv6Net};

use crate::model::{Kind, LINK_LOCAL};

use super::super::ruleset::{Class, DestEntry};
use super::ports::{Ports, Table};
use super::ranks::{Ranking, Ranks, Rules};
use super::upstream::EVERYWHERE;
use super::{Ranges, TooLarge};

/// The destinations of all address ranges; what each class of them says goes to `rules`.
///
/// Sorted ranges come with each one right after those that hold it, so one walk with a stack knows all that cover it.
pub(super) fn walk(
    ranking: &Ranking<'_>,
    ranges: &Ranges,
    rules: &mut Rules<'_>,
) -> Result<BTreeMap<IpNet, DestEntry>, TooLarge> {
    let mut classes = Classes::new(ranking);
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
    /// The same without isolation.
    said: u32,
}

impl Place {
    const OUTSIDE: Self = Self { class: 0, kind: Kind::Internet, said: 0 };
}

/// What is about one range.
#[derive(Default)]
struct Found {
    /// Pieces of rules.
    pieces: Vec<u32>,
    kind: Option<Kind>,
}

/// Ranges of rules and of the configuration, sorted so that a range follows those that hold it.
fn all_ranges(ranking: &Ranking<'_>, ranges: &Ranges) -> BTreeMap<IpNet, Found> {
    let of_rules = ranking.cidrs().into_iter().map(|(net, pieces)| (net, Found { pieces, kind: None }));
    let mut all: BTreeMap<_, _> = of_rules.collect();
    if ranking.layer.isolation().is_some() {
        for net in EVERYWHERE.into_iter().chain([LINK_LOCAL.into()]) {
            all.entry(net).or_default();
        }
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
    said: Tables,
    /// By number; 0 says nothing.
    numbers: HashMap<Rc<Table>, u32>,
    /// What is said, and whether who is isolated is isolated from there, to the class.
    known: HashMap<(u32, bool), u32>,
}

impl<'a> Classes<'a> {
    fn new(ranking: &'a Ranking<'a>) -> Self {
        let nothing = Rc::new(Table::default());
        let numbers = HashMap::from([(nothing.clone(), 0)]);
        Self { ranking, said: Tables::new(nothing), numbers, known: HashMap::new() }
    }

    /// What the range `net` is, within `outer`.
    fn place(
        &mut self,
        net: &IpNet,
        outer: Place,
        found: Found,
        rules: &mut Rules<'_>,
    ) -> Result<Place, TooLarge> {
        let kind = found.kind.unwrap_or(outer.kind);
        let said = self.said.within(outer.said, found.pieces, self.ranking);
        // A pod and its node may always talk. Whose a link-local address is depends on the link.
        let is_isolated = kind != Kind::Node || is_link_local(net);
        let class = match self.known.get(&(said, is_isolated)) {
            Some(class) => *class,
            None => {
                let class = self.class(said, is_isolated, rules)?;
                self.known.insert((said, is_isolated), class);
                class
            }
        };
        Ok(Place { class, kind, said })
    }

    fn class(&mut self, said: u32, is_isolated: bool, rules: &mut Rules<'_>) -> Result<u32, TooLarge> {
        let said = &self.said.all[said as usize];
        let table = match self.ranking.layer.isolation().filter(|_| is_isolated) {
            None => said.clone(),
            // It has the last code of all.
            Some(code) => {
                let isolated = Ranks { tiers: [u32::MAX, code], ..Ranks::NONE };
                Rc::new(said.merged(&Table::of_rule(&Ports::All, isolated)))
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
}

fn is_link_local(net: &IpNet) -> bool {
    matches!(net, IpNet::V6(net) if Ipv6Net::contains(&LINK_LOCAL, net))
}

/// What rules say of ranges, each once and by number.
struct Tables {
    all: Vec<Rc<Table>>,
    numbers: HashMap<Rc<Table>, u32>,
    /// What is said around and the pieces of a range, to what is said in it: ten thousand ranges of one rule are merged once.
    known: HashMap<(u32, Vec<u32>), u32>,
}

impl Tables {
    /// `nothing` is number 0.
    fn new(nothing: Rc<Table>) -> Self {
        Self { all: vec![nothing.clone()], numbers: HashMap::from([(nothing, 0)]), known: HashMap::new() }
    }

    /// What is said of a range with `pieces` of its own, within one of which `outer` is said.
    fn within(&mut self, outer: u32, pieces: Vec<u32>, ranking: &Ranking<'_>) -> u32 {
        if pieces.is_empty() {
            return outer;
        }
        let key = (outer, pieces);
        if let Some(number) = self.known.get(&key) {
            return *number;
        }
        let said = Rc::new(self.all[outer as usize].merged(&ranking.table(&key.1)));
        let number = *self.numbers.entry(said.clone()).or_insert(self.all.len() as u32);
        if number as usize == self.all.len() {
            self.all.push(said);
        }
        self.known.insert(key, number);
        number
    }
}
