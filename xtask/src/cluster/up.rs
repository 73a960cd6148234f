//! Brings a cluster up: its network and keys, the servers of the API, then the node. What runs already is left alone, so that
//! a cluster of the API alone can get its node later.

use std::{fs, time::Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    cgroup, component::Component, config, down, host, images, network, object, pki, place::Cluster, process,
};

/// Says each step, and how long it took; at the end how to use the cluster.
pub fn up(cluster: &Cluster, api_only: bool) -> Result<()> {
    let start = Instant::now();
    let (name, folder) = (&cluster.name, cluster.folder());
    let socket = cluster.socket();
    // An address of a socket has 107 bytes, and containerd has a second one, with an ending.
    ensure!(
        socket.as_os_str().len() <= 100,
        "{} is too long for a socket's address: set EGRET_TOOLS to a folder with a shorter path",
        socket.display()
    );
    let wanted: Vec<_> =
        if api_only { Component::API.to_vec() } else { [&Component::API[..], &Component::NODE].concat() };
    let running = process::running(cluster);
    if wanted.iter().all(|component| running.contains(component)) {
        eprintln!("The cluster {name} is up already.");
        return say_how(cluster);
    }
    if running.is_empty() && folder.exists() {
        down::remove(cluster).context("what an earlier run left cannot be removed")?;
    }
    let mut steps = Steps { cluster, running, done: 0, count: if api_only { 4 } else { 9 } };
    steps.step("network namespace, keys", || prepare(cluster))?;
    steps.component(Component::Etcd, || Ok(()))?;
    steps.component(Component::ApiServer, || {
        // Its namespace is made by the server itself, a moment after it serves.
        let log = cluster.log(Component::ApiServer.name());
        process::retry("making the Service of names", &log, || process::apply(cluster, &object::dns()))
    })?;
    steps.component(Component::CrdServer, || hand_over_definitions(cluster))?;
    if !api_only {
        node(cluster, &mut steps)?;
    }
    eprintln!("The cluster {name} is up after {:.1} s.", start.elapsed().as_secs_f32());
    say_how(cluster)
}

fn prepare(cluster: &Cluster) -> Result<()> {
    let folder = cluster.folder();
    fs::create_dir_all(folder.join("log")).with_context(|| format!("{} cannot be made", folder.display()))?;
    network::make(cluster)?;
    pki::make(cluster)
}

/// From the server of 1.20 to that of 1.36, which is asked by the former.
fn hand_over_definitions(cluster: &Cluster) -> Result<()> {
    let name = "v1.apiextensions.k8s.io";
    process::apply(cluster, &object::crd_server())?;
    let patch = object::definitions_from_crd_server(&pki::authority_in_base64(cluster)?).to_string();
    let log = cluster.log(Component::ApiServer.name());
    let patch = ["patch", "apiservice", name, "--type=merge", "--patch", &patch];
    process::retry("handing over custom resources", &log, || process::kubectl(cluster, &patch))?;
    served(cluster, name)
}

/// Hands `version` of `group` to the server of custom resources, once a definition of it is there.
pub fn group(cluster: &Cluster, group: &str, version: &str) -> Result<()> {
    let told = process::kubectl(cluster, &["get", "customresourcedefinitions", "--output=json"])?;
    // Without one, the group would be there and broken, which kubectl then complains of whatever it is asked.
    ensure!(
        object::defines(&serde_json::from_str(&told)?, group, version),
        "no CustomResourceDefinition is of {group} and serves {version}: apply it first"
    );
    let authority = pki::authority_in_base64(cluster)?;
    process::apply(cluster, &object::group(group, version, &authority))?;
    served(cluster, &object::group_name(group, version))?;
    // The way there is laid a moment after it was tried.
    let (path, log) = (format!("/apis/{group}/{version}"), cluster.log(Component::ApiServer.name()));
    process::retry(&format!("asking for {path}"), &log, || {
        let told: Value = serde_json::from_str(&process::kubectl(cluster, &["get", "--raw", &path])?)?;
        ensure!(
            told["resources"].as_array().is_some_and(|resources| !resources.is_empty()),
            "it says {told}"
        );
        Ok(())
    })
}

/// The other way round, once no definition is left: while a group is there and broken, no namespace goes.
pub fn forget_group(cluster: &Cluster, group: &str, version: &str) -> Result<()> {
    let name = object::group_name(group, version);
    process::kubectl(cluster, &["delete", "apiservice", "--ignore-not-found", &name]).map(drop)
}

/// Waits until the API server has asked the other one.
fn served(cluster: &Cluster, service: &str) -> Result<()> {
    let log = cluster.log(Component::CrdServer.name());
    process::retry(&format!("asking for {service}"), &log, || {
        let told = process::kubectl(cluster, &["get", "apiservice", service, "--output=json"])?;
        let object: Value = serde_json::from_str(&told)?;
        let conditions = object["status"]["conditions"].as_array();
        let passed = conditions.into_iter().flatten().any(|condition| condition["reason"] == "Passed");
        ensure!(passed, "its conditions are {}", object["status"]["conditions"]);
        Ok(())
    })
}

fn node(cluster: &Cluster, steps: &mut Steps) -> Result<()> {
    for (path, text) in config::files(cluster) {
        fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let images = images::make(&cluster.programs)?;
    steps.component(Component::Containerd, || {
        images.iter().try_for_each(|image| process::told(&mut load(cluster, image), None).map(drop))
    })?;
    host::note_numbers(cluster)?;
    cgroup::make(cluster)?;
    // They get ready beside each other.
    let others = &Component::NODE[1..];
    for &component in others {
        steps.start(component)?;
    }
    others.iter().try_for_each(|&component| steps.component(component, || Ok(())))
}

/// The command that makes an archive's images known to the node.
pub fn load(cluster: &Cluster, archive: &std::path::Path) -> std::process::Command {
    let mut ctr = process::ctr(cluster);
    ctr.args(["images", "import"]).arg(archive);
    ctr
}

fn say_how(cluster: &Cluster) -> Result<()> {
    let name =
        if cluster.name == super::DEFAULT { String::new() } else { format!(" --name {}", cluster.name) };
    println!(
        "kubeconfig  {}\nkubectl     cargo xtask cluster{name} kubectl get pods -A\n            or, with that kubeconfig, \
         anything that runs in its network: nsenter --net={} COMMAND\nend it      cargo xtask cluster{name} down",
        cluster.kubeconfig().display(),
        cluster.netns().display()
    );
    Ok(())
}

/// The way up, step by step.
struct Steps<'a> {
    cluster: &'a Cluster,
    running: Vec<Component>,
    done: usize,
    count: usize,
}

impl Steps<'_> {
    fn start(&mut self, component: Component) -> Result<()> {
        if !self.running.contains(&component) {
            process::start(self.cluster, component)?;
            self.running.push(component);
        }
        Ok(())
    }

    /// Has a component serve, and `then` do what it is for.
    fn component(&mut self, component: Component, then: impl FnOnce() -> Result<()>) -> Result<()> {
        let cluster = self.cluster;
        self.start(component)?;
        let log = cluster.log(component.name());
        self.step(&format!("{} (log: {})", component.name(), log.display()), || {
            process::wait_for(cluster, component)?;
            then()
        })
    }

    fn step(&mut self, what: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
        self.done += 1;
        let start = Instant::now();
        eprintln!("[{}/{}] {what}", self.done, self.count);
        run()?;
        eprintln!("      done in {:.1} s", start.elapsed().as_secs_f32());
        Ok(())
    }
}
