//! Policies after they were read and found good.

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Found, Kind, Labels, ModuleUse, Namespace, PolicyId, Protocol, Selector, Target, Upstream};

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

/// What the default deny covers, and of what modules are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Destinations of kind internet.
    Internet,
    /// Every destination.
    All,
}

impl Scope {
    /// Whether destinations of `kind` are in it.
    #[must_use]
    pub fn covers(self, kind: Kind) -> bool {
        self == Self::All || kind == Kind::Internet
    }
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
    /// Where to; empty only in policies of Kubernetes, and then it covers nothing.
    pub to: Vec<Target>,
    /// On which ports, the ones dialled; empty: every IP protocol, of a service every port that it has.
    pub ports: Vec<PortRange>,
    /// Where it was written.
    pub origin: Origin,
    /// What its destinations in the cluster come to; `None`: nobody knows yet, or it names none.
    pub found: Option<Found>,
}

impl Rule {
    /// Whether it names destinations in the cluster.
    #[must_use]
    pub fn names_cluster(&self) -> bool {
        self.to.iter().any(Target::is_of_cluster)
    }

    /// Whether it names destinations in the cluster, and what these come to is not known yet.
    #[must_use]
    pub fn is_awaiting(&self) -> bool {
        self.found.is_none() && self.names_cluster()
    }

    /// What of its destinations in the cluster is not as whoever wrote it most likely thinks.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        match &self.found {
            Some(found) => found.notes.clone(),
            None if self.names_cluster() => vec!["what it names in the cluster is not known yet".to_owned()],
            None => Vec::new(),
        }
    }
}

/// What all allows below it are intersected with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ceiling {
    /// What it lets pass, any of these; none: no allow below it counts.
    pub entries: Vec<Rule>,
    /// Where it was written.
    pub origin: Origin,
}

/// A policy that was accepted: an `EgressPolicy` or `ClusterEgressPolicy`, or one of Kubernetes ([`Policy::upstream`]), which
/// has rules of its own and nothing of what is Egret's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Its kind, namespace and name.
    pub id: PolicyId,
    /// Where it was written.
    pub origin: Origin,
    /// Which namespaces; asked of a policy of the cluster only.
    pub namespace_selector: Selector,
    /// Which workloads of its namespace, or of the namespaces selected.
    pub pod_selector: Selector,
    /// In force or only reported.
    pub mode: Mode,
    /// What its default deny covers, and of what its modules are asked.
    pub scope: Scope,
    /// What a denied packet's sender sees.
    pub on_deny: OnDeny,
    /// `default: Deny` was written out.
    pub default_deny: bool,
    /// What is allowed.
    pub allow: Vec<Rule>,
    /// What is denied whatever is allowed; no names.
    pub deny: Vec<Rule>,
    /// Of a policy of the cluster: what the allows of namespaces are intersected with.
    pub ceiling: Option<Ceiling>,
    /// Which modules are asked, in this order.
    pub modules: Vec<ModuleUse>,
    /// Of a policy of Kubernetes: what it says.
    pub upstream: Option<Upstream>,
}

impl Policy {
    /// Whether this policy makes its subjects default-deny: it has allow rules or a ceiling, or says `default: Deny`.
    /// One that only denies, by rules or by modules, does not.
    #[must_use]
    pub fn denies_by_default(&self) -> bool {
        self.default_deny || !self.allow.is_empty() || self.ceiling.is_some()
    }

    /// Its rules, and the entries of its ceiling.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        let entries = self.ceiling.iter().flat_map(|ceiling| &ceiling.entries);
        let upstream = self.upstream.iter().flat_map(|upstream| &upstream.rules);
        self.allow.iter().chain(&self.deny).chain(entries).chain(upstream.map(|upstream| &upstream.rule))
    }

    /// The same, to be changed.
    pub fn rules_mut(&mut self) -> impl Iterator<Item = &mut Rule> {
        let entries = self.ceiling.iter_mut().flat_map(|ceiling| &mut ceiling.entries);
        let upstream = self.upstream.iter_mut().flat_map(|upstream| &mut upstream.rules);
        let upstream = upstream.map(|upstream| &mut upstream.rule);
        self.allow.iter_mut().chain(&mut self.deny).chain(entries).chain(upstream)
    }

    /// Whether it speaks of a workload of `namespace` with `labels`.
    #[must_use]
    pub fn selects(&self, namespace: &Namespace, labels: &Labels) -> bool {
        let of_namespace = match &self.id.namespace {
            Some(own) => *own == namespace.name,
            None => self.namespace_selector.matches(&namespace.labels),
        };
        of_namespace && self.pod_selector.matches(labels)
    }
}
