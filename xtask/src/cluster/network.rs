//! The network of a cluster's node: a network namespace, with an interface that nobody is at the other end of. A test that
//! wants the world there moves the other end, `world`, into a namespace of its own. And what pods leave of their networks.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use serde_json::Value;

use super::{
    place::{Cluster, GATEWAY, NODE_ADDRESS},
    process::{entering, told},
};

/// Where CNI's library notes what it did, of every network on the machine; its path is part of containerd.
const RESULTS: &str = "/var/lib/cni/results";
/// The network that containerd gives every pod besides.
const LOOPBACK: &str = "cni-loopback";

/// Makes it, unless it is there.
pub fn make(cluster: &Cluster) -> Result<()> {
    if cluster.netns().exists() {
        return Ok(());
    }
    let name = cluster.scope();
    ip(&["netns", "add", &name])?;
    let address = format!("{NODE_ADDRESS}/24");
    for arguments in [
        &["link", "set", "lo", "up"][..],
        &["link", "add", "eth0", "type", "veth", "peer", "name", "world"],
        &["address", "add", &address, "dev", "eth0"],
        &["link", "set", "eth0", "up"],
        &["link", "set", "world", "up"],
        &["route", "add", "default", "via", GATEWAY, "dev", "eth0"],
    ] {
        ip(&[&["-netns", &name], arguments].concat())?;
    }
    let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
    told(Command::new("nsenter").arg(entering(cluster)).args(["sh", "-c", forward]), None)?;
    Ok(())
}

/// Removes it and those of its pods, of which nothing runs any more.
pub fn remove(cluster: &Cluster) -> Result<()> {
    let mut namespaces = Vec::new();
    for file in results(cluster) {
        namespaces.extend(namespace(&fs::read_to_string(&file).unwrap_or_default()));
        let _ = fs::remove_file(file);
    }
    namespaces.push(cluster.scope());
    namespaces.dedup();
    for name in namespaces {
        if Path::new("/run/netns").join(&name).exists() {
            ip(&["netns", "delete", &name])?;
        }
    }
    Ok(())
}

/// Notes of the cluster's network, and those of the loopback of the same pods: `NETWORK-POD-INTERFACE`.
fn results(cluster: &Cluster) -> Vec<PathBuf> {
    let entries = fs::read_dir(RESULTS).into_iter().flatten().flatten();
    let names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    of_network(&names, &cluster.scope()).into_iter().map(|name| Path::new(RESULTS).join(name)).collect()
}

fn of_network<'a>(names: &'a [String], network: &str) -> Vec<&'a str> {
    let pods: Vec<_> = names.iter().filter_map(|name| pod(name, network)).collect();
    let is_ours =
        |name: &str| pod(name, network).or(pod(name, LOOPBACK)).is_some_and(|pod| pods.contains(&pod));
    names.iter().map(String::as_str).filter(|name| is_ours(name)).collect()
}

/// The pod that a note of this network is about. It is named by a hexadecimal number, so that no network is taken for
/// another whose name goes on.
fn pod<'a>(note: &'a str, network: &str) -> Option<&'a str> {
    let (pod, _interface) = note.strip_prefix(network)?.strip_prefix('-')?.rsplit_once('-')?;
    (!pod.contains('-')).then_some(pod)
}

/// The network namespace that a note is about: `{"result":{"interfaces":[{"sandbox":"/var/run/netns/NAME"}]}}`.
fn namespace(note: &str) -> Option<String> {
    let note: Value = serde_json::from_str(note).ok()?;
    let interfaces = note["result"]["interfaces"].as_array()?;
    let path = interfaces.iter().find_map(|interface| interface["sandbox"].as_str())?;
    Some(path.strip_prefix("/var").unwrap_or(path).strip_prefix("/run/netns/")?.to_owned())
}

fn ip(arguments: &[&str]) -> Result<()> {
    told(Command::new("ip").args(arguments), None).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_a_network_and_of_its_pods_loopback_are_told_from_others() {
        let names =
            ["two-k8s-ab12-eth0", "cni-loopback-ab12-lo", "egret-two-k8s-cd-eth0", "cni-loopback-cd-lo"];
        let names = names.map(str::to_owned);
        assert_eq!(of_network(&names, "two-k8s"), ["two-k8s-ab12-eth0", "cni-loopback-ab12-lo"]);
        assert_eq!(of_network(&names, "two"), [""; 0]);
    }

    #[test]
    fn a_note_names_the_namespace_of_its_pod() {
        let note = r#"{"kind":"cniCacheV1","result":{"interfaces":[{"name":"cni0"},{"name":"eth0","sandbox":"/var/run/netns/cni-1"}]}}"#;
        assert_eq!(namespace(note).as_deref(), Some("cni-1"));
        assert_eq!(namespace("{}"), None);
        assert_eq!(namespace(r#"{"result":{"interfaces":[{"sandbox":"/proc/1/ns/net"}]}}"#), None);
    }
}
