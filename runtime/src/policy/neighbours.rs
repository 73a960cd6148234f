//! What the destinations of a policy that are in the cluster come to: services and pods to addresses and ports. Pure.
//!
//! In: what is known of the cluster ([`Neighbours`]). Out: [`Found`], in each rule that names such destinations. Called for
//! whatever changes in either; the compiler and the evaluator know addresses and ports only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::behind::Behind;
use crate::model::{
    Found, Labels, NamedPort, Namespace, Namespaces, PodsOf, Policy, PortRange, Protocol, Rule, Selector,
    ServiceName, Spot, Target,
};

/// What an object of Kubernetes is called: its namespace, empty where it is of none, and its name.
pub type ObjectName = (String, String);

/// What is known of the cluster; `None`: nothing yet, or not all of it.
#[derive(Clone, Copy, Debug)]
pub struct Neighbours<'a> {
    /// Its services.
    pub services: Option<&'a BTreeMap<ObjectName, Service>>,
    /// What is behind these, by the same names.
    pub endpoints: Option<&'a BTreeMap<ObjectName, Endpoints>>,
    /// The addresses of its pods.
    pub pods: Option<&'a BTreeMap<ObjectName, PodAddresses>>,
    /// The addresses of its nodes.
    pub nodes: Option<&'a BTreeMap<ObjectName, NodeAddresses>>,
    /// The labels of its namespaces.
    pub namespaces: &'a BTreeMap<ObjectName, Labels>,
}

/// The addresses of pods by what selects them: whatever is selected again and again is looked for once, until a pod that it is
/// about changes.
#[derive(Debug, Default)]
pub struct Selected(BTreeMap<PodsOf, Arc<[IpAddr]>>);

impl Selected {
    /// Forgets what a pod of `namespace` with `labels` may be part of. `namespaces`: the labels of all of them.
    pub fn forget_pod(
        &mut self,
        namespace: &str,
        labels: &Labels,
        namespaces: &BTreeMap<ObjectName, Labels>,
    ) {
        let own = namespaces.get(&(String::new(), namespace.to_owned())).cloned().unwrap_or_default();
        let own = Namespace::new(namespace.to_owned(), own);
        self.0.retain(|wanted, _| !(wanted.namespaces.hold(&own) && wanted.pods.matches(labels)));
    }

    /// Forgets all of it: namespaces are others, or pods that nobody names.
    pub fn forget_all(&mut self) {
        self.0.clear();
    }
}

/// Of which kinds something is to be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Services, and what is behind them.
    pub services: bool,
    /// Pods.
    pub pods: bool,
    /// The named ports of pods as well.
    pub pod_ports: bool,
    /// Nodes.
    pub nodes: bool,
}

/// What counts of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Its own addresses; none of a headless one.
    pub addresses: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// The name of somebody else that it stands for.
    pub external: Option<String>,
}

/// A port of a service, or of what is behind it: the same name and protocol make them one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServicePort {
    /// Its name; empty where the service has one port only.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub port: u16,
}

/// What is behind a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Addresses that are ready, and on which ports.
    pub groups: Vec<(Vec<IpAddr>, Vec<ServicePort>)>,
    /// There are more than the API server tells.
    pub has_more: bool,
}

/// What counts of a pod that others may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodAddresses {
    /// Its labels.
    pub labels: Labels,
    /// Its own addresses; none where it has ended, or has those of its node.
    pub addresses: Vec<IpAddr>,
    /// The ports that its containers have names for, where some policy names such.
    pub ports: Vec<ServicePort>,
}

/// What counts of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeAddresses {
    /// Its labels.
    pub labels: Labels,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

impl Wanted {
    /// What the destinations of `policies` need to be known.
    pub fn by<'p>(policies: impl Iterator<Item = &'p Policy>) -> Self {
        let mut wanted = Self::default();
        for policy in policies {
            for target in policy.rules().flat_map(|rule| &rule.to) {
                let is_of_pods = matches!(target, Target::Pods(_) | Target::PodPort(..));
                // A policy of Kubernetes that covers pods or nodes covers services that lead to them.
                wanted.services |= matches!(target, Target::Service(_))
                    || target.is_of_cluster() && policy.upstream.is_some();
                wanted.nodes |= matches!(target, Target::Nodes(_));
                wanted.pods |= is_of_pods;
                wanted.pod_ports |= matches!(target, Target::PodPort(..));
            }
        }
        wanted
    }
}

/// Looks up what rules name, each selection of pods once.
pub(super) struct Finder<'a> {
    known: Neighbours<'a>,
    namespaces: Vec<Namespace>,
    selected: &'a mut Selected,
    used: BTreeSet<PodsOf>,
    behind: Option<Behind<'a>>,
}

impl<'a> Finder<'a> {
    pub fn new(known: Neighbours<'a>, selected: &'a mut Selected) -> Self {
        let namespaces = known.namespaces.iter();
        let namespaces = namespaces.map(|((_, name), labels)| Namespace::new(name.clone(), labels.clone()));
        Self { known, namespaces: namespaces.collect(), selected, used: BTreeSet::new(), behind: None }
    }

    /// Forgets what no rule asked for.
    pub fn end(self) {
        self.selected.0.retain(|pods, _| self.used.contains(pods));
    }

    /// What the destinations of `rule` in the cluster come to; `None`: it names none, or not all is known that it takes.
    pub fn find(&mut self, rule: &Rule) -> Option<Found> {
        if !rule.names_cluster() {
            return None;
        }
        let mut found = Found::default();
        for target in &rule.to {
            match target {
                Target::Service(service) => self.service(service, &rule.ports, &mut found)?,
                Target::Pods(pods) => self.pods(pods, &rule.ports, &mut found)?,
                Target::PodPort(pods, port) => self.pod_port(pods, port, &mut found)?,
                Target::Nodes(nodes) => self.nodes(nodes, &rule.ports, &mut found)?,
                Target::Fqdn(_) | Target::Cidr(_) | Target::Block(_) => {}
            }
        }
        Some(found)
    }

    /// The same for a rule of Kubernetes: where it covers pods or nodes, services that lead to them as well.
    pub fn find_upstream(&mut self, rule: &Rule) -> Option<Found> {
        let found = self.find(rule)?;
        let (services, endpoints) = (self.known.services?, self.known.endpoints?);
        let behind = self.behind.get_or_insert_with(|| Behind::new(services, endpoints));
        Some(behind.covered(rule, found))
    }

    fn nodes(&self, nodes: &Selector, ports: &[PortRange], found: &mut Found) -> Option<()> {
        let selected = self.known.nodes?.values().filter(|node| nodes.matches(&node.labels));
        let addresses = sorted(selected.flat_map(|node| node.addresses.iter().copied()).collect());
        if addresses.is_empty() {
            found.notes.push(format!("there are no nodes `{nodes}`"));
        } else {
            found.spots.push(Spot { addresses, ports: ports.to_vec() });
        }
        Some(())
    }

    fn pod_port(&mut self, pods: &PodsOf, named: &NamedPort, found: &mut Found) -> Option<()> {
        let all = selected_pods(pods, self.known.pods?, &self.namespaces);
        let is_it = |port: &&ServicePort| {
            port.name == named.name && named.protocol.is_none_or(|protocol| protocol == port.protocol)
        };
        let there = all.flat_map(|pod| {
            let ports = pod.ports.iter().filter(is_it);
            ports.map(|port| (pod.addresses.clone(), port.range()))
        });
        let there = spots(there);
        if there.is_empty() {
            found.notes.push(format!("there are no {pods} that have a port `{}`", named.name));
        }
        found.spots.extend(there);
        Some(())
    }

    fn pods(&mut self, pods: &PodsOf, ports: &[PortRange], found: &mut Found) -> Option<()> {
        let all = self.known.pods?;
        if self.used.insert(pods.clone()) && !self.selected.0.contains_key(pods) {
            self.selected.0.insert(pods.clone(), select(pods, all, &self.namespaces));
        }
        let addresses = self.selected.0.get(pods)?.clone();
        if addresses.is_empty() {
            found.notes.push(format!("there are no {}", pods.to_string().trim_start_matches("all ")));
        } else {
            found.spots.push(Spot { addresses, ports: ports.to_vec() });
        }
        Some(())
    }

    fn service(&self, named: &ServiceName, wanted: &[PortRange], found: &mut Found) -> Option<()> {
        let (services, endpoints) = (self.known.services?, self.known.endpoints?);
        let key = (named.namespace.clone(), named.name.clone());
        let Some(service) = services.get(&key) else {
            found.notes.push(format!("service {named} is not there"));
            return Some(());
        };
        if let Some(name) = &service.external {
            found.notes.push(format!("service {named} stands for the name {name}: write `fqdn: {name}`"));
            return Some(());
        }
        let dialled: Vec<_> = service.ports.iter().filter(|port| is_wanted(port, wanted)).collect();
        if dialled.is_empty() {
            found.notes.push(match &service.ports[..] {
                [] => format!("service {named} has no ports"),
                ports => format!("service {named} has other ports: {}", listed(ports)),
            });
            return Some(());
        }
        let own: Vec<_> = dialled.iter().map(|port| (service.addresses.clone(), port.range())).collect();
        let nothing = Endpoints::default();
        let behind = endpoints.get(&key).unwrap_or(&nothing);
        let targets: Vec<_> = dialled.iter().flat_map(|port| behind.of(port)).collect();
        if targets.is_empty() {
            found.notes.push(format!("nothing behind service {named} is ready"));
        } else if behind.has_more {
            found.notes.push(format!("Kubernetes does not tell all that is behind service {named}"));
        }
        found.spots.extend(spots(own.into_iter().chain(targets)));
        Some(())
    }
}

impl ServicePort {
    pub(super) fn range(&self) -> PortRange {
        PortRange { protocol: self.protocol, ports: Some(self.port..=self.port) }
    }
}

impl Endpoints {
    /// Where `port` of the service is answered.
    pub(super) fn of(&self, port: &ServicePort) -> impl Iterator<Item = (Vec<IpAddr>, PortRange)> {
        self.groups.iter().flat_map(move |(addresses, ports)| {
            let same = ports.iter().filter(|own| own.name == port.name && own.protocol == port.protocol);
            same.map(|own| (addresses.clone(), own.range()))
        })
    }
}

/// Whether a rule that names `wanted` means `port` of a service.
fn is_wanted(port: &ServicePort, wanted: &[PortRange]) -> bool {
    let is_in = |range: &PortRange| {
        range.protocol == port.protocol && range.ports.as_ref().is_none_or(|ports| ports.contains(&port.port))
    };
    wanted.is_empty() || wanted.iter().any(is_in)
}

fn listed(ports: &[ServicePort]) -> String {
    let all: Vec<_> = ports.iter().map(|port| format!("{} {}", port.protocol, port.port)).collect();
    all.join(", ")
}

/// The same port once, with all of its addresses.
fn spots(all: impl Iterator<Item = (Vec<IpAddr>, PortRange)>) -> Vec<Spot> {
    let mut by_port: BTreeMap<(Protocol, u16), Vec<IpAddr>> = BTreeMap::new();
    for (addresses, range) in all {
        let port = range.ports.as_ref().map_or(0, |ports| *ports.start());
        by_port.entry((range.protocol, port)).or_default().extend(addresses);
    }
    let filled = by_port.into_iter().filter(|(_, addresses)| !addresses.is_empty());
    let spot = |((protocol, port), addresses)| Spot {
        addresses: sorted(addresses),
        ports: vec![PortRange { protocol, ports: Some(port..=port) }],
    };
    filled.map(spot).collect()
}

fn sorted(mut addresses: Vec<IpAddr>) -> Arc<[IpAddr]> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses.into()
}

/// The addresses of the pods that `wanted` selects.
fn select(
    wanted: &PodsOf,
    all: &BTreeMap<ObjectName, PodAddresses>,
    namespaces: &[Namespace],
) -> Arc<[IpAddr]> {
    let pods = selected_pods(wanted, all, namespaces);
    sorted(pods.flat_map(|pod| pod.addresses.iter().copied()).collect())
}

/// The pods that `wanted` selects.
fn selected_pods<'p>(
    wanted: &'p PodsOf,
    all: &'p BTreeMap<ObjectName, PodAddresses>,
    namespaces: &'p [Namespace],
) -> impl Iterator<Item = &'p PodAddresses> {
    let names: Vec<&str> = match &wanted.namespaces {
        Namespaces::One(name) => vec![name],
        selected @ Namespaces::Selected(_) => {
            let selected = namespaces.iter().filter(|namespace| selected.hold(namespace));
            selected.map(|namespace| namespace.name.as_str()).collect()
        }
    };
    let of = move |name: &str| {
        let name = name.to_owned();
        let from = all.range((name.clone(), String::new())..);
        from.take_while(move |((namespace, _), _)| *namespace == name).map(|(_, pod)| pod)
    };
    names.into_iter().flat_map(of).filter(|pod| wanted.pods.matches(&pod.labels))
}
