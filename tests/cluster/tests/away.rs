//! Agents for which the API server is away, as they are installed.

#![allow(missing_docs, reason = "a test file has no reader of its documentation")]

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use egret_tests::dial::{Attempt, Seen};
use egret_tests::eventually;
use egret_tests_cluster::gateway::{self, Gateway};
use egret_tests_cluster::installed::Installed;
use egret_tests_cluster::{Cluster, World};
use serde_json::json;

const POLICY: &str = "apiVersion: egret.dev/v1alpha1
kind: EgressPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  mode: Enforce
  scope: internet
  allow:
  - to: [{fqdn: github.com}]
    ports: [{protocol: TCP, port: 22}]
";
/// It tries once what is denied.
const LATER: &str = "apiVersion: v1
kind: Pod
metadata: {name: later, namespace: shop, labels: {app: web}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, image: 'egret.test/musl:1', imagePullPolicy: Never, command: [/bin/connect, 203.0.113.20, '443']}
";
const PATIENCE: Duration = Duration::from_secs(90);

/// For how long it is away; `EGRET_LONG` is in seconds.
fn away() -> Duration {
    let seconds = std::env::var("EGRET_LONG").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(5))
}

#[test]
fn without_the_api_server_what_is_in_force_stays_and_no_pod_starts_that_nobody_knows() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["shop"])?;
    let _world = World::of(&cluster)?;
    let gateway = Gateway::of(&cluster)?;
    let at = json!({"apiServer": {"host": gateway::ADDRESS, "port": gateway::PORT.to_string()}});
    let egret = Installed::with(&cluster, &at)?;
    cluster.apply(POLICY)?;
    let pod = cluster.run("shop", "web", "app=web")?;
    let is_in_force = |when: &str| -> Result<()> {
        ensure!(pod.connect("github.com", 22)? == Seen::Connected, "{when}: what is allowed");
        ensure!(pod.connect("github.com", 443)? == Seen::Refused, "{when}: another port");
        ensure!(
            pod.dial(&Attempt::tcp("203.0.113.20", 443))?.seen == Seen::Refused,
            "{when}: what is denied"
        );
        Ok(())
    };
    is_in_force("before")?;

    gateway.close();
    egret.kill_agent()?;
    is_in_force("without an agent")?;
    eventually("the agent does not come back", PATIENCE, || Ok(egret.counter("pod_starts_held").ok()))?;
    let start = Instant::now();
    let mut times = 0;
    while times == 0 || start.elapsed() < away() {
        is_in_force("without the API server")?;
        times += 1;
        sleep(Duration::from_millis(500));
    }
    println!("in force {times} times in {:?} without the API server", start.elapsed());

    // The node is told of a new pod, and its agent is not.
    cluster.apply(LATER)?;
    let told = eventually("the pod does not say why it waits", PATIENCE, || {
        let events =
            cluster.kubectl(&["get", "events", "-n", "shop", "-o", "jsonpath={.items[*].message}"])?;
        Ok(events.contains("the API server did not tell of this pod yet").then_some(events))
    })?;
    println!("{told}");
    let phase = || cluster.kubectl(&["get", "pod", "-n", "shop", "later", "-o", "jsonpath={.status.phase}"]);
    ensure!(phase()? == "Pending", "it is {}", phase()?);
    is_in_force("while a pod waits")?;

    gateway.open();
    let ended = eventually("the pod does not start", PATIENCE, || {
        let path = "jsonpath={.status.containerStatuses[0].state.terminated.message}";
        let said = cluster.kubectl(&["get", "pod", "-n", "shop", "later", "-o", path])?;
        Ok(Some(said).filter(|said| !said.is_empty()))
    })
    .with_context(|| {
        cluster.kubectl(&["get", "pod", "-n", "shop", "later", "-o", "yaml"]).unwrap_or_default()
    })?;
    ensure!(ended.starts_with("refused"), "its first packet: {ended}");
    ensure!(egret.counter("pod_starts_unheld")? == 0, "{}", egret.log()?);
    is_in_force("after it")
}
