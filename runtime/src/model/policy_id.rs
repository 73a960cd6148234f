//! Which policy: what verdicts, flow records and metrics call it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which policy. In their order, which is that in which rules are looked at, those of the cluster come first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PolicyId {
    /// Its kind.
    pub kind: PolicyKind,
    /// The namespace whose workloads it may select; `None`: its kind is of no namespace.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

impl PolicyId {
    /// An `EgressPolicy`.
    #[must_use]
    pub fn of_namespace(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: PolicyKind::EgressPolicy, namespace: Some(namespace.into()), name: name.into() }
    }

    /// A `ClusterEgressPolicy`.
    #[must_use]
    pub fn of_cluster(name: impl Into<String>) -> Self {
        Self { kind: PolicyKind::ClusterEgressPolicy, namespace: None, name: name.into() }
    }

    /// The policy of this kind; `namespace` is empty where the kind is of none.
    #[must_use]
    pub fn of(kind: PolicyKind, namespace: &str, name: impl Into<String>) -> Self {
        let namespace = (!kind.is_of_cluster()).then(|| namespace.to_owned());
        Self { kind, namespace, name: name.into() }
    }
}

/// `namespace/name`, or the name alone for a policy of the cluster: no name holds a `/`. Before those of Kubernetes' own kinds
/// stands their kind, and no name holds a space.
impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind.is_upstream() {
            write!(f, "{} ", self.kind.word())?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Reads what [`fmt::Display`] writes.
impl FromStr for PolicyId {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut upstream = PolicyKind::ALL.into_iter().filter(|kind| kind.is_upstream());
        let found =
            upstream.find_map(|kind| Some((kind, text.strip_prefix(kind.word())?.strip_prefix(' ')?)));
        let (kind, words) = match found {
            Some((kind, words)) => (Some(kind), words),
            None => (None, text),
        };
        let (namespace, name) = words.split_once('/').unwrap_or(("", words));
        let own = || match namespace {
            "" => PolicyKind::ClusterEgressPolicy,
            _ => PolicyKind::EgressPolicy,
        };
        Ok(Self::of(kind.unwrap_or_else(own), namespace, name))
    }
}

/// The kinds of policies, in the words of their files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PolicyKind {
    /// Of all workloads it selects, in any namespace.
    ClusterEgressPolicy,
    /// Of workloads of its own namespace.
    EgressPolicy,
    /// Of Kubernetes' network policy API, of workloads in any namespace.
    ClusterNetworkPolicy,
    /// Of Kubernetes, of workloads of its own namespace.
    NetworkPolicy,
}

impl PolicyKind {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::ClusterEgressPolicy, Self::EgressPolicy, Self::ClusterNetworkPolicy, Self::NetworkPolicy];

    /// What a file writes after `kind:`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ClusterEgressPolicy => "ClusterEgressPolicy",
            Self::EgressPolicy => "EgressPolicy",
            Self::ClusterNetworkPolicy => "ClusterNetworkPolicy",
            Self::NetworkPolicy => "NetworkPolicy",
        }
    }

    /// Whether it is of no namespace: the platform's, not a tenant's.
    #[must_use]
    pub const fn is_of_cluster(self) -> bool {
        matches!(self, Self::ClusterEgressPolicy | Self::ClusterNetworkPolicy)
    }

    /// Whether it is Kubernetes' own and not Egret's.
    #[must_use]
    pub const fn is_upstream(self) -> bool {
        matches!(self, Self::ClusterNetworkPolicy | Self::NetworkPolicy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_policy_is_called_says_which_it_is() {
        for (kind, namespace, words) in [
            (PolicyKind::EgressPolicy, "shop", "shop/web"),
            (PolicyKind::ClusterEgressPolicy, "", "web"),
            (PolicyKind::NetworkPolicy, "shop", "NetworkPolicy shop/web"),
            (PolicyKind::ClusterNetworkPolicy, "", "ClusterNetworkPolicy web"),
        ] {
            let id = PolicyId::of(kind, namespace, "web");
            assert_eq!(id.to_string(), words);
            assert_eq!(words.parse(), Ok(id));
        }
    }
}
