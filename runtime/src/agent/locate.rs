//! Finds a workload's interface pair: its own device, and the host side of it on the node.

use std::path::{Path, PathBuf};

use crate::kernel::netns::{self, Device, NetNs, Numbering, Survey, Watch};
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

/// The devices besides `device` that are up, and whose packets no hook sees.
#[must_use]
pub fn other_ways_out(survey: &Survey, device: &Device) -> Option<String> {
    let others: Vec<_> = survey
        .devices
        .iter()
        .filter(|other| other.up && !other.loopback && other.index != device.index)
        .map(|other| format!("`{}`", other.name))
        .collect();
    (!others.is_empty()).then(|| {
        format!(
            "it has another interface, {}, whose packets Egret does not see; take it away",
            others.join(", ")
        )
    })
}

/// The path of a namespace: a name is one under /run/netns.
#[must_use]
pub fn path_of(netns: &str) -> PathBuf {
    if netns.contains('/') { PathBuf::from(netns) } else { Path::new("/run/netns").join(netns) }
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
            in_namespace(netns, node).await
        }
        Place::Interface(name) => {
            let host = node.devices.iter().find(|device| device.name == *name);
            let host = host.ok_or_else(|| format!("the node has no interface `{name}`"))?;
            behind(host, own).await
        }
    }
}

async fn survey(netns: &NetNs) -> Result<(Watch, Survey), String> {
    let mut watch = Watch::open(netns).map_err(|error| error.to_string())?;
    let survey = watch.survey().await.map_err(|error| error.to_string())?;
    Ok((watch, survey))
}

async fn in_namespace(netns: NetNs, node: &Survey) -> Result<Located, String> {
    let number = number_of(&netns).await?;
    let (watch, survey) = survey(&netns).await?;
    let pair = survey.devices.iter().filter(|device| device.is_pair()).find_map(|device| {
        let host = node.devices.iter().find(|host| is_pair(host, device, number))?;
        Some((device.clone(), host.clone()))
    });
    let (device, host) = pair.ok_or_else(|| match survey.devices.iter().find(|device| !device.loopback) {
        None => "it has no interface yet".to_owned(),
        Some(device) => format!(
            "its interface `{}` is not one end of a veth pair whose other end is on the node; Egret covers such pairs",
            device.name
        ),
    })?;
    Ok(Located { netns, watch, survey, device, host })
}

/// The namespace that holds the other end of the node's `host`.
async fn behind(host: &Device, own: &NetNs) -> Result<Located, String> {
    if !host.is_pair() {
        return Err(format!("`{}` is not one end of a veth pair", host.name));
    }
    if host.link_namespace.is_none() {
        return Err(format!("the other end of `{}` is on the node too", host.name));
    }
    for netns in netns::all(own) {
        let number = number_of(&netns).await?;
        if number != host.link_namespace {
            continue;
        }
        let (watch, survey) = survey(&netns).await?;
        if let Some(device) = survey.devices.iter().find(|device| is_pair(host, device, number)).cloned() {
            return Ok(Located { netns, watch, survey, device, host: host.clone() });
        }
    }
    Err(format!("no network namespace holds the other end of `{}`", host.name))
}

async fn number_of(netns: &NetNs) -> Result<Option<i32>, String> {
    let mut numbering = Numbering::open().map_err(|error| error.to_string())?;
    numbering.of(netns).await.map_err(|error| error.to_string())
}

/// Whether the node's `host` has its other end in the namespace `number`, and it is `device`.
fn is_pair(host: &Device, device: &Device, number: Option<i32>) -> bool {
    let there = number.is_some() && host.link_namespace == number;
    there
        && host.is_pair()
        && device.is_pair()
        && host.link == Some(device.index)
        && device.link == Some(host.index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::netns::InfoKind;

    fn veth(index: u32, link: u32, link_namespace: Option<i32>) -> Device {
        Device {
            index,
            name: format!("veth{index}"),
            kind: Some(InfoKind::Veth),
            link: Some(link),
            link_namespace,
            up: true,
            loopback: false,
        }
    }

    #[test]
    fn a_pair_is_one_only_if_the_node_says_that_its_other_end_is_there() {
        let host = veth(100, 2, Some(7));
        for (device, number, expected) in [
            (veth(2, 100, Some(0)), Some(7), true),
            (veth(2, 100, None), Some(8), false),
            (veth(2, 100, Some(0)), None, false),
            (veth(3, 100, Some(0)), Some(7), false),
            (veth(2, 101, Some(0)), Some(7), false),
        ] {
            assert_eq!(is_pair(&host, &device, number), expected, "{device:?} {number:?}");
        }
        assert!(!is_pair(&veth(100, 2, None), &veth(2, 100, None), None), "both on the node");
    }
}
