//! Policies after they were read and found good.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Pattern, Protocol};

/// Which policy: its namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PolicyId {
    /// The namespace whose workloads it may select.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Where a person wrote a thing. Lines and columns start at 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The file, as it was given.
    pub file: Arc<str>,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// Whether a policy's verdict happens or is only reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Reported only.
    Observe,
    /// In force.
    Enforce,
}

/// What the default deny covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Destinations of kind internet.
    Internet,
    /// Every destination.
    All,
}

/// What a denied packet's sender sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OnDeny {
    /// A refusal at once: TCP reset, ICMP port unreachable.
    #[default]
    Reject,
    /// Silence.
    Drop,
}

/// Labels that a workload must carry, all of them; empty selects every workload of the namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    /// Label to value.
    pub match_labels: BTreeMap<String, String>,
}

impl Selector {
    /// Whether `labels` carries all that is asked for.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// One place a rule names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Addresses that the workload's own trusted look-ups gave for a matching name.
    Fqdn(Pattern),
    /// Addresses in a range.
    Cidr(IpNet),
}

/// Ports of one protocol, or all of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// The protocol.
    pub protocol: Protocol,
    /// The ports dialled; `None`: all of them, and the protocols that have none.
    pub ports: Option<RangeInclusive<u16>>,
}

/// One entry of `allow` or `deny`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Its name, or `allow[0]` by its place.
    pub name: String,
    /// Where to; never empty.
    pub to: Vec<Target>,
    /// On which ports; empty: every IP protocol.
    pub ports: Vec<PortRange>,
    /// Where it was written.
    pub origin: Origin,
}

/// An `EgressPolicy` that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EgressPolicy {
    /// Its namespace and name.
    pub id: PolicyId,
    /// Where it was written.
    pub origin: Origin,
    /// Which workloads of its namespace.
    pub pod_selector: Selector,
    /// In force or only reported.
    pub mode: Mode,
    /// What its default deny covers.
    pub scope: Scope,
    /// What a denied packet's sender sees.
    pub on_deny: OnDeny,
    /// `default: Deny` was written out.
    pub default_deny: bool,
    /// What is allowed.
    pub allow: Vec<Rule>,
    /// What is denied whatever is allowed; addresses only.
    pub deny: Vec<Rule>,
}

impl EgressPolicy {
    /// Whether this policy makes its subjects default-deny: it has allow rules, or says `default: Deny`. One with
    /// only deny rules does not.
    #[must_use]
    pub fn denies_by_default(&self) -> bool {
        self.default_deny || !self.allow.is_empty()
    }

    /// Whether it speaks of a workload of `namespace` with `labels`.
    #[must_use]
    pub fn selects(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.id.namespace == namespace && self.pod_selector.matches(labels)
    }
}
