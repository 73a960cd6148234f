//! A CNI that delivers by `bpf_redirect_peer`: what goes to a pod is taken where it enters the node and put right into
//! the pod, past the node's stack and the host side of the pod's pair.

use std::net::IpAddr;

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, TcAttachType};

use crate::netns::Netns;
use crate::others::{classifier, load};

/// The program's name in the kernel.
pub const NAME: &str = "deliver";

/// A pod as the CNI knows it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its addresses.
    pub addresses: [IpAddr; 2],
    /// The number of the host side of its pair.
    pub host_index: u32,
    /// The link address of its own side.
    pub link: [u8; 6],
}

/// The program of the CNI, on as many interfaces as it was put; it leaves them when this goes out of scope.
#[derive(Debug)]
pub struct Delivery(Ebpf);

impl Delivery {
    /// Loads it.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn new() -> Result<Self> {
        Ok(Self(load(NAME)?))
    }

    /// Delivers to this pod from now on.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn add(&mut self, endpoint: &Endpoint) -> Result<()> {
        let mut value = [0; 12];
        value[..4].copy_from_slice(&endpoint.host_index.to_ne_bytes());
        value[4..10].copy_from_slice(&endpoint.link);
        for address in endpoint.addresses {
            self.endpoints()?.insert(key(address), value, 0)?;
        }
        Ok(())
    }

    /// What goes to these addresses takes the node's own way from now on.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn remove(&mut self, addresses: &[IpAddr]) -> Result<()> {
        let mut endpoints = self.endpoints()?;
        addresses.iter().try_for_each(|address| Ok(endpoints.remove(&key(*address))?))
    }

    fn endpoints(&mut self) -> Result<HashMap<&mut MapData, [u8; 16], [u8; 12]>> {
        Ok(self.0.map_mut("ENDPOINTS").context("no map ENDPOINTS")?.try_into()?)
    }

    /// Takes from what comes in at `interface` of `netns`: last of all tcx programs there.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn take_from(&mut self, netns: &Netns, interface: &str) -> Result<()> {
        let program = classifier(&mut self.0, NAME)?;
        let last = || TcAttachOptions::TcxOrder(LinkOrder::default());
        netns.run(|| program.attach_with_options(interface, TcAttachType::Ingress, last()))??;
        Ok(())
    }
}

fn key(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}
