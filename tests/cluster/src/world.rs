//! The world of a cluster: a namespace behind its node, where some names lead to servers, and the server of these names, which
//! pods reach by the service of the cluster.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use egret_tests::netns::{Netns, ip_batch};
use egret_tests::servers::{Zone, serve_dns, serve_tcp};
use tokio::runtime::Runtime;

use crate::cluster::Cluster;

/// The end of the node's way out that is the world's.
const DEVICE: &str = "world";
/// The world's side of the way to the node, and where the node answers for names.
const ROUTER: &str = "10.9.9.254";
const RESOLVER: &str = "10.9.9.1:53";
/// Names and where they lead.
const SITES: [(&str, &str); 3] =
    [("github.com", "203.0.113.10"), ("pagerduty.com", "203.0.113.20"), ("example.org", "203.0.113.30")];
const PORTS: [u16; 2] = [22, 443];

/// Who answers outside; ends with it.
pub struct World {
    node: Netns,
    world: Netns,
    /// What names lead to.
    pub zone: Zone,
    _runtime: Runtime,
}

impl World {
    /// Behind the node of `cluster`.
    ///
    /// # Errors
    /// It cannot be made; another one is there, maybe.
    pub fn of(cluster: &Cluster) -> Result<Self> {
        // Two clusters can have one each.
        let name = format!("{}-world", cluster.name);
        let (node, world) = (cluster.node.clone(), Netns::named(name.clone()));
        let _ = Command::new("ip").args(["netns", "delete", &name]).output();
        let made = Command::new("ip").args(["netns", "add", &name]).output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        ip_batch(Some(&node), &[format!("link set {DEVICE} netns {name}")])?;
        let sites = SITES.iter().map(|(_, address)| format!("address add {address}/32 dev lo"));
        let lines = ["link set lo up".to_owned(), format!("address add {ROUTER}/24 dev {DEVICE}")];
        let lines = lines.into_iter().chain(sites).chain([format!("link set {DEVICE} up")]);
        ip_batch(Some(&world), &lines.collect::<Vec<_>>())?;

        let runtime = Runtime::new().context("no runtime")?;
        let zone = Zone::default();
        for (name, address) in SITES {
            zone.set(name, &[address]);
            for port in PORTS {
                serve_tcp(&runtime, &world, SocketAddr::new(address.parse()?, port))?;
            }
        }
        serve_dns(&runtime, &node, RESOLVER.parse()?, zone.clone())?;
        Ok(Self { node, world, zone, _runtime: runtime })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The device goes back to where the cluster has it.
        let name = self.world.name();
        let back = Command::new("ip")
            .args(["-n", name, "link", "set", DEVICE, "netns", &self.node.path().display().to_string()])
            .output();
        if back.is_ok_and(|back| back.status.success()) {
            let _ = ip_batch(Some(&self.node), &[format!("link set {DEVICE} up")]);
        }
        let _ = Command::new("ip").args(["netns", "delete", name]).output();
    }
}
