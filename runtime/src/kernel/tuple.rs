//! Flows and addresses, between how the maps write them and how the agent does.

use std::net::IpAddr;

use egret_abi::{Address, Flow4Key, Flow6Key};

/// A flow as its workload sends it, of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowTuple {
    /// The workload's own address.
    pub local: Address,
    /// The destination.
    pub remote: Address,
    /// The workload's own port.
    pub local_port: u16,
    /// The port dialled.
    pub remote_port: u16,
    /// The IP protocol.
    pub protocol: u8,
}

pub(super) fn tuple4(key: &Flow4Key) -> FlowTuple {
    FlowTuple {
        local: Address::v4(key.local),
        remote: Address::v4(key.remote),
        local_port: u16::from_be_bytes(key.ports.local()),
        remote_port: u16::from_be_bytes(key.ports.remote()),
        protocol: key.protocol as u8,
    }
}

pub(super) fn tuple6(key: &Flow6Key) -> FlowTuple {
    FlowTuple {
        local: Address(key.local),
        remote: Address(key.remote),
        local_port: u16::from_be_bytes(key.ports.local()),
        remote_port: u16::from_be_bytes(key.ports.remote()),
        protocol: key.protocol as u8,
    }
}

/// An address as the maps write it.
#[must_use]
pub fn address(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(address) => Address::v4(address.octets()),
        IpAddr::V6(address) => Address(address.octets()),
    }
}

/// An address as people write it.
#[must_use]
pub fn ip(address: Address) -> IpAddr {
    match address.as_v4() {
        Some(octets) => IpAddr::from(octets),
        None => IpAddr::from(address.0),
    }
}
