//! What a set of rules says of every protocol and port, as steps; and steps as prefixes, the shape of a
//! longest-prefix match.

use std::collections::BTreeSet;

use crate::model::{PortRange, Protocol};

use super::super::ruleset::PortKey;
use super::ranks::Ranks;

/// The protocols and ports that a rule speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ports {
    /// Every protocol.
    All,
    /// The first and the last port of ranges. What has no ports is as from 0 on: see [`Table`].
    Some(BTreeSet<(Protocol, u16, u16)>),
}

impl Ports {
    pub fn of(ranges: &[PortRange]) -> Self {
        if ranges.is_empty() { Self::All } else { Self::Some(ranges.iter().map(bounds).collect()) }
    }

    /// How many ranges: what it costs to hold them against others.
    pub fn count(&self) -> usize {
        match self {
            Self::All => 1,
            Self::Some(ranges) => ranges.len(),
        }
    }

    /// Whether each range of `other` lies within one of these.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Some(_), Self::All) => false,
            (Self::Some(own), Self::Some(other)) => other.iter().all(|(protocol, start, end)| {
                own.iter().any(|own| own.0 == *protocol && own.1 <= *start && *end <= own.2)
            }),
        }
    }

    /// What is in both; `None` where nothing is.
    pub fn and(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::All, ports) | (ports, Self::All) => Some(ports.clone()),
            (Self::Some(left), Self::Some(right)) => {
                let pairs = left.iter().flat_map(|left| right.iter().map(move |right| (left, right)));
                let meet = pairs.filter(|(left, right)| left.0 == right.0);
                let both = meet.map(|(left, right)| (left.0, left.1.max(right.1), left.2.min(right.2)));
                let both: BTreeSet<_> = both.filter(|(_, start, end)| start <= end).collect();
                (!both.is_empty()).then_some(Self::Some(both))
            }
        }
    }

    /// Adds what is in `other`.
    pub fn add(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::All, _) => {}
            (Self::Some(own), Self::Some(other)) => own.extend(other),
            (_, Self::All) => *self = Self::All,
        }
    }
}

fn bounds(range: &PortRange) -> (Protocol, u16, u16) {
    let ports = range.ports.clone().unwrap_or(0..=u16::MAX);
    (range.protocol, *ports.start(), *ports.end())
}

/// What some rules say, by protocol and port. Equal tables say the same: no step repeats the one before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Table {
    /// Of every protocol that is not listed.
    any: Ranks,
    /// By protocol, ascending: from which port on what is said, the first from 0. Port 0 is never dialled and no rule
    /// names it, so its step is also that of packets without ports.
    protocols: Vec<(Protocol, Vec<(u16, Ranks)>)>,
}

impl Default for Table {
    fn default() -> Self {
        Self { any: Ranks::NONE, protocols: Vec::new() }
    }
}

impl Table {
    /// What one rule with `ports` says, where `said` is what it says.
    pub fn of_rule(ports: &Ports, said: Ranks) -> Self {
        let Ports::Some(ranges) = ports else { return Self { any: said, protocols: Vec::new() } };
        // Sorted by protocol, then by start.
        let ranges: Vec<_> = ranges.iter().copied().collect();
        let mut protocols: Vec<(Protocol, Vec<(u16, Ranks)>)> = Vec::new();
        for same in ranges.chunk_by(|left, right| left.0 == right.0) {
            protocols.push((same[0].0, steps_of_ranges(same, said)));
        }
        Self { any: Ranks::NONE, protocols }
    }

    /// What the rules of both say together.
    pub fn merged(&self, other: &Self) -> Self {
        self.combined(other, Ranks::min)
    }

    /// What `combine` makes of what each says, port by port.
    pub fn combined(&self, other: &Self, combine: impl Fn(Ranks, Ranks) -> Ranks) -> Self {
        let any = combine(self.any, other.any);
        let mut both: Vec<_> = self.protocols.iter().chain(&other.protocols).map(|(key, _)| *key).collect();
        both.sort_unstable();
        both.dedup();
        let steps = |protocol| (protocol, merge(&self.steps(protocol), &other.steps(protocol), &combine));
        let protocols = both.into_iter().map(steps).filter(|(_, steps)| *steps != [(0, any)]).collect();
        Self { any, protocols }
    }

    fn steps(&self, protocol: Protocol) -> std::borrow::Cow<'_, [(u16, Ranks)]> {
        match self.protocols.binary_search_by_key(&protocol, |(key, _)| *key) {
            Ok(at) => self.protocols[at].1.as_slice().into(),
            Err(_) => vec![(0, self.any)].into(),
        }
    }

    /// The table as entries of which the longest match is final.
    pub fn entries(&self) -> impl Iterator<Item = (PortKey, Ranks)> {
        let any = (self.any != Ranks::NONE).then_some((PortKey::AnyProtocol, self.any));
        let of_protocol = |(protocol, steps): &'_ (Protocol, Vec<(u16, Ranks)>)| {
            let (protocol, base) = (*protocol, steps[0].1);
            let all = (base != self.any).then_some((PortKey::AnyPort(protocol), base));
            let ends = steps.iter().skip(1).map(|(start, _)| start - 1).chain([u16::MAX]);
            let ranges: Vec<_> =
                steps.iter().zip(ends).map(|((start, said), end)| (*start, end, *said)).collect();
            let exceptions = ranges.into_iter().filter(move |(_, _, said)| *said != base);
            let keys = exceptions.flat_map(move |(start, end, said)| {
                prefixes(start, end).map(move |(port, bits)| (PortKey::Prefix { protocol, port, bits }, said))
            });
            all.into_iter().chain(keys)
        };
        any.into_iter().chain(self.protocols.iter().flat_map(of_protocol))
    }
}

/// Steps of `ranges`, of one protocol and sorted by their start.
fn steps_of_ranges(ranges: &[(Protocol, u16, u16)], said: Ranks) -> Vec<(u16, Ranks)> {
    let mut steps = vec![(0, Ranks::NONE)];
    let mut covered = 0; // The first port beyond all ranges so far.
    for (_, start, end) in ranges {
        let (start, beyond) = (u32::from(*start), u32::from(*end) + 1);
        if start > covered || covered == 0 {
            push(&mut steps, covered, Ranks::NONE);
            push(&mut steps, start, said);
        }
        covered = covered.max(beyond);
    }
    push(&mut steps, covered, Ranks::NONE);
    steps
}

/// Adds a step, unless it lies beyond the ports or repeats the one before it.
fn push(steps: &mut Vec<(u16, Ranks)>, start: u32, said: Ranks) {
    let Ok(start) = u16::try_from(start) else { return };
    steps.pop_if(|(last, _)| *last == start);
    if steps.last().is_none_or(|(_, last)| *last != said) {
        steps.push((start, said));
    }
}

fn merge(
    left: &[(u16, Ranks)],
    right: &[(u16, Ranks)],
    combine: &impl Fn(Ranks, Ranks) -> Ranks,
) -> Vec<(u16, Ranks)> {
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut at_left, mut at_right) = (0, 0);
    loop {
        let (from_left, said_left) = left[at_left];
        let (from_right, said_right) = right[at_right];
        push(&mut merged, from_left.max(from_right).into(), combine(said_left, said_right));
        let next = |steps: &[(u16, Ranks)], at: usize| steps.get(at + 1).map(|(start, _)| *start);
        match (next(left, at_left), next(right, at_right)) {
            (None, None) => return merged,
            (Some(a), Some(b)) if a == b => (at_left, at_right) = (at_left + 1, at_right + 1),
            (Some(a), b) if b.is_none_or(|b| a < b) => at_left += 1,
            _ => at_right += 1,
        }
    }
}

/// The fewest prefixes (first port, bits) that make up `start..=end`.
fn prefixes(start: u16, end: u16) -> impl Iterator<Item = (u16, u8)> {
    let (mut at, beyond) = (u32::from(start), u32::from(end) + 1);
    std::iter::from_fn(move || {
        let left = beyond.checked_sub(at).filter(|left| *left > 0)?;
        // As large as the alignment of its start allows and as what is left allows.
        let size_bits = at.trailing_zeros().min(left.ilog2()).min(16);
        let prefix = (u16::try_from(at).ok()?, 16 - size_bits as u8);
        at += 1 << size_bits;
        Some(prefix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_ports_is_the_fewest_prefixes() {
        for (start, end, expected) in [
            (443, 443, vec![(443, 16)]),
            (1, 65535, (0..16).map(|bit| (1 << bit, 16 - bit as u8)).collect()),
            (1024, 65535, vec![(1024, 6), (2048, 5), (4096, 4), (8192, 3), (16384, 2), (32768, 1)]),
            (8000, 8007, vec![(8000, 13)]),
            (65535, 65535, vec![(65535, 16)]),
            (80, 82, vec![(80, 15), (82, 16)]),
        ] {
            assert_eq!(prefixes(start, end).collect::<Vec<_>>(), expected, "{start}-{end}");
        }
    }

    #[test]
    fn overlapping_and_touching_ranges_of_a_rule_are_one() {
        let said = Ranks { applied: 1, observed: 1, ..Ranks::NONE };
        let tcp = |ports| PortRange { protocol: Protocol::TCP, ports: Some(ports) };
        let table =
            Table::of_rule(&Ports::of(&[tcp(90..=95), tcp(80..=85), tcp(86..=89), tcp(82..=83)]), said);
        assert_eq!(table, Table::of_rule(&Ports::of(&[tcp(80..=95)]), said));
        assert_eq!(table.protocols, [(Protocol::TCP, vec![(0, Ranks::NONE), (80, said), (96, Ranks::NONE)])]);
    }
}
