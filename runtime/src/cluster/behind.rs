//! What is behind services: read from `EndpointSlice` where the API server has it, and from `Endpoints` where not. Pure.
//!
//! Of a service there are many slices. They are kept as they are told, and what they say together by their service.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints as EndpointsObject,
};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort as SlicePort, EndpointSlice};

use super::around::{addresses, service_port};
use super::mirror::{Key, Mirror, Told};
use crate::policy::{Endpoints, ServicePort};

/// The label of a slice that names its service.
const SERVICE: &str = "kubernetes.io/service-name";
/// The annotation that Kubernetes puts on `Endpoints` that do not tell all.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

/// A part of what is behind a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    /// The service, of the same namespace; empty: of none.
    service: String,
    endpoints: Endpoints,
}

/// What is behind all services.
#[derive(Default)]
pub(super) struct Behind {
    pieces: Mirror<Piece>,
    by_service: BTreeMap<Key, Endpoints>,
}

impl Behind {
    /// Takes it in; whether [`Self::all`] may be different now.
    pub fn take(&mut self, told: Told<Piece>) -> bool {
        let (key, new) = match &told {
            Told::Changed(key, piece) => (key.clone(), Some(piece.service.clone())),
            Told::Gone(key) => (key.clone(), None),
            Told::Begun | Told::Listed(..) => return self.pieces.take(told),
            Told::Whole => {
                self.pieces.take(told);
                self.by_service.clear();
                for ((namespace, _), piece) in self.pieces.all() {
                    add(&mut self.by_service, namespace, piece);
                }
                return true;
            }
        };
        let old = self.pieces.all().get(&key).map(|piece| piece.service.clone());
        let is_news = self.pieces.take(told);
        let changed = old.into_iter().chain(new).map(|service| (key.0.clone(), service));
        changed.for_each(|service| self.gather(&service));
        is_news
    }

    /// What all pieces of `service` say together.
    fn gather(&mut self, service: &Key) {
        self.by_service.remove(service);
        let from = self.pieces.all().range((service.0.clone(), String::new())..);
        let own = from.take_while(|((namespace, _), _)| *namespace == service.0);
        for (_, piece) in own.filter(|(_, piece)| piece.service == service.1) {
            add(&mut self.by_service, &service.0, piece);
        }
    }

    /// Whether all of it was told once.
    pub fn is_whole(&self) -> bool {
        self.pieces.is_whole()
    }

    /// What is behind each service, by its name.
    pub fn all(&self) -> &BTreeMap<Key, Endpoints> {
        &self.by_service
    }
}

fn add(all: &mut BTreeMap<Key, Endpoints>, namespace: &str, piece: &Piece) {
    if piece.service.is_empty() {
        return;
    }
    let of_service = all.entry((namespace.to_owned(), piece.service.clone())).or_default();
    of_service.groups.extend(piece.endpoints.groups.iter().cloned());
    of_service.has_more |= piece.endpoints.has_more;
}

/// What a slice says: who is ready, or ends and still serves.
pub(super) fn of_slice(object: EndpointSlice) -> Piece {
    let service = object.metadata.labels.and_then(|mut labels| labels.remove(SERVICE)).unwrap_or_default();
    let ports = object.ports.unwrap_or_default().into_iter().filter_map(|object| {
        let SlicePort { name, protocol, port, .. } = object;
        service_port(name, protocol.as_deref(), port?)
    });
    let group = (serving(object.endpoints), ports.collect());
    Piece { service, endpoints: Endpoints { groups: vec![group], has_more: false } }
}

/// The same of `Endpoints`: who is ready.
pub(super) fn of_endpoints(object: EndpointsObject) -> Piece {
    let has_more = object.metadata.annotations.is_some_and(|all| all.contains_key(OVER_CAPACITY));
    let groups = object.subsets.unwrap_or_default().into_iter().map(|subset| {
        let EndpointSubset { addresses, ports, .. } = subset;
        let ports = ports.unwrap_or_default().into_iter().filter_map(|object| {
            let EndpointPort { name, protocol, port, .. } = object;
            service_port(name, protocol.as_deref(), port)
        });
        (ready(addresses), ports.collect::<Vec<ServicePort>>())
    });
    let endpoints = Endpoints { groups: groups.collect(), has_more };
    Piece { service: object.metadata.name.unwrap_or_default(), endpoints }
}

/// The addresses of a piece, on whatever port.
pub(super) fn answers_at(piece: Piece) -> Vec<IpAddr> {
    piece.endpoints.groups.into_iter().flat_map(|(addresses, _)| addresses).collect()
}

fn serving(endpoints: Vec<Endpoint>) -> Vec<IpAddr> {
    let serves = |endpoint: &Endpoint| {
        let conditions = endpoint.conditions.clone().unwrap_or_default();
        // What is not said is meant to be so.
        conditions.ready.unwrap_or(true) || conditions.serving == Some(true)
    };
    // Of a slice for names none is an address.
    addresses(endpoints.into_iter().filter(serves).flat_map(|endpoint| endpoint.addresses))
}

fn ready(found: Option<Vec<EndpointAddress>>) -> Vec<IpAddr> {
    addresses(found.unwrap_or_default().into_iter().map(|address| address.ip))
}

#[cfg(test)]
#[path = "behind_tests.rs"]
mod tests;
