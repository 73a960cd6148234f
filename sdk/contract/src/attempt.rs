//! What a module is asked about.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// The first packet of a flow that waits for a decision. What the module does not declare as an input is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Who tries to connect.
    pub workload: Workload,
    /// Where to.
    pub destination: Destination,
    /// When: milliseconds since 1970-01-01 UTC.
    pub time: u64,
}

/// Who tries to connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its service account; empty where it has none.
    pub service_account: String,
    /// The node it runs on.
    pub node: String,
}

impl Workload {
    /// What the label `key` says.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }
}

/// Where a workload tries to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The address.
    pub address: IpAddr,
    /// The port dialled; 0 for a protocol without ports.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// The names by which the workload's own look-ups led to the address, the latest first; in lower case and without a
    /// closing dot.
    pub names: Vec<String>,
}

impl Default for Destination {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 0,
            protocol: Protocol::Other(0),
            names: Vec::new(),
        }
    }
}

/// An IP protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// ICMP echo, of both families.
    Icmp,
    /// Another one, by its number.
    Other(u8),
}

impl Protocol {
    /// Its number; ICMP echo of both families is 1.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
            Self::Icmp => 1,
            Self::Other(number) => number,
        }
    }
}

impl From<u8> for Protocol {
    fn from(number: u8) -> Self {
        match number {
            6 => Self::Tcp,
            17 => Self::Udp,
            132 => Self::Sctp,
            1 | 58 => Self::Icmp,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.pad("TCP"),
            Self::Udp => f.pad("UDP"),
            Self::Sctp => f.pad("SCTP"),
            Self::Icmp => f.pad("ICMP"),
            Self::Other(number) => f.pad(&number.to_string()),
        }
    }
}

impl From<Protocol> for String {
    fn from(protocol: Protocol) -> Self {
        protocol.to_string()
    }
}

impl TryFrom<String> for Protocol {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.to_ascii_uppercase().as_str() {
            "TCP" => Ok(Self::Tcp),
            "UDP" => Ok(Self::Udp),
            "SCTP" => Ok(Self::Sctp),
            "ICMP" => Ok(Self::Icmp),
            other => other
                .parse::<u8>()
                .map(Self::from)
                .map_err(|_| format!("`{word}` is not TCP, UDP, SCTP, ICMP or a number")),
        }
    }
}
