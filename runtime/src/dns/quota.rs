//! How many addresses are bound for one workload, and which of them go when there are too many.
//!
//! Whoever controls a name under a wildcard can answer it with ever new addresses. Each wildcard has its share, all
//! together have theirs, and what a rule names letter by letter has room of its own that no wildcard takes.

use std::collections::HashMap;
use std::net::IpAddr;

use lru::LruCache;

/// How many addresses are bound for one workload.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    /// Those of names that a rule names letter by letter.
    pub exact: usize,
    /// Those of one wildcard.
    pub wildcard: usize,
    /// Those of all wildcards together.
    pub wildcards: usize,
}

impl Default for Shares {
    fn default() -> Self {
        Self { exact: 8192, wildcard: 4096, wildcards: 8192 }
    }
}

type Addresses = LruCache<IpAddr, ()>;

/// The addresses bound for one workload, each counted once.
#[derive(Debug)]
pub struct Quota {
    shares: Shares,
    exact: Addresses,
    /// By class; an address that has several counts for the one that bound it last.
    wildcards: HashMap<u32, Addresses>,
    of: HashMap<IpAddr, u32>,
}

impl Default for Quota {
    fn default() -> Self {
        Self::new(Shares::default())
    }
}

impl Quota {
    /// None yet.
    #[must_use]
    pub fn new(shares: Shares) -> Self {
        Self { shares, exact: Addresses::unbounded(), wildcards: HashMap::new(), of: HashMap::new() }
    }

    /// Counts an address that was bound now, for an exact name (`None`) or for the class of a wildcard. What is over a
    /// share is no longer counted, and must be unbound: the address that was looked up least recently.
    #[must_use]
    pub fn count(&mut self, address: IpAddr, wildcard: Option<u32>) -> Option<IpAddr> {
        if self.exact.get(&address).is_some() {
            return None;
        }
        if let Some(before) = self.of.remove(&address) {
            self.remove(before, address);
        }
        let Some(class) = wildcard else {
            self.exact.put(address, ());
            return if self.exact.len() > self.shares.exact {
                self.exact.pop_lru().map(|(ip, ())| ip)
            } else {
                None
            };
        };
        let addresses = self.wildcards.entry(class).or_insert_with(Addresses::unbounded);
        addresses.put(address, ());
        self.of.insert(address, class);
        if addresses.len() > self.shares.wildcard {
            return self.pop(class);
        }
        if self.of.len() <= self.shares.wildcards {
            return None;
        }
        let largest = self.wildcards.iter().max_by_key(|(_, addresses)| addresses.len());
        let largest = largest.map(|(class, _)| *class)?;
        self.pop(largest)
    }

    /// Every address.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let exact = self.exact.iter().map(|(address, ())| *address);
        exact.chain(self.of.keys().copied())
    }

    /// Takes out the addresses that are `over`, of those looked up least recently; it looks at no more than `left`.
    pub fn take_old(&mut self, left: &mut usize, mut over: impl FnMut(IpAddr) -> bool) -> Vec<IpAddr> {
        let mut old = Vec::new();
        for addresses in std::iter::once(&mut self.exact).chain(self.wildcards.values_mut()) {
            while let Some((address, ())) = addresses.peek_lru() {
                let address = *address;
                if *left == 0 || !over(address) {
                    break;
                }
                *left -= 1;
                addresses.pop_lru();
                self.of.remove(&address);
                old.push(address);
            }
        }
        self.wildcards.retain(|_, addresses| !addresses.is_empty());
        old
    }

    fn pop(&mut self, class: u32) -> Option<IpAddr> {
        let (address, ()) = self.wildcards.get_mut(&class)?.pop_lru()?;
        self.of.remove(&address);
        Some(address)
    }

    fn remove(&mut self, class: u32, address: IpAddr) {
        let Some(addresses) = self.wildcards.get_mut(&class) else { return };
        addresses.pop(&address);
        if addresses.is_empty() {
            self.wildcards.remove(&class);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn a_wildcard_flood_takes_no_room_of_exact_names_nor_all_of_other_wildcards() {
        let mut quota = Quota::new(Shares { exact: 3, wildcard: 4, wildcards: 6 });
        assert_eq!([1, 2].map(|last| quota.count(ip(last), None)), [None, None]);
        assert_eq!([11, 12].map(|last| quota.count(ip(last), Some(7))), [None, None]);
        // Class 8 floods: first up to its own share, and then it pays with its own addresses.
        assert_eq!([21, 22, 23, 24].map(|last| quota.count(ip(last), Some(8))), [None; 4]);
        assert_eq!([25, 26].map(|last| quota.count(ip(last), Some(8))), [21, 22].map(|last| Some(ip(last))));
        // A third class takes from the largest.
        assert_eq!([31, 32].map(|last| quota.count(ip(last), Some(9))), [23, 24].map(|last| Some(ip(last))));
        assert_eq!([3, 4].map(|last| quota.count(ip(last), None)), [None, Some(ip(1))]);
        let mut all: Vec<_> = quota.addresses().collect();
        all.sort_unstable();
        assert_eq!(all, [2, 3, 4, 11, 12, 25, 26, 31, 32].map(ip));
    }

    #[test]
    fn an_address_counts_once_and_for_an_exact_name_if_it_has_one() {
        let mut quota = Quota::new(Shares { exact: 2, wildcard: 2, wildcards: 2 });
        assert_eq!(quota.count(ip(1), Some(7)), None);
        assert_eq!(quota.count(ip(1), Some(8)), None, "moved to the other class");
        assert_eq!(quota.count(ip(1), None), None);
        assert_eq!(quota.count(ip(1), Some(8)), None, "it stays where nothing can push it out");
        assert_eq!(quota.addresses().collect::<Vec<_>>(), [ip(1)]);
        assert_eq!((quota.of.len(), quota.wildcards.len()), (0, 0));
    }

    #[test]
    fn what_was_just_looked_up_goes_last_and_old_ones_can_be_taken_out() {
        let mut quota = Quota::new(Shares { exact: 2, wildcard: 2, wildcards: 4 });
        for last in [1, 2, 1] {
            assert_eq!(quota.count(ip(last), Some(7)), None);
        }
        assert_eq!(quota.count(ip(3), Some(7)), Some(ip(2)));
        assert_eq!(quota.count(ip(9), None), None);
        let mut left = 10;
        assert_eq!(quota.take_old(&mut left, |address| address != ip(3)), [ip(9), ip(1)]);
        assert_eq!((left, quota.addresses().collect::<Vec<_>>()), (8, vec![ip(3)]));
        assert!(quota.take_old(&mut 0, |_| true).is_empty());
    }
}
