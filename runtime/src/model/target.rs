//! Where rules lead: what they name, and what of the cluster that comes to.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{Namespace, Pattern, PortRange, Protocol, Selector};

/// One place a rule names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Addresses that the workload's own trusted look-ups gave for a matching name.
    Fqdn(Pattern),
    /// Addresses in a range.
    Cidr(IpNet),
    /// A service of the cluster: its own addresses on its ports, and its endpoints on theirs.
    Service(ServiceName),
    /// Pods of the cluster, by labels.
    Pods(PodsOf),
    /// Addresses in a range without some; of a NetworkPolicy only.
    Block(Block),
    /// A port of pods that these call by a name, whatever the ports of the rule; of policies of Kubernetes only.
    PodPort(PodsOf, NamedPort),
    /// Nodes of the cluster, by labels; of policies of Kubernetes only.
    Nodes(Selector),
}

impl Target {
    /// Whether what it comes to has to be looked for in the cluster.
    #[must_use]
    pub fn is_of_cluster(&self) -> bool {
        matches!(self, Self::Service(_) | Self::Pods(_) | Self::PodPort(..) | Self::Nodes(_))
    }
}

/// As a sentence names it.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fqdn(pattern) => pattern.fmt(f),
            Self::Cidr(range) => range.fmt(f),
            Self::Service(service) => write!(f, "service {service}"),
            Self::Pods(pods) => pods.fmt(f),
            Self::Block(block) => block.fmt(f),
            Self::Nodes(nodes) if nodes.is_everything() => f.write_str("all nodes"),
            Self::Nodes(nodes) => write!(f, "nodes `{nodes}`"),
            Self::PodPort(pods, port) => write!(f, "port `{}` of {pods}", port.name),
        }
    }
}

/// A range without some ranges in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// The range.
    pub range: IpNet,
    /// What of it is left out.
    pub except: Vec<IpNet>,
}

impl Block {
    /// Whether `address` is in it.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        self.range.contains(&address) && !self.except.iter().any(|except| except.contains(&address))
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.range.fmt(f)?;
        for (place, except) in self.except.iter().enumerate() {
            write!(f, "{}{except}", if place == 0 { " without " } else { " and " })?;
        }
        Ok(())
    }
}

/// A port by the name that containers give it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// Its protocol; `None`: any.
    pub protocol: Option<Protocol>,
    /// Its name.
    pub name: String,
}

/// A service of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// `namespace/name`.
impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Pods of some namespaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodsOf {
    /// Of which namespaces.
    pub namespaces: Namespaces,
    /// Which of their pods.
    pub pods: Selector,
}

/// Some namespaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespaces {
    /// The one of this name.
    One(String),
    /// Those with such labels.
    Selected(Selector),
}

impl Namespaces {
    /// Whether `namespace` is one of them.
    #[must_use]
    pub fn hold(&self, namespace: &Namespace) -> bool {
        match self {
            Self::One(name) => *name == namespace.name,
            Self::Selected(selector) => selector.matches(&namespace.labels),
        }
    }
}

impl fmt::Display for PodsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pods.is_everything() {
            true => f.write_str("all pods")?,
            false => write!(f, "pods `{}`", self.pods)?,
        }
        match &self.namespaces {
            Namespaces::One(name) => write!(f, " of namespace {name}"),
            Namespaces::Selected(selector) if selector.is_everything() => f.write_str(" of all namespaces"),
            Namespaces::Selected(selector) => write!(f, " of namespaces `{selector}`"),
        }
    }
}

/// What the destinations of a rule that are in the cluster come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Found {
    /// Where they are.
    pub spots: Vec<Spot>,
    /// Of a rule of Kubernetes: addresses of services of which it covers some of what is behind them, and not all.
    pub partly: Vec<Spot>,
    /// What of them is not as whoever wrote the rule most likely thinks.
    pub notes: Vec<String>,
}

/// Addresses, and on which ports a rule means them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spot {
    /// Sorted, each once.
    pub addresses: Arc<[IpAddr]>,
    /// As of a rule; empty: every IP protocol.
    pub ports: Vec<PortRange>,
}

impl Spot {
    /// Whether `address` is one of its own.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        self.addresses.binary_search(&address).is_ok()
    }

    /// Its addresses, each as a range.
    #[must_use]
    pub fn ranges(&self) -> Vec<IpNet> {
        self.addresses.iter().map(|address| (*address).into()).collect()
    }
}
