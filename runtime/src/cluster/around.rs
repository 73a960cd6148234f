//! Services, pods and nodes of the whole cluster, as far as policies name them: what of their objects counts, and what is known. Pure.
//!
//! Nothing is kept that no policy needs, and of pods elsewhere and nodes labels and addresses alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{
    Node as NodeObject, Pod as PodObject, Service as ServiceObject, ServicePort as PortObject,
};

use super::behind::{Behind, Piece};
use super::mirror::{Key, Mirror, Told};
use super::pods::Pod;
use crate::model::{Labels, PolicyId, Protocol};
use crate::policy::{Accepted, Neighbours, NodeAddresses, PodAddresses, Selected, Service, ServicePort};

/// What is followed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Services, and what is behind them.
    Services,
    /// Pods.
    Pods,
    /// Nodes.
    Nodes,
}

impl Part {
    const ALL: [Self; 3] = [Self::Services, Self::Pods, Self::Nodes];
}

/// From when on something was followed: what was told before counts no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Round(u64);

/// Something that was told.
#[derive(Debug)]
pub(super) enum Heard {
    Service(Told<Service>),
    Behind(Told<Piece>),
    Pod(Told<PodAddresses>),
    Node(Told<NodeAddresses>),
}

impl Heard {
    fn part(&self) -> Part {
        match self {
            Self::Service(_) | Self::Behind(_) => Part::Services,
            Self::Pod(_) => Part::Pods,
            Self::Node(_) => Part::Nodes,
        }
    }
}

/// What is known.
#[derive(Default)]
pub(super) struct Around {
    services: Mirror<Service>,
    behind: Behind,
    pods: Mirror<PodAddresses>,
    nodes: Mirror<NodeAddresses>,
    selected: Selected,
    rounds: u64,
    /// The round of each part, where it is followed.
    now: [Option<Round>; 3],
}

impl Around {
    /// Begins to follow `part`: of what is told from now on only what is of this round counts.
    pub fn begin(&mut self, part: Part) -> Round {
        self.rounds += 1;
        self.set(part, Some(Round(self.rounds)));
        Round(self.rounds)
    }

    /// Forgets `part`.
    pub fn end(&mut self, part: Part) {
        self.set(part, None);
    }

    fn set(&mut self, part: Part, round: Option<Round>) {
        match part {
            Part::Services => {
                (self.services, self.behind) = (Mirror::default(), Behind::default());
            }
            Part::Pods => {
                self.pods = Mirror::default();
                self.selected.forget_all();
            }
            Part::Nodes => self.nodes = Mirror::default(),
        }
        self.now[part as usize] = round;
    }

    /// Takes it in; whether what policies lead to may be different now. `namespaces`: their labels, by name.
    pub fn take(&mut self, round: Round, heard: Heard, namespaces: &BTreeMap<Key, Labels>) -> bool {
        let part = heard.part();
        if self.now[part as usize] != Some(round) {
            return false;
        }
        let is_news = match heard {
            Heard::Service(told) => self.services.take(told),
            Heard::Behind(told) => self.behind.take(told),
            Heard::Pod(told) => {
                self.forget_selected(&told, namespaces);
                self.pods.take(told)
            }
            Heard::Node(told) => self.nodes.take(told),
        };
        is_news && self.is_whole(part)
    }

    fn is_whole(&self, part: Part) -> bool {
        match part {
            Part::Services => self.services.is_whole() && self.behind.is_whole(),
            Part::Pods => self.pods.is_whole(),
            Part::Nodes => self.nodes.is_whole(),
        }
    }

    /// Whether nothing is missing of what is followed.
    pub fn is_complete(&self) -> bool {
        Part::ALL.into_iter().all(|part| self.now[part as usize].is_none() || self.is_whole(part))
    }

    /// Forgets which pods were selected by what may be another selection once this was taken in.
    fn forget_selected(&mut self, told: &Told<PodAddresses>, namespaces: &BTreeMap<Key, Labels>) {
        let (key, new) = match told {
            Told::Changed(key, pod) => (key, Some(pod)),
            Told::Gone(key) => (key, None),
            Told::Whole => return self.selected.forget_all(),
            Told::Begun | Told::Listed(..) => return,
        };
        for pod in self.pods.all().get(key).into_iter().chain(new) {
            self.selected.forget_pod(&key.0, &pod.labels, namespaces);
        }
    }

    /// Namespaces are others, or have other labels.
    pub fn namespaces_changed(&mut self) {
        self.selected.forget_all();
    }

    /// Looks up what `accepted` names; the policies that lead elsewhere now. `namespaces`: their labels, by name.
    pub fn look_up(
        &mut self,
        accepted: &mut Accepted,
        namespaces: &BTreeMap<Key, Labels>,
    ) -> BTreeSet<PolicyId> {
        let (services, pods) = (self.is_whole(Part::Services), self.is_whole(Part::Pods));
        let known = Neighbours {
            services: services.then(|| self.services.all()),
            endpoints: services.then(|| self.behind.all()),
            pods: pods.then(|| self.pods.all()),
            nodes: self.is_whole(Part::Nodes).then(|| self.nodes.all()),
            namespaces,
        };
        accepted.look_up(known, &mut self.selected)
    }
}

/// What counts of a service.
pub(super) fn service(object: ServiceObject) -> Service {
    let spec = object.spec.unwrap_or_default();
    let is_external = spec.type_.as_deref() == Some("ExternalName");
    let external = spec.external_name.filter(|_| is_external);
    let ports = spec.ports.unwrap_or_default().into_iter().filter_map(|object| {
        let PortObject { name, protocol, port, .. } = object;
        service_port(name, protocol.as_deref(), port)
    });
    // That of a headless one is `None`.
    let all = spec.cluster_ips.unwrap_or_default().into_iter().chain(spec.cluster_ip);
    Service { addresses: addresses(all), ports: ports.collect(), external }
}

/// What counts of a pod that others may reach. One in the node's network namespace has the node's addresses, which are not its
/// own; those of one that has ended are another's soon. `with_ports`: the names of its ports count as well.
pub(super) fn pod(object: PodObject, with_ports: bool) -> PodAddresses {
    let ports = if with_ports { named_ports(&object) } else { Vec::new() };
    let pod = Pod::of(object);
    let is_reached = !pod.is_of_node && !pod.has_ended;
    let addresses = if is_reached { pod.addresses } else { Vec::new() };
    PodAddresses { labels: pod.labels, addresses, ports }
}

/// What counts of a node.
pub(super) fn node(object: NodeObject) -> NodeAddresses {
    let all = object.status.and_then(|status| status.addresses).unwrap_or_default();
    // Its name is among them.
    let told = all.into_iter().map(|told| told.address);
    NodeAddresses { labels: object.metadata.labels.unwrap_or_default(), addresses: addresses(told) }
}

fn named_ports(object: &PodObject) -> Vec<ServicePort> {
    let containers = object.spec.iter().flat_map(|spec| &spec.containers);
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    let named = ports.filter(|port| port.name.is_some());
    named
        .filter_map(|port| service_port(port.name.clone(), port.protocol.as_deref(), port.container_port))
        .collect()
}

pub(super) fn service_port(name: Option<String>, protocol: Option<&str>, port: i32) -> Option<ServicePort> {
    let protocol = protocol.map_or(Some(Protocol::TCP), Protocol::from_word)?;
    let port = u16::try_from(port).ok().filter(|port| *port > 0)?;
    Some(ServicePort { name: name.unwrap_or_default(), protocol, port })
}

pub(super) fn addresses(texts: impl Iterator<Item = String>) -> Vec<IpAddr> {
    let found: BTreeSet<IpAddr> = texts.filter_map(|text| text.parse().ok()).collect();
    found.into_iter().collect()
}

#[cfg(test)]
#[path = "around_tests.rs"]
mod tests;
