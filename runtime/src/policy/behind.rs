//! Services that lead to what a rule of Kubernetes covers. Pure.
//!
//! A packet that kube-proxy translates passes the hook with the address of the service, and the rule is about pods. So the
//! address counts as what is behind it: it is covered where all of that is, and in part where some of it is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::evaluate::covers;
use super::neighbours::{Endpoints, ObjectName, Service, ServicePort};
use crate::model::{Attempt, Found, PortRange, Rule, Spot};

/// What is behind services, by address.
pub(super) struct Behind<'a> {
    services: &'a BTreeMap<ObjectName, Service>,
    endpoints: &'a BTreeMap<ObjectName, Endpoints>,
    /// The services that lead to an address.
    leading: BTreeMap<IpAddr, Vec<&'a ObjectName>>,
}

impl<'a> Behind<'a> {
    pub fn new(
        services: &'a BTreeMap<ObjectName, Service>,
        endpoints: &'a BTreeMap<ObjectName, Endpoints>,
    ) -> Self {
        let mut leading: BTreeMap<IpAddr, Vec<&ObjectName>> = BTreeMap::new();
        for (name, endpoints) in endpoints {
            for address in endpoints.groups.iter().flat_map(|(addresses, _)| addresses) {
                leading.entry(*address).or_default().push(name);
            }
        }
        Self { services, endpoints, leading }
    }

    /// `found` by `rule`, and the addresses of services that lead there.
    pub fn covered(&self, rule: &Rule, found: Found) -> Found {
        let addresses = found.spots.iter().flat_map(|spot| spot.addresses.iter());
        let names: BTreeSet<_> =
            addresses.filter_map(|address| self.leading.get(address)).flatten().collect();
        let rule = Rule { found: Some(found), ..rule.clone() };
        let (mut whole, mut partly) = (Vec::new(), Vec::new());
        for (service, endpoints) in names.into_iter().filter_map(|name| {
            let service = self.services.get(*name).filter(|service| !service.addresses.is_empty())?;
            Some((service, self.endpoints.get(*name)?))
        }) {
            for port in &service.ports {
                let spot = || Spot { addresses: service.addresses.clone().into(), ports: vec![port.range()] };
                match extent(&rule, endpoints, port) {
                    Extent::None => {}
                    Extent::Part => partly.push(spot()),
                    Extent::All => whole.push(spot()),
                }
            }
        }
        let mut found = rule.found.unwrap_or_default();
        found.spots.extend(whole);
        Found { partly, ..found }
    }
}

/// How much of what is behind a port a rule covers.
enum Extent {
    None,
    Part,
    All,
}

fn extent(rule: &Rule, endpoints: &Endpoints, port: &ServicePort) -> Extent {
    let (mut covered, mut others) = (false, endpoints.has_more);
    for (addresses, range) in endpoints.of(port) {
        for address in addresses {
            let is_covered = covers(rule, &attempt(address, &range));
            covered |= is_covered;
            others |= !is_covered;
        }
    }
    match (covered, others) {
        (false, _) => Extent::None,
        (true, true) => Extent::Part,
        (true, false) => Extent::All,
    }
}

fn attempt(address: IpAddr, range: &PortRange) -> Attempt {
    let port = range.ports.as_ref().map_or(0, |ports| *ports.start());
    Attempt { names: Vec::new(), address: Some(address), port, protocol: range.protocol }
}
