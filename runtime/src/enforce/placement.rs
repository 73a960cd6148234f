//! Where a workload is, as the maps have it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use egret_abi::{OwnKey, WorkloadIndex};

use crate::kernel::maps::{Writer, address, ip};

/// Where a workload is on this node, and what is its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The host side of its interface pair.
    pub ifindex: u32,
    /// Its own addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// The resolvers it trusts.
    pub resolvers: BTreeSet<IpAddr>,
}

/// The key of one of a workload's own addresses.
pub(super) fn own(workload: WorkloadIndex, ip: IpAddr) -> OwnKey {
    OwnKey { workload, address: address(ip) }
}

/// What an earlier agent wrote for a workload.
pub(super) fn inherited_placement(writer: &Writer, index: WorkloadIndex, ifindex: u32) -> Placement {
    let of_workload = |keys: Vec<OwnKey>| {
        keys.into_iter().filter(|key| key.workload == index).map(|key| ip(key.address)).collect()
    };
    Placement {
        ifindex,
        addresses: of_workload(writer.addresses()),
        resolvers: of_workload(writer.resolvers()),
    }
}
