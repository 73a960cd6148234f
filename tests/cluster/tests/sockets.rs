//! Pods in the node's own network: those that a policy selects are judged at their sockets, all others are left alone.

#![allow(missing_docs, reason = "a test file has no reader of its documentation")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_tests::eventually;
use egret_tests_cluster::installed::Installed;
use egret_tests_cluster::{Cluster, World};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
/// Of the cluster, and so of Egret's own namespace too.
const POLICY: &str = "apiVersion: egret.dev/v1alpha1
kind: ClusterEgressPolicy
metadata: {name: of-node}
spec:
  namespaceSelector: {}
  podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [other]}]}
  mode: Enforce
  scope: all
  default: Deny
  allow:
  - to: [{cidr: 203.0.113.10/32}, {fqdn: example.org}]
";
const ALLOWED: &str = "203.0.113.10";
const DENIED: &str = "203.0.113.20";

fn pod(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}\n\
         spec:\n  terminationGracePeriodSeconds: 0\n  hostNetwork: true\n  containers:\n  - {{name: c, image: 'egret.test/busybox:1', \
         imagePullPolicy: Never, command: [sleep, '100000']}}\n---\n"
    )
}

/// What the agent says of a pod.
fn row(cluster: &Cluster, namespace: &str, is_it: impl Fn(&str) -> bool) -> Result<Value> {
    let rows = cluster.egret(&["workloads"])?;
    let rows = rows.first().and_then(Value::as_array).context("no rows")?;
    let found =
        rows.iter().find(|row| row["namespace"] == namespace && row["name"].as_str().is_some_and(&is_it));
    found.cloned().with_context(|| format!("it is not in {rows:?}"))
}

fn wait_for(cluster: &Cluster, name: &str, state: &str) -> Result<Value> {
    eventually(&format!("{name} does not become {state}"), PATIENCE, || {
        let row = row(cluster, "shop", |found| found == name).ok();
        Ok(row.filter(|row| row["coverage"]["state"] == state))
    })
    .with_context(|| format!("{:?}", row(cluster, "shop", |found| found == name)))
}

/// Whether a pod gets through to a server outside, and what it is told where it does not.
fn connects(cluster: &Cluster, name: &str, address: &str) -> Result<bool> {
    let dial = format!("echo ping | nc -w 2 {address} 443 2>&1 || true");
    let said = cluster.kubectl(&["exec", "-n", "shop", name, "--", "sh", "-c", &dial])?;
    ensure!(said.contains("ping") || said.contains("refused"), "{name} to {address}: {said}");
    Ok(said.contains("ping"))
}

/// The links that are pinned at sockets.
fn links(cluster: &Cluster) -> Result<usize> {
    let mut count = 0;
    for version in std::fs::read_dir(Installed::pins(cluster))? {
        let links = std::fs::read_dir(version?.path().join("links")).into_iter().flatten().flatten();
        count += links.filter(|link| link.file_name().to_string_lossy().contains("socket_egress")).count();
    }
    Ok(count)
}

#[test]
fn a_pod_in_the_node_s_network_may_go_where_its_policy_says_and_all_others_are_left_alone() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["shop"])?;
    let _world = World::of(&cluster)?;
    let egret = Installed::into(&cluster)?;
    cluster.apply(&[pod("web"), pod("other")].concat())?;
    cluster.kubectl(&["wait", "-n", "shop", "pod", "--all", "--for=condition=Ready", "--timeout=60s"])?;
    wait_for(&cluster, "web", "not-covered")?;
    ensure!(connects(&cluster, "web", DENIED)?, "no policy selects it yet");

    cluster.apply(POLICY)?;
    let web = wait_for(&cluster, "web", "sockets")?;
    let unseen = web["coverage"]["unseen"].to_string();
    ensure!(unseen.contains("packet sockets") && unseen.contains("fqdn"), "{web}");
    let reached = [connects(&cluster, "web", ALLOWED)?, connects(&cluster, "web", DENIED)?];
    ensure!(reached == [true, false], "{reached:?} {}", egret.log()?);
    let other = wait_for(&cluster, "other", "not-covered")?;
    ensure!(other["coverage"].to_string().contains("no policy selects it"), "{other}");
    ensure!(connects(&cluster, "other", DENIED)?, "it is the node's own business");

    // The policy selects the agent too, and allows it nothing: it goes on all the same.
    let own = row(&cluster, "egret", |name| name.starts_with("egret"))?;
    ensure!(own["coverage"].to_string().contains("the agent's own pod"), "{own}");
    ensure!(links(&cluster)? == 1, "{} links", links(&cluster)?);
    let told = cluster.egret(&["flows"])?;
    let is_denied = |flow: &Value| flow["workload"]["name"] == "web" && flow["applied"]["action"] == "deny";
    ensure!(told.iter().any(is_denied), "{told:?}");
    cluster.apply(&POLICY.replace(ALLOWED, DENIED))?;
    eventually("the agent does not hear of a change", PATIENCE, || {
        Ok(connects(&cluster, "web", DENIED)?.then_some(()))
    })?;

    cluster.kubectl(&["delete", "pod", "-n", "shop", "web", "--grace-period=0", "--wait=true"])?;
    eventually("what the pod had is left behind", PATIENCE, || Ok((links(&cluster)? == 0).then_some(())))?;
    egret.take_out()?;
    ensure!(!Installed::pins(&cluster).exists(), "something is pinned still");
    Ok(())
}
