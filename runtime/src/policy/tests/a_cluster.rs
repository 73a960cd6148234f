//! A cluster to look destinations up in.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::{Endpoints, Neighbours, NodeAddresses, ObjectName, PodAddresses, Service, ServicePort};
use crate::model::{Labels, Protocol};

/// A cluster of the namespaces shop (tier=front) and data (tier=back).
pub(super) struct Cluster {
    pub services: BTreeMap<ObjectName, Service>,
    pub endpoints: BTreeMap<ObjectName, Endpoints>,
    pub pods: BTreeMap<ObjectName, PodAddresses>,
    pub nodes: BTreeMap<ObjectName, NodeAddresses>,
    pub namespaces: BTreeMap<ObjectName, Labels>,
}

pub(super) fn key(text: &str) -> ObjectName {
    let (namespace, name) = text.split_once('/').expect("namespace/name");
    (namespace.to_owned(), name.to_owned())
}

fn labels(text: &str) -> Labels {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn addresses(text: &str) -> Vec<IpAddr> {
    text.split_whitespace().map(|address| address.parse().expect("an address")).collect()
}

/// `NAME:TCP:80 ...`.
fn ports(text: &str) -> Vec<ServicePort> {
    let port = |text: &str| {
        let mut parts = text.split(':');
        let mut next = || parts.next().expect("name:protocol:port");
        let (name, protocol, port) = (next(), next(), next());
        ServicePort {
            name: name.to_owned(),
            protocol: Protocol::from_word(protocol).expect("a protocol"),
            port: port.parse().expect("a port"),
        }
    };
    text.split_whitespace().map(port).collect()
}

impl Cluster {
    pub fn new() -> Self {
        let service =
            |own: &str, all: &str| Service { addresses: addresses(own), ports: ports(all), external: None };
        let group = |ready: &str, all: &str| (addresses(ready), ports(all));
        let behind = |groups: Vec<_>| Endpoints { groups, has_more: false };
        let named = Service { external: Some("db.example.com".to_owned()), ..Service::default() };
        let pod = |all: &str, own: &str| PodAddresses {
            labels: labels(all),
            addresses: addresses(own),
            // Not all call the same number so.
            ports: ports(if own.contains("10.244.0.6") { "sql:TCP:25432" } else { "sql:TCP:15432" }),
        };
        Self {
            services: [
                ("data/db", service("10.96.0.5 fd00:96::5", "sql:TCP:5432 metrics:TCP:9187")),
                ("data/headless", service("", ":TCP:80")),
                ("data/dns", service("10.96.0.10", "dns:UDP:53 dns-tcp:TCP:53")),
                ("data/idle", service("10.96.0.6", ":TCP:80")),
                ("data/outside", named),
                ("shop/db", service("10.96.0.7", ":TCP:5432")),
                ("data/none", service("10.96.0.8", "")),
            ]
            .map(|(name, service)| (key(name), service))
            .into(),
            endpoints: [
                (
                    "data/db",
                    behind(vec![
                        group("10.244.0.5 10.244.0.6 fd00:244::5", "sql:TCP:15432 metrics:TCP:9187"),
                        // Its metrics are not ready.
                        group("10.244.0.7", "sql:TCP:25432"),
                    ]),
                ),
                ("data/headless", behind(vec![group("10.244.0.8", ":TCP:8080")])),
                (
                    "data/dns",
                    Endpoints {
                        groups: vec![group("10.244.0.9", "dns:UDP:53 dns-tcp:TCP:53")],
                        has_more: true,
                    },
                ),
                ("shop/db", behind(vec![group("10.244.1.1", ":TCP:5432")])),
            ]
            .map(|(name, endpoints)| (key(name), endpoints))
            .into(),
            pods: [
                ("data/db-0", pod("app=db", "10.244.0.5 fd00:244::5")),
                ("data/db-1", pod("app=db", "10.244.0.6")),
                ("data/old", pod("app=db", "")),
                ("data-2/db-0", pod("app=db", "10.244.2.1")),
                ("shop/db-0", pod("app=db", "10.244.1.1")),
                ("shop/web", pod("app=web", "10.244.1.2")),
            ]
            .map(|(name, pod)| (key(name), pod))
            .into(),
            nodes: [
                ("/one", NodeAddresses { labels: labels("role=edge"), addresses: addresses("172.18.0.2") }),
                (
                    "/two",
                    NodeAddresses { labels: labels("role=core"), addresses: addresses("172.18.0.3 fd18::3") },
                ),
            ]
            .map(|(name, node)| (key(name), node))
            .into(),
            namespaces: [("/data", "tier=back"), ("/data-2", "tier=back"), ("/shop", "tier=front")]
                .map(|(name, all)| (key(name), labels(all)))
                .into(),
        }
    }

    pub fn all(&self) -> Neighbours<'_> {
        Neighbours {
            services: Some(&self.services),
            endpoints: Some(&self.endpoints),
            pods: Some(&self.pods),
            nodes: Some(&self.nodes),
            namespaces: &self.namespaces,
        }
    }
}
