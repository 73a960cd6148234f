//! Address ranges to destinations: every range gets the class of all ranges that hold it, and its kind.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use ipnet::IpNet;

use crate::model::Kind;

use super::super::ruleset::{Class, DestEntry};
use super::ports::Table;
use super::ranks::{Ranking, Rules};
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
    for (net, (ranks, kind)) in all_ranges(ranking, ranges) {
        while holders.pop_if(|(holder, _)| !holder.contains(&net)).is_some() {}
        let outside = holders.last().map_or(Place { class: 0, kind: Kind::Internet }, |(_, place)| *place);
        let class = classes.within(outside.class, ranks, rules)?;
        let inside = Place { class, kind: kind.unwrap_or(outside.kind) };
        if inside != outside {
            let class = (class != 0).then_some(class);
            dest.insert(net, DestEntry { class, kind: inside.kind });
            holders.push((net, inside));
        }
    }
    Ok(dest)
}

/// What an address is; class 0 is that of addresses no rule names.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    class: u32,
    kind: Kind,
}

/// Ranges of rules and of the configuration, sorted so that a range follows those that hold it.
fn all_ranges(ranking: &Ranking<'_>, ranges: &Ranges) -> BTreeMap<IpNet, (Vec<u32>, Option<Kind>)> {
    let mut all: BTreeMap<_, _> =
        ranking.cidrs().into_iter().map(|(net, ranks)| (net, (ranks, None))).collect();
    let kinds = [(&ranges.cluster, Kind::Cluster), (&ranges.node, Kind::Node)];
    for (net, kind) in kinds.into_iter().flat_map(|(nets, kind)| nets.iter().map(move |net| (net, kind))) {
        all.entry(net.trunc()).or_default().1 = Some(kind);
    }
    all
}

/// Classes by what their rules say together: ranges of which the same is said share one.
struct Classes<'a> {
    ranking: &'a Ranking<'a>,
    /// By number; 0 says nothing.
    tables: Vec<Rc<Table>>,
    numbers: HashMap<Rc<Table>, u32>,
    /// The class around and the ranks of a range, to its class: ten thousand ranges of one rule are merged once.
    known: HashMap<(u32, Vec<u32>), u32>,
}

impl<'a> Classes<'a> {
    fn new(ranking: &'a Ranking<'a>) -> Self {
        let nothing = Rc::new(Table::default());
        let numbers = HashMap::from([(nothing.clone(), 0)]);
        Self { ranking, tables: vec![nothing], numbers, known: HashMap::new() }
    }

    /// The class of a range that the rules of `ranks` name, within a range of class `outer`.
    fn within(&mut self, outer: u32, ranks: Vec<u32>, rules: &mut Rules<'_>) -> Result<u32, TooLarge> {
        if ranks.is_empty() {
            return Ok(outer);
        }
        let key = (outer, ranks);
        if let Some(class) = self.known.get(&key) {
            return Ok(*class);
        }
        let table = Rc::new(self.tables[outer as usize].merged(&self.ranking.table(&key.1)));
        let class = match self.numbers.get(&table) {
            Some(class) => *class,
            None => self.add(table, rules)?,
        };
        self.known.insert(key, class);
        Ok(class)
    }

    fn add(&mut self, table: Rc<Table>, rules: &mut Rules<'_>) -> Result<u32, TooLarge> {
        let class = self.numbers.len() as u32;
        rules.add(&Class::Cidrs(class), &table)?;
        self.numbers.insert(table.clone(), class);
        self.tables.push(table);
        Ok(class)
    }
}
