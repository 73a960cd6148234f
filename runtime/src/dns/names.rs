//! What one workload's own look-ups said: which names lead to which addresses, and until when.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;

use crate::model::Name;

/// The longest time that an answer is believed, whatever its TTL says (RFC 8767, section 4): seven days.
pub const MAX_TTL: Duration = Duration::from_hours(7 * 24);

/// How much is remembered for one workload. What is over it goes, the least recently looked-up name first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Names.
    pub names: usize,
    /// Addresses of one name; over it, the one that ends soonest goes first, those just answered last.
    pub addresses_per_name: usize,
    /// Pairs of a name and an address. The most that memory can come to: about 150 bytes each.
    pub addresses: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { names: 2048, addresses_per_name: 256, addresses: 16_384 }
    }
}

/// An address just learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The address.
    pub address: IpAddr,
    /// The name that leads to it.
    pub name: Name,
    /// When that ends, as time since boot. An earlier answer may have said a later end than this one.
    pub until: Duration,
}

/// The memory of one workload. Times are since boot, and are given by the caller.
#[derive(Debug)]
pub struct Names {
    limits: Limits,
    by_name: LruCache<Arc<Name>, Known>,
    /// Sorted: most addresses have one name, and of that a tree would take four times as much.
    by_address: HashMap<IpAddr, Vec<Arc<Name>>>,
    pairs: usize,
    look_ups: u64,
}

#[derive(Debug, Default)]
struct Known {
    /// The number of its latest look-up: a higher one is later.
    look_up: u64,
    /// Address and its end, sorted, for the same reason.
    addresses: Vec<(IpAddr, Duration)>,
}

impl Names {
    /// An empty memory.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, by_name: LruCache::unbounded(), by_address: HashMap::new(), pairs: 0, look_ups: 0 }
    }

    /// Remembers that `name` leads to `addresses`, each for as many seconds, by an answer that came at `now`; and tells
    /// what is to be bound.
    ///
    /// An end only moves later; `min_ttl` is the least time an address is kept. An answer without addresses changes
    /// nothing, and one with A records leaves what AAAA records said, and the other way round.
    pub fn learn(
        &mut self,
        name: &Name,
        addresses: &[(IpAddr, u32)],
        now: Duration,
        min_ttl: Duration,
    ) -> Vec<Learned> {
        let fresh = &addresses[..addresses.len().min(self.limits.addresses_per_name)];
        if fresh.is_empty() {
            return Vec::new();
        }
        let (name, mut known) =
            self.by_name.pop_entry(name).unwrap_or_else(|| (Arc::new(name.clone()), Known::default()));
        self.look_ups += 1;
        known.look_up = self.look_ups;
        let learned = fresh
            .iter()
            .map(|(address, ttl)| {
                let until = now + Duration::from_secs((*ttl).into()).max(min_ttl).min(MAX_TTL);
                let until = known.extend(*address, until);
                self.index(*address, &name);
                Learned { address: *address, name: Name::clone(&name), until }
            })
            .collect();
        for address in known.over(self.limits.addresses_per_name, fresh) {
            known.remove(address);
            self.forget(address, &name);
        }
        self.by_name.put(name, known);
        self.evict();
        learned
    }

    /// The names that lead to `address` at `now`, the latest looked-up first; `most` of them.
    #[must_use]
    pub fn names_of(&self, address: IpAddr, now: Duration, most: usize) -> Vec<Name> {
        let mut live: Vec<(u64, &Arc<Name>)> = self
            .entries_of(address)
            .filter(|(_, until, _)| *until > now)
            .map(|(look_up, _, name)| (look_up, name))
            .collect();
        live.sort_unstable_by_key(|(look_up, _)| std::cmp::Reverse(*look_up));
        live.into_iter().take(most).map(|(_, name)| Name::clone(name)).collect()
    }

    /// The latest looked-up name that led to `address`, even if that has ended.
    #[must_use]
    pub fn last_name_of(&self, address: IpAddr) -> Option<Name> {
        self.entries_of(address).max_by_key(|(look_up, ..)| *look_up).map(|(.., name)| Name::clone(name))
    }

    /// All that leads somewhere at `now`: name, address and end, the latest looked-up name first.
    pub fn live(&self, now: Duration) -> impl Iterator<Item = (&Name, IpAddr, Duration)> {
        self.by_name.iter().flat_map(move |(name, known)| {
            let live = known.addresses.iter().filter(move |(_, until)| *until > now);
            live.map(move |(address, until)| (&**name, *address, *until))
        })
    }

    /// Look-up number, end and name of all that ever led to `address` and is not forgotten.
    fn entries_of(&self, address: IpAddr) -> impl Iterator<Item = (u64, Duration, &Arc<Name>)> {
        self.by_address.get(&address).into_iter().flatten().filter_map(move |name| {
            let known = self.by_name.peek(&**name)?;
            Some((known.look_up, known.end_of(address)?, name))
        })
    }

    fn index(&mut self, address: IpAddr, name: &Arc<Name>) {
        let names = self.by_address.entry(address).or_insert_with(|| Vec::with_capacity(1));
        if let Err(at) = names.binary_search(name) {
            names.insert(at, Arc::clone(name));
            self.pairs += 1;
        }
    }

    fn forget(&mut self, address: IpAddr, name: &Arc<Name>) {
        let Some(names) = self.by_address.get_mut(&address) else { return };
        if let Ok(at) = names.binary_search(name) {
            names.remove(at);
            self.pairs -= 1;
        }
        if names.is_empty() {
            self.by_address.remove(&address);
        }
    }

    fn evict(&mut self) {
        while self.by_name.len() > self.limits.names || self.pairs > self.limits.addresses {
            let Some((name, known)) = self.by_name.pop_lru() else { return };
            known.addresses.iter().for_each(|(address, _)| self.forget(*address, &name));
        }
    }
}

impl Known {
    /// Moves the end of `address` to `until` if that is later, and tells the end.
    fn extend(&mut self, address: IpAddr, until: Duration) -> Duration {
        match self.at(address) {
            Ok(at) => {
                let end = &mut self.addresses[at].1;
                *end = until.max(*end);
                *end
            }
            Err(at) => {
                if self.addresses.is_empty() {
                    self.addresses.reserve_exact(1);
                }
                self.addresses.insert(at, (address, until));
                until
            }
        }
    }

    fn remove(&mut self, address: IpAddr) {
        if let Ok(at) = self.at(address) {
            self.addresses.remove(at);
        }
    }

    fn end_of(&self, address: IpAddr) -> Option<Duration> {
        self.at(address).ok().map(|at| self.addresses[at].1)
    }

    /// Where `address` is, or would be.
    fn at(&self, address: IpAddr) -> Result<usize, usize> {
        self.addresses.binary_search_by_key(&address, |(address, _)| *address)
    }

    /// The addresses beyond `limit`, soonest end first, none of them of `fresh`.
    fn over(&self, limit: usize, fresh: &[(IpAddr, u32)]) -> Vec<IpAddr> {
        let over = self.addresses.len().saturating_sub(limit);
        if over == 0 {
            return Vec::new();
        }
        let fresh: HashSet<IpAddr> = fresh.iter().map(|(address, _)| *address).collect();
        let mut old: Vec<(Duration, IpAddr)> = self
            .addresses
            .iter()
            .filter(|(address, _)| !fresh.contains(address))
            .map(|(address, until)| (*until, *address))
            .collect();
        old.sort_unstable();
        old.into_iter().take(over).map(|(_, address)| address).collect()
    }
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
