//! What keeps the link alive goes on where it speaks for its sender alone. Others believe what it says, so this holds
//! for workloads without a policy too.

use egret_abi::{Address, Flow4Key, OwnKey, WorkloadIndex};

use super::report::spoofed;
use super::{Egress, Pending};
use crate::Tables;
use crate::parse::link::{Discovery, discovery, resolution};
use crate::parse::{FlowKey, Headers, ICMP6, LINK, Packet};

/// Looks at neighbour discovery, multicast listening or a call for DHCP.
#[inline(always)]
pub fn link<T: Tables, P: Packet, K: FlowKey>(tables: &T, packet: &P, pending: &Pending<K>) -> Egress {
    let is_own = |address| tables.owns(&OwnKey { workload: pending.workload, address });
    let of_its_own = pending.key.is_homeless() || is_own(pending.key.local());
    let honest = of_its_own
        && (pending.key.protocol() != ICMP6
            || match discovery(packet, pending.transport as usize) {
                Discovery::Asks | Discovery::None => true,
                Discovery::Answers(target) => is_own(Address(target)),
                Discovery::Steers => false,
            });
    if honest { Egress::Pass } else { spoofed(tables, packet, pending) }
}

/// Looks at address resolution: it must be about the address that it comes from, on both layers. One without a
/// sender's address asks whether an address is free, and teaches nobody anything.
#[inline(always)]
pub fn arp<T: Tables, P: Packet>(tables: &T, packet: &P, workload: WorkloadIndex) -> Egress {
    let Some(generation) = tables.generation(workload) else { return Egress::Pass };
    let mut key = Flow4Key::default();
    if let Some(resolution) = resolution(packet) {
        let address = Address::v4(resolution.sender);
        let is_own = || tables.owns(&OwnKey { workload, address });
        if resolution.is_sound && (resolution.sender == [0; 4] || is_own()) {
            return Egress::Pass;
        }
        (key.local, key.remote) = (resolution.sender, resolution.target);
    }
    let headers = Headers { key, transport: LINK, flags: 0, request: true };
    spoofed(tables, packet, &Pending::of(generation, workload, &headers))
}
