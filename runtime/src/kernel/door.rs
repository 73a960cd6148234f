//! The doors of a workload, which look at what comes to it: one on its own device, one on the host side of its pair.
//!
//! Both are there in tier 1, and CONFIG says which of them looks. What a CNI delivers with `bpf_redirect_peer`, or XDP
//! puts into the pair, passes the host side by, and only the door inside sees it. But what a workload with NET_ADMIN
//! redirects into its own device looks there like what came from the world. So the door inside is the one only where
//! something on the node may deliver that way. No pod can make it look so: it takes a program on a device of the node.

use std::fmt;

use aya::programs::{SchedClassifier, TcAttachType};
use aya::{Ebpf, EbpfLoader};
use egret_abi::{AT_HOST, INSIDE, SEEN, WorkloadIndex};
use serde::{Deserialize, Serialize};

use super::clsact::{self, Side};
use super::delivery::Delivery;
use super::netns::{self, Device, NetNs};
use super::object::{DOOR, classifier};
use super::order::Other;
use super::{Doing, Hook, KernelError, Object, Tier, tcx};

/// Names of Egret's own programs on the ingress of the node's devices.
const OWN: [&str; 5] = ["from_pod", "stand_in", "node_door", "gate_in", "host_gate_in"];

/// A door.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// The one on the host side.
    #[default]
    Host,
    /// Both: the one on the host side, and the one inside at what a device of the node has seen coming in just before.
    Node,
    /// The one inside the workload.
    Pod,
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "on the host side",
            Self::Node => "on the host side, and inside where a device of the node saw it come in",
            Self::Pod => "inside",
        })
    }
}

impl Door {
    /// As CONFIG and the doors themselves have it.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::Host => AT_HOST,
            Self::Node => SEEN,
            Self::Pod => INSIDE,
        }
    }

    /// The one that is to look, where `other` may deliver past the host side.
    #[must_use]
    pub fn choose(tier: Tier, asked: Doors, other: Option<&Deliverer>) -> Self {
        match (tier, asked, other) {
            (Tier::Clsact, ..) | (_, Doors::Host, _) | (_, Doors::Auto, None) => Self::Host,
            (_, Doors::Node, _) | (_, Doors::Auto, Some(Deliverer::Program(_))) => Self::Node,
            (_, Doors::Pod, _) | (_, Doors::Auto, Some(Deliverer::Xdp(_))) => Self::Pod,
        }
    }
}

/// What the operator says of which door looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Doors {
    /// The one on the host side, unless something may deliver past it: then as `node`, or as `pod` where that is XDP
    #[default]
    Auto,
    /// The one on the host side
    Host,
    /// That one, and the one inside each workload for what came in at a device of the node
    Node,
    /// The one inside each workload, where one with NET_ADMIN can forge what comes to it
    Pod,
}

/// Who may deliver past the host side of pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deliverer {
    /// An XDP program: what it puts into a pair was seen by no other program of the node.
    Xdp(String),
    /// A program where packets come into the node, by `bpf_redirect_peer`.
    Program(String),
}

impl fmt::Display for Deliverer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Xdp(who) | Self::Program(who)) = self;
        f.write_str(who)
    }
}

/// Who may deliver past the host side of pairs: an XDP program, which puts packets into pairs by itself, or, where some
/// program calls `bpf_redirect_peer`, a program of somebody else where packets come into the node, first found. `None`:
/// nobody. A device that cannot be looked at is gone, or will be looked at again.
pub fn deliverer(delivery: &mut Delivery, devices: &[Device]) -> Option<Deliverer> {
    let xdp = |device: &Device| Some(format!("an XDP program (id {}) on {}", device.xdp?, device.name));
    if let Some(xdp) = devices.iter().find_map(xdp) {
        return Some(Deliverer::Xdp(xdp));
    }
    let caller = delivery.first()?;
    let first = devices.iter().find_map(|device| {
        let told = |Other { id, name }: Other| format!("`{name}` (id {id}) on {}", device.name);
        let others = tcx::others(&device.name).unwrap_or_default().into_iter();
        let filters = clsact::others(device.index, Side::Ingress).unwrap_or_default();
        others.filter(|other| !OWN.contains(&other.name.as_str())).chain(filters).map(told).next()
    })?;
    Some(Deliverer::Program(format!("{first}, with {caller}")))
}

impl Object {
    /// Puts the workload's doors first on its own `device`, inside its namespace, and on `host`; in tier 2 that of all
    /// on `host`.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn attach_to_pod(
        &mut self,
        workload: WorkloadIndex,
        netns: &NetNs,
        device: &Device,
        host: &Device,
    ) -> Result<(), KernelError> {
        if self.tier == Tier::Clsact {
            return self.put_filter(host.index, Side::Egress, "host_door");
        }
        let mut door = self.door(workload, Door::Pod)?;
        let (program, pin) = (classifier(&mut door, "door")?, self.pins.link(workload, Hook::ToPod));
        netns::inside(netns, || tcx::attach(program, &device.name, TcAttachType::Ingress, &pin))??;
        let mut door = self.door(workload, Door::Host)?;
        let (program, pin) = (classifier(&mut door, "door")?, self.pins.link(workload, Hook::HostDoor));
        tcx::attach(program, &host.name, TcAttachType::Egress, &pin)
    }

    /// Puts the workload's door inside before all programs that came before it: a new copy, then the old one goes. In
    /// tier 2, the one of all on the host side.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn put_to_pod_first(
        &mut self,
        workload: WorkloadIndex,
        netns: &NetNs,
        device: &Device,
        host: &Device,
    ) -> Result<(), KernelError> {
        if self.tier == Tier::Clsact {
            return self.put_filter(host.index, Side::Egress, "host_door");
        }
        let mut door = self.door(workload, Door::Pod)?;
        let (program, pin) = (classifier(&mut door, "door")?, self.pins.link(workload, Hook::ToPod));
        netns::inside(netns, || tcx::put_first(program, &device.name, TcAttachType::Ingress, &pin))?
    }

    /// Puts the workload's door on the host side first, in the same way.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn put_host_door_first(&mut self, workload: WorkloadIndex, host: &Device) -> Result<(), KernelError> {
        let mut door = self.door(workload, Door::Host)?;
        let program: &mut SchedClassifier = classifier(&mut door, "door")?;
        let pin = self.pins.link(workload, Hook::HostDoor);
        tcx::put_first(program, &host.name, TcAttachType::Egress, &pin)
    }

    fn door(&self, workload: WorkloadIndex, door: Door) -> Result<Ebpf, KernelError> {
        let mut loaded = EbpfLoader::new()
            .override_global("WORKLOAD", &workload.0, true)
            .override_global("DOOR", &door.number(), true)
            .map_pin_path("TO_POD", self.pins.map("TO_POD"))
            .load(DOOR)
            .doing(|| "load the eBPF object of the door".to_owned())?;
        classifier(&mut loaded, "door")?.load().doing(|| "load the eBPF program door".to_owned())?;
        Ok(loaded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_door_inside_looks_only_where_something_may_pass_the_other_by() {
        use Doors::{Auto, Host, Node, Pod};
        let program = Deliverer::Program("`cil_from_netdev` (id 7) on eth0".to_owned());
        let xdp = Deliverer::Xdp("an XDP program (id 7) on eth0".to_owned());
        let (cni, xdp) = (Some(&program), Some(&xdp));
        for (tier, asked, other, expected) in [
            (Tier::Tcx, Auto, None, Door::Host),
            (Tier::Tcx, Auto, cni, Door::Node),
            (Tier::Tcx, Auto, xdp, Door::Pod),
            (Tier::Tcx, Node, None, Door::Node),
            (Tier::Tcx, Host, cni, Door::Host),
            (Tier::Tcx, Pod, None, Door::Pod),
            (Tier::Clsact, Auto, cni, Door::Host),
            (Tier::Clsact, Pod, None, Door::Host),
        ] {
            assert_eq!(Door::choose(tier, asked, other), expected, "{tier:?} {asked:?} {other:?}");
        }
    }
}
