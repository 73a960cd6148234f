//! What a DNS server knows: names in memory that a test changes while the server runs. The answer is a pure
//! function of the zone and the question.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// These addresses, all in each answer.
    Addresses(Vec<IpAddr>),
    /// Another name.
    Alias(String),
    /// One address in each answer, and each time the next of so many from the first.
    Rotating {
        /// The first IPv4 address.
        ipv4: Ipv4Addr,
        /// The first IPv6 address.
        ipv6: Ipv6Addr,
        /// How many there are of each.
        count: u32,
        /// How many answers were given.
        given: u32,
    },
}

/// One line of an answer: owner, seconds to live, what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The name it is about.
    pub owner: String,
    /// Seconds to live.
    pub ttl: u32,
    /// An address, or the name that the owner is an alias of.
    pub data: Data,
}

/// What one line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// A or AAAA.
    Address(IpAddr),
    /// CNAME.
    Alias(String),
}

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A.
    Ipv4,
    /// AAAA.
    Ipv6,
    /// Anything else: the name may exist, but has none.
    Nothing,
}

/// The names of one server. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Zone(Arc<Mutex<BTreeMap<String, (u32, Records)>>>);

impl Zone {
    /// `name` has these `addresses`, for an hour.
    pub fn set(&self, name: &str, addresses: &[&str]) {
        self.set_records(name, 3600, Records::Addresses(parse(addresses)));
    }

    /// `name` is an alias of `target`, for an hour.
    pub fn alias(&self, name: &str, target: &str) {
        self.set_records(name, 3600, Records::Alias(canonical(target)));
    }

    /// `name` has another address in each answer, valid for `ttl` seconds: 65,536 of each family, all in
    /// 198.18.0.0/16 and 2001:db8:18::/112.
    pub fn rotate(&self, name: &str, ttl: u32) {
        let records = Records::Rotating {
            ipv4: Ipv4Addr::new(198, 18, 0, 0),
            ipv6: Ipv6Addr::new(0x2001, 0xdb8, 0x18, 0, 0, 0, 0, 0),
            count: 1 << 16,
            given: 0,
        };
        self.set_records(name, ttl, records);
    }

    /// `name` is `records`, for `ttl` seconds.
    pub fn set_records(&self, name: &str, ttl: u32, records: Records) {
        self.names().insert(canonical(name), (ttl, records));
    }

    /// `name` is no more.
    pub fn remove(&self, name: &str) {
        self.names().remove(&canonical(name));
    }

    /// The lines that answer for `name`; `None` where there is no such name.
    #[must_use]
    pub fn answer(&self, name: &str, wanted: Wanted) -> Option<Vec<Line>> {
        let mut names = self.names();
        let mut lines = Vec::new();
        let mut owner = canonical(name);
        // A chain longer than this is a loop.
        for _ in 0..16 {
            let (ttl, records) = match names.get_mut(&owner) {
                Some(found) => found,
                None if lines.is_empty() => return None,
                None => return Some(lines),
            };
            let mut say = |data| lines.push(Line { owner: owner.clone(), ttl: *ttl, data });
            match records {
                Records::Alias(target) => {
                    say(Data::Alias(target.clone()));
                    owner = target.clone();
                    continue;
                }
                Records::Addresses(addresses) => addresses
                    .iter()
                    .filter(|address| wanted.takes(address))
                    .for_each(|address| say(Data::Address(*address))),
                Records::Rotating { ipv4, ipv6, count, given } => {
                    if let Some(address) = rotated(wanted, *ipv4, *ipv6, *given % *count) {
                        *given += 1;
                        say(Data::Address(address));
                    }
                }
            }
            return Some(lines);
        }
        Some(lines)
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<String, (u32, Records)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wanted {
    fn takes(self, address: &IpAddr) -> bool {
        match self {
            Self::Ipv4 => address.is_ipv4(),
            Self::Ipv6 => address.is_ipv6(),
            Self::Nothing => false,
        }
    }
}

fn rotated(wanted: Wanted, ipv4: Ipv4Addr, ipv6: Ipv6Addr, step: u32) -> Option<IpAddr> {
    match wanted {
        Wanted::Ipv4 => Some(Ipv4Addr::from_bits(ipv4.to_bits() + step).into()),
        Wanted::Ipv6 => Some(Ipv6Addr::from_bits(ipv6.to_bits() + u128::from(step)).into()),
        Wanted::Nothing => None,
    }
}

fn parse(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|text| text.parse().unwrap_or_else(|_| panic!("`{text}` is no address"))).collect()
}

fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(zone: &Zone, name: &str, wanted: Wanted) -> Option<Vec<IpAddr>> {
        let lines = zone.answer(name, wanted)?;
        Some(
            lines
                .into_iter()
                .filter_map(|line| match line.data {
                    Data::Address(address) => Some(address),
                    Data::Alias(_) => None,
                })
                .collect(),
        )
    }

    #[test]
    fn an_answer_holds_the_addresses_of_the_family_asked_for() {
        let zone = Zone::default();
        zone.set("Example.com.", &["192.0.2.1", "2001:db8::1"]);
        assert_eq!(addresses(&zone, "example.COM", Wanted::Ipv4), Some(parse(&["192.0.2.1"])));
        assert_eq!(addresses(&zone, "example.com", Wanted::Ipv6), Some(parse(&["2001:db8::1"])));
        assert_eq!(addresses(&zone, "example.com", Wanted::Nothing), Some(Vec::new()));
        assert_eq!(addresses(&zone, "www.example.com", Wanted::Ipv4), None);
    }

    #[test]
    fn an_alias_is_followed_and_each_line_has_its_owner() {
        let zone = Zone::default();
        zone.alias("www.example.com", "edge.example.net");
        zone.set("edge.example.net", &["192.0.2.7"]);
        let lines = zone.answer("www.example.com", Wanted::Ipv4).expect("the name exists");
        let owners: Vec<_> = lines.iter().map(|line| line.owner.as_str()).collect();
        assert_eq!(owners, ["www.example.com", "edge.example.net"]);
    }

    #[test]
    fn an_alias_of_itself_ends() {
        let zone = Zone::default();
        zone.alias("a.example", "b.example");
        zone.alias("b.example", "a.example");
        assert_eq!(addresses(&zone, "a.example", Wanted::Ipv4), Some(Vec::new()));
    }

    #[test]
    fn a_rotating_name_never_gives_the_same_address_twice_in_a_row() {
        let zone = Zone::default();
        zone.rotate("cdn.example", 1);
        let first = addresses(&zone, "cdn.example", Wanted::Ipv4);
        assert_eq!(first, Some(parse(&["198.18.0.0"])));
        assert_ne!(first, addresses(&zone, "cdn.example", Wanted::Ipv4));
        assert_eq!(addresses(&zone, "cdn.example", Wanted::Ipv6), Some(parse(&["2001:db8:18::2"])));
    }
}
