//! Workloads: who sends.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

/// Labels of a workload or a namespace.
pub type Labels = BTreeMap<String, String>;

/// Which workload: `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkloadId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for WorkloadId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err(format!("`{text}` is not a workload; write it as namespace/name")),
        }
    }
}

/// The label that every namespace has, with its name as the value.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Addresses of one link, fe80::/10: whose they are depends on the link.
pub const LINK_LOCAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);

/// A namespace and its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its labels, [`NAMESPACE_NAME`] among them.
    pub labels: Labels,
}

impl Namespace {
    /// With `labels`, and the one that every namespace has.
    #[must_use]
    pub fn new(name: String, mut labels: Labels) -> Self {
        labels.insert(NAMESPACE_NAME.to_owned(), name.clone());
        Self { name, labels }
    }
}

/// How a workload is found on this node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Its network namespace: a name under `/run/netns`, or a path.
    Netns(String),
    /// The host side of its interface pair.
    Interface(String),
    /// The control group of a workload in the node's own network namespace: a path below the mount of cgroup v2, or the
    /// UID of a pod.
    Cgroup(String),
    /// It cannot be, and this is why.
    Nowhere(String),
}

/// A workload as the operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its namespace and name.
    pub id: WorkloadId,
    /// Its labels.
    pub labels: Labels,
    /// Its service account.
    pub service_account: Option<String>,
    /// How to find it.
    pub place: Place,
    /// Its own addresses; empty: read and followed in its namespace.
    pub addresses: Vec<IpAddr>,
    /// The resolvers it may learn from; `None`: the node's rule decides (see `workloads`).
    pub resolvers: Option<Vec<IpAddr>>,
}

/// Whether every packet of a workload passes the hooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Coverage {
    /// It does.
    Covered,
    /// It is in the node's own network namespace, and is judged at its sockets.
    Sockets {
        /// What is not seen there.
        unseen: String,
    },
    /// It does not.
    NotCovered {
        /// Why not, and what to do about it.
        reason: String,
    },
}
