//! Finds a workload's interface pair: its own device, and the host side of it on the node.

use std::path::{Path, PathBuf};

use crate::kernel::netns::{self, Device, Ids, NetNs, Survey, Watch};
use crate::model::Place;

/// A workload that was found.
pub struct Located {
    /// Its network namespace.
    pub netns: NetNs,
    /// A view of it.
    pub watch: Watch,
    /// What was there.
    pub survey: Survey,
    /// Its own device.
    pub device: Device,
    /// The host side.
    pub host: Device,
}

impl Located {
    /// Why some of its packets pass no hook, where that is so.
    #[must_use]
    pub fn gap(&self) -> Option<String> {
        other_ways_out(&self.survey, &self.device)
    }
}

fn not_a_pair(device: &Device) -> String {
    let (name, what) = (&device.name, device.what());
    format!(
        "its interface `{name}` is {what}, and not one end of a veth pair whose other end is on the node; Egret covers \
         such pairs"
    )
}

/// The XDP program on either end of a pair, which has packets before Egret's hook there.
#[must_use]
pub fn xdp_before(device: &Device, host: &Device) -> Option<String> {
    [host, device].into_iter().find_map(|end| {
        let (name, id) = (&end.name, end.xdp?);
        Some(format!("the XDP program {id} on `{name}` has packets before Egret's hook; take it away"))
    })
}

/// The devices besides `device` that are up, and whose packets no hook sees.
#[must_use]
pub fn other_ways_out(survey: &Survey, device: &Device) -> Option<String> {
    let others: Vec<_> = survey
        .devices
        .iter()
        .filter(|other| other.up && !other.loopback && other.index != device.index)
        .map(|other| format!("`{}` ({})", other.name, other.what()))
        .collect();
    (!others.is_empty()).then(|| {
        format!(
            "it has another interface, {}, whose packets Egret does not see; take it away",
            others.join(", ")
        )
    })
}

/// The folder of the names that `ip netns` gives.
pub const NAMES: &str = "/run/netns";

/// The path of a namespace: a name is one in [`NAMES`].
#[must_use]
pub fn path_of(netns: &str) -> PathBuf {
    if netns.contains('/') { PathBuf::from(netns) } else { Path::new(NAMES).join(netns) }
}

/// Finds a workload from the node's own namespace, whose devices are in `node`.
///
/// # Errors
/// Why it cannot be covered, and what to do.
pub async fn locate(place: &Place, own: &NetNs, node: &Survey) -> Result<Located, String> {
    match place {
        Place::Netns(name) => {
            let path = path_of(name);
            let netns = NetNs::open(&path).map_err(|error| {
                format!("its network namespace {} cannot be opened: {error}", path.display())
            })?;
            if netns.inode == own.inode {
                return Err("it is in the node's own network namespace; give it one of its own".to_owned());
            }
            in_namespace(netns, own, node).await
        }
        Place::Interface(name) => {
            let host = node.devices.iter().find(|device| device.name == *name);
            let host = host.ok_or_else(|| format!("the node has no interface `{name}`"))?;
            behind(host, own).await
        }
        Place::Nowhere(reason) => Err(reason.clone()),
        Place::Cgroup(_) => Err("it has no interface pair".to_owned()),
    }
}

async fn survey(netns: &NetNs) -> Result<(Watch, Survey), String> {
    let mut watch = Watch::open(netns).map_err(|error| error.to_string())?;
    let survey = watch.survey().await.map_err(|error| error.to_string())?;
    Ok((watch, survey))
}

async fn in_namespace(netns: NetNs, own: &NetNs, node: &Survey) -> Result<Located, String> {
    let id = ids(own)?.of(&netns).await.map_err(|error| error.to_string())?;
    let (watch, survey) = survey(&netns).await?;
    let pair = survey.devices.iter().find_map(|device| {
        let host = node.devices.iter().find(|host| is_pair(host, id, device))?;
        Some((device.clone(), host.clone()))
    });
    let (device, host) = pair.ok_or_else(|| match survey.devices.iter().find(|device| !device.loopback) {
        None => "it has no interface yet".to_owned(),
        Some(device) => not_a_pair(device),
    })?;
    Ok(Located { netns, watch, survey, device, host })
}

/// The namespace that holds the other end of the node's `host`.
async fn behind(host: &Device, own: &NetNs) -> Result<Located, String> {
    if !host.is_pair() {
        return Err(format!("`{}` is not one end of a veth pair", host.name));
    }
    let mut ids = ids(own)?;
    for netns in netns::all(own) {
        let Ok(id) = ids.of(&netns).await else { continue };
        if id.is_none() || id != host.link_netns {
            continue;
        }
        let (watch, survey) = survey(&netns).await?;
        if let Some(device) = survey.devices.iter().find(|device| is_pair(host, id, device)).cloned() {
            return Ok(Located { netns, watch, survey, device, host: host.clone() });
        }
    }
    Err(format!("no network namespace holds the other end of `{}`", host.name))
}

fn ids(own: &NetNs) -> Result<Ids, String> {
    Ids::open(own).map_err(|error| error.to_string())
}

/// Whether the node's `host` and `device` of the namespace that the node knows by the number `id` are one pair. An
/// index alone says little: every namespace counts its devices from 1, and a workload may choose those of its own.
fn is_pair(host: &Device, id: Option<i32>, device: &Device) -> bool {
    host.is_pair()
        && device.is_pair()
        && id.is_some()
        && host.link_netns == id
        && host.link == Some(device.index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::netns::InfoKind;

    fn device(index: u32, name: &str, kind: Option<InfoKind>) -> Device {
        let (name, up) = (name.to_owned(), true);
        Device { index, name, kind, link: None, link_netns: None, up, loopback: false, xdp: None }
    }

    #[test]
    fn what_is_no_pair_is_called_what_it_is() {
        for (kind, word) in [
            (Some(InfoKind::MacVlan), "macvlan"),
            (Some(InfoKind::IpVlan), "ipvlan"),
            (Some(InfoKind::Netkit), "netkit"),
            (Some(InfoKind::Veth), "veth"),
            (None, "virtual function"),
        ] {
            let told = not_a_pair(&device(2, "eth0", kind));
            assert!(told.contains(word) && told.contains("`eth0`"), "{told}");
        }
    }

    #[test]
    fn every_other_device_that_is_up_is_a_way_out() {
        let own = device(2, "eth0", Some(InfoKind::Veth));
        let (mut down, mut lo) = (device(3, "net1", None), device(1, "lo", None));
        (down.up, lo.loopback) = (false, true);
        for (other, expected) in [
            (device(4, "wg0", Some(InfoKind::Wireguard)), Some("`wg0` (of kind wireguard)")),
            (device(5, "vf", None), Some("`vf` (a device of the hardware")),
            (device(6, "new", Some(InfoKind::Veth)), Some("`new`")),
            (down, None),
            (lo, None),
        ] {
            let survey = Survey { devices: vec![own.clone(), other], addresses: Vec::new() };
            let told = other_ways_out(&survey, &own);
            assert_eq!(told.is_some(), expected.is_some(), "{told:?}");
            assert!(told.is_none_or(|told| expected.is_some_and(|word| told.contains(word))));
        }
    }

    #[test]
    fn an_xdp_program_on_either_end_is_told_of() {
        let (device, host) =
            (device(2, "eth0", Some(InfoKind::Veth)), device(7, "veth7", Some(InfoKind::Veth)));
        assert_eq!(xdp_before(&device, &host), None);
        for (on_device, on_host, expected) in
            [(Some(9), None, "9 on `eth0`"), (None, Some(8), "8 on `veth7`")]
        {
            let (device, host) =
                (Device { xdp: on_device, ..device.clone() }, Device { xdp: on_host, ..host.clone() });
            assert!(xdp_before(&device, &host).is_some_and(|told| told.contains(expected)), "{expected}");
        }
    }
}
