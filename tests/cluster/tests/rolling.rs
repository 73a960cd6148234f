//! The DaemonSet is rolled out anew under load, and nobody in a pod notices.

#![allow(missing_docs, reason = "a test file has no reader of its documentation")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use egret_tests::eventually;
use egret_tests_cluster::installed::Installed;
use egret_tests_cluster::load::Load;
use egret_tests_cluster::{Cluster, World};

const POLICY: &str = "apiVersion: egret.dev/v1alpha1
kind: EgressPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  mode: Enforce
  scope: internet
  allow:
  - to: [{fqdn: github.com}]
  - to: [{cidr: 203.0.113.30/32}]
";
/// Connections and look-ups a second.
const PACE: (u32, u32) = (2000, 500);

#[test]
fn a_rollout_of_agents_under_load_is_not_noticed() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["shop"])?;
    let _world = World::of(&cluster)?;
    let _egret = Installed::into(&cluster)?;
    cluster.apply(POLICY)?;
    let pod = cluster.run("shop", "web", "app=web")?;
    eventually("the pod is not of mode Enforce", Duration::from_secs(20), || {
        let answer = cluster.egret(&["workloads"])?;
        let mut rows = answer.iter().filter_map(|rows| rows.as_array()).flatten();
        Ok(rows.any(|row| row["name"] == "web" && row["mode"] == "Enforce").then_some(()))
    })?;
    let at = |address: &str| -> Result<SocketAddr> { Ok(address.parse()?) };
    let allowed = ["203.0.113.10:22", "203.0.113.10:443", "203.0.113.30:22", "203.0.113.30:443"];
    let allowed = allowed.into_iter().map(at).collect::<Result<Vec<_>>>()?;

    // By name is allowed what was looked up.
    let warm = Load::begin(&pod, &allowed[2..], at("203.0.113.20:443")?, "github.com", (10, 50));
    std::thread::sleep(Duration::from_secs(1));
    warm.end()?;
    let begun = Instant::now();
    let load = Load::begin(&pod, &allowed, at("203.0.113.20:443")?, "github.com", PACE);
    std::thread::sleep(Duration::from_secs(2));
    for _ in 0..2 {
        cluster.kubectl(&["rollout", "restart", "daemonset", "-n", "egret", "egret"])?;
        cluster.kubectl(&["rollout", "status", "daemonset", "-n", "egret", "egret", "--timeout=120s"])?;
    }
    std::thread::sleep(Duration::from_secs(2));
    let seen = load.end()?;
    println!("{seen:?} in {:.1?}", begun.elapsed());
    ensure!(seen.connected > 0 && seen.refused > 0 && seen.answered > 0, "{seen:?}");
    ensure!((seen.failed, seen.escaped, seen.unanswered) == (0, 0, 0), "{seen:?}");
    Ok(())
}
