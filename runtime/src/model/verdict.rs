//! Verdicts and their reasons: the same words in YAML, command line, API and metrics.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It goes on.
    Allow,
    /// It is refused or dropped.
    Deny,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A flow that was allowed before goes on.
    Established,
    /// An answer to a connection that came from outside.
    Reply,
    /// A rule of a policy says so.
    Rule,
    /// A policy module says so.
    Module,
    /// No rule allows it, and the default is deny.
    DefaultDeny,
    /// No policy in force covers this destination: its mode is Observe, or it is outside its scope.
    NotEnforced,
    /// No policy selects the workload.
    Unmanaged,
    /// A rule allows the name, but the address was looked up too long ago.
    ExpiredName,
    /// The source address is not the workload's own.
    SpoofedSource,
    /// A DNS answer that no trusted resolver sent.
    ForgedAnswer,
    /// The packet cannot be read.
    Unparsed,
    /// Its verdict did not come in time.
    HeldTimeout,
    /// The workload is over one of its quotas.
    OverQuota,
    /// A kernel map is full.
    MapFull,
}

/// A destination's place, which `spec.scope` speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Everything that is neither of the cluster nor of the node.
    Internet,
    /// In `clusterRanges`.
    Cluster,
    /// In `nodeRanges`.
    Node,
}

/// An IP protocol, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP (IPv4); as a rule's protocol it means echo, in both families.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// SCTP.
    pub const SCTP: Self = Self(132);

    /// The protocol that a policy or a person names: `TCP`, `UDP`, `SCTP`, `ICMP`, in any case.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word.to_ascii_uppercase().as_str() {
            "TCP" => Some(Self::TCP),
            "UDP" => Some(Self::UDP),
            "SCTP" => Some(Self::SCTP),
            "ICMP" => Some(Self::ICMP),
            _ => None,
        }
    }

    /// Whether its packets carry ports.
    #[must_use]
    pub fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP | Self::SCTP)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TCP => f.pad("TCP"),
            Self::UDP => f.pad("UDP"),
            Self::SCTP => f.pad("SCTP"),
            Self::ICMP => f.pad("ICMP"),
            Self(number) => f.pad(&number.to_string()),
        }
    }
}

impl Serialize for Protocol {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Self::from_word(&word).or_else(|| word.parse().ok().map(Self)).ok_or_else(|| {
            serde::de::Error::custom(format!("`{word}` is not TCP, UDP, SCTP, ICMP or a number"))
        })
    }
}

macro_rules! word_by_serde {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let word = serde_json::to_value(self).map_err(|_| fmt::Error)?;
                f.pad(word.as_str().unwrap_or_default())
            }
        }
    )*};
}
word_by_serde!(Action, Reason, Kind);

/// What was decided, why, and by what.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Verdict {
    /// Allow or deny.
    pub action: Action,
    /// The one word of why.
    pub reason: Reason,
    /// The rule's name, or `allow[0]`; `dns` for the implied rule of trusted resolvers; `module/NAME` for a module.
    pub rule: Option<String>,
    /// The policy, as `namespace/name`.
    pub policy: Option<String>,
    /// The policy module.
    pub module: Option<String>,
    /// What the module says of it: why it denied, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Verdict {
    /// A verdict that no rule or module gave.
    pub fn of(action: Action, reason: Reason) -> Self {
        Self { action, reason, rule: None, policy: None, module: None, message: None }
    }
}

/// The two verdicts of every flow.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Verdicts {
    /// By the policies that are in mode Enforce: what happened.
    pub applied: Verdict,
    /// As if every policy were in mode Enforce.
    pub observed: Verdict,
}
