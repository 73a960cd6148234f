//! From a name to the classes it has, and from classes to the slots of one binding.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{Name, NameClass};

/// One place in the value of a binding (workload and address).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// The class; 0: empty.
    pub class: u32,
    /// The first tick (coarse time since boot) at which it no longer counts.
    pub until: u32,
}

impl Slot {
    fn is_free(self, now: u32) -> bool {
        self.class == 0 || self.until <= now
    }
}

/// What [`merge`] did.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// The binding said so already; it need not be written.
    Unchanged,
    /// The class is in, or lives longer.
    Written,
    /// The class is in, and this live class of a wildcard is out.
    Replaced(u32),
    /// Every slot is taken by a live class that does not yield: the class is not in.
    Full,
}

/// Puts `new` into `slots`: into the slot of its class, whose end only moves later, else into a free one. When none is
/// free, only the class of an exact name (`is_exact`) gets in, over the wildcard's that ends soonest: what a rule names
/// letter by letter must not be crowded out by what a wildcard happens to match.
pub fn merge<const N: usize>(
    slots: &mut [Slot; N],
    new: Slot,
    now: u32,
    is_exact: impl Fn(u32) -> bool,
) -> Merge {
    if new.is_free(now) {
        return Merge::Unchanged;
    }
    if let Some(same) = slots.iter_mut().find(|slot| slot.class == new.class) {
        if same.until >= new.until {
            return Merge::Unchanged;
        }
        same.until = new.until;
        return Merge::Written;
    }
    if let Some(free) = slots.iter_mut().find(|slot| slot.is_free(now)) {
        *free = new;
        return Merge::Written;
    }
    if !is_exact(new.class) {
        return Merge::Full;
    }
    match slots.iter_mut().filter(|slot| !is_exact(slot.class)).min_by_key(|slot| slot.until) {
        Some(wildcard) => Merge::Replaced(std::mem::replace(wildcard, new).class),
        None => Merge::Full,
    }
}

/// A class of names that a name has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Matched {
    /// Its number.
    pub class: u32,
    within: Option<IpNet>,
}

impl Matched {
    /// Whether the class counts for `address`, where the name leads.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        self.within.is_none_or(|range| range.contains(&address))
    }
}

/// The classes of names that matter to a workload, by what they can match.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    exact: HashMap<String, Vec<Matched>>,
    /// Wildcards under the labels that follow their last wildcard: `*.a.example.com` under `a.example.com`, and
    /// `mail.*` under the empty text. A class of several patterns is under the longest of theirs.
    wildcards: HashMap<String, Vec<(NameClass, Matched)>>,
    exact_classes: HashSet<u32>,
}

impl Matcher {
    /// Prepares `names` with their classes.
    #[must_use]
    pub fn new(names: &[(NameClass, u32)]) -> Self {
        let mut matcher = Self::default();
        for (names, class) in names {
            let matched = Matched { class: *class, within: names.range() };
            if let Some(exact) = names.exact() {
                matcher.exact.entry(exact.as_str().to_owned()).or_default().push(matched);
                matcher.exact_classes.insert(*class);
            } else {
                let suffixes = names.patterns().iter().map(|pattern| literal_suffix(pattern.as_str()));
                let suffix = suffixes.max_by_key(|suffix| suffix.len()).unwrap_or_default();
                matcher.wildcards.entry(suffix.to_owned()).or_default().push((names.clone(), matched));
            }
        }
        matcher
    }

    /// The classes of `name`, in ascending order, each once; which of them count, its address says.
    #[must_use]
    pub fn classes(&self, name: &Name) -> Vec<Matched> {
        let exact = self.exact.get(name.as_str()).into_iter().flatten().copied();
        let wild = suffixes(name.as_str())
            .filter_map(|suffix| self.wildcards.get(suffix))
            .flatten()
            .filter(|(names, _)| names.matches(name))
            .map(|(_, matched)| *matched);
        let mut classes: Vec<Matched> = exact.chain(wild).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    /// Whether `class` is of an exact name: what [`merge`] asks. A class that is not known here is not.
    #[must_use]
    pub fn is_exact(&self, class: u32) -> bool {
        self.exact_classes.contains(&class)
    }
}

/// The whole labels after the last `*`.
fn literal_suffix(pattern: &str) -> &str {
    let after = pattern.rsplit_once('*').map_or(pattern, |(_, after)| after);
    after.split_once('.').map_or("", |(_, suffix)| suffix)
}

/// `a.b.c`: `b.c`, `c` and the empty text. The whole name is not among them, since a wildcard takes at least a label.
fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').map(|(at, _)| &name[at + 1..]).chain(std::iter::once(""))
}

#[cfg(test)]
#[path = "bind_tests.rs"]
mod tests;
