//! Ranges of addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A range of addresses, `192.0.2.0/24`, or a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Cidr(IpNet);

/// Why a text is no range, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// Neither a range nor an address.
    #[error("`{0}` is not a range of addresses; write it as 192.0.2.0/24 or 2001:db8::/32")]
    NotARange(String),
    /// Bits behind the prefix are set.
    #[error("`{text}` has bits set behind its prefix; write {meant}")]
    HostBits {
        /// The text.
        text: String,
        /// The range that it lies in.
        meant: IpNet,
    },
}

impl Cidr {
    /// Whether `address` lies in the range. An IPv4 address that is written as IPv6 (`::ffff:192.0.2.1`) is an IPv4
    /// address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// The range.
    #[must_use]
    pub fn net(&self) -> IpNet {
        self.0
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let net = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse().map_err(|_| CidrError::NotARange(text.to_owned()))?,
        };
        if net.addr() == net.network() {
            Ok(Self(net))
        } else {
            Err(CidrError::HostBits { text: text.to_owned(), meant: net.trunc() })
        }
    }
}

impl TryFrom<String> for Cidr {
    type Error = CidrError;

    fn try_from(text: String) -> Result<Self, CidrError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_the_addresses_behind_its_prefix() {
        for (range, address, expected) in [
            ("192.0.2.0/24", "192.0.2.7", true),
            ("192.0.2.0/24", "192.0.3.7", false),
            ("192.0.2.0/24", "::ffff:192.0.2.7", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
        ] {
            let range: Cidr = range.parse().expect("a range");
            assert_eq!(range.contains(address.parse().expect("an address")), expected, "{range} {address}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused_with_what_to_write() {
        for (text, words) in [
            ("example.com", "write it as"),
            ("192.0.2.7/24", "write 192.0.2.0/24"),
            ("1.2.3.4/40", "not a range"),
        ] {
            let error = text.parse::<Cidr>().expect_err("no range").to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
