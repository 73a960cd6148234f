//! Egret installed by its chart: pods do not send before their policies are in force, and nothing is left in the end.

#![allow(missing_docs, reason = "a test file has no reader of its documentation")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aya::maps::loaded_maps;
use aya::programs::{loaded_links, loaded_programs};
use egret_tests::dial::{Attempt, Seen};
use egret_tests::eventually;
use egret_tests_cluster::holds::Holds;
use egret_tests_cluster::installed::Installed;
use egret_tests_cluster::{Cluster, World};

const SHOP: &str = "apiVersion: egret.dev/v1alpha1
kind: EgressPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  mode: Enforce
  scope: internet
  allow:
  - to: [{cidr: 203.0.113.10/32}]
";
const ALLOWED: &str = "203.0.113.10";
const DENIED: &str = "203.0.113.20";
const PATIENCE: Duration = Duration::from_secs(90);

/// Pods that start at once; and for how long others come and go: `EGRET_LONG` is in seconds.
const PODS: usize = 12;
fn while_pods_come_and_go() -> Duration {
    let seconds = std::env::var("EGRET_LONG").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

/// How many programs the kernel has. Those by which a runtime keeps containers from devices have no name, and do not count.
fn programs() -> usize {
    loaded_programs().filter_map(Result::ok).filter(|program| !program.name().is_empty()).count()
}

/// Pods whose first process tries a connection before it does anything else.
fn pods(prefix: &str, count: usize, to: &str) -> String {
    let pod = |at: usize| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {prefix}-{at}, namespace: shop, labels: {{app: web, set: {prefix}}}}}\n\
             spec:\n  terminationGracePeriodSeconds: 0\n  restartPolicy: Never\n  containers:\n  - {{name: c, image: 'egret.test/musl:1', imagePullPolicy: Never, \
             command: [/bin/connect, {to}, '443']}}\n"
        )
    };
    (0..count).map(pod).collect::<Vec<_>>().join("---\n")
}

/// What each of them saw.
fn seen(cluster: &Cluster, prefix: &str, count: usize) -> Result<Vec<String>> {
    eventually("not every pod has tried", PATIENCE, || {
        let label = format!("set={prefix}");
        let path = "jsonpath={.items[*].status.containerStatuses[0].state.terminated.message}";
        let said = cluster.kubectl(&["get", "pods", "-n", "shop", "-l", &label, "-o", path])?;
        let said: Vec<_> =
            said.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
        Ok((said.len() == count).then_some(said))
    })
    .with_context(|| cluster.kubectl(&["get", "pods", "-n", "shop"]).unwrap_or_default())
}

fn try_in(cluster: &Cluster, prefix: &str, count: usize, to: &str, wanted: &str) -> Result<()> {
    cluster.apply(&pods(prefix, count, to))?;
    let seen = seen(cluster, prefix, count)?;
    ensure!(seen.iter().all(|seen| seen.starts_with(wanted)), "{prefix} should have {wanted}: {seen:?}");
    let label = format!("set={prefix}");
    cluster
        .kubectl(&["delete", "pods", "-n", "shop", "-l", &label, "--grace-period=0", "--wait=true"])
        .map(drop)
}

#[test]
fn no_pod_sends_before_its_policies_are_in_force_and_nothing_is_left_in_the_end() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["shop"])?;
    let _world = World::of(&cluster)?;
    let bare = (programs(), loaded_links().count(), loaded_maps().count());
    let egret = Installed::into(&cluster)?;
    cluster.apply(SHOP)?;

    // Many at once, then one after the other.
    try_in(&cluster, "denied", PODS, DENIED, "refused")?;
    try_in(&cluster, "allowed", PODS, ALLOWED, "connected")?;
    let (before, start) = (Holds::now(&cluster, &egret)?, Instant::now());
    let mut rounds = 0;
    while start.elapsed() < while_pods_come_and_go() {
        try_in(&cluster, &format!("round{rounds}"), 4, DENIED, "refused")?;
        rounds += 1;
    }
    let unheld = egret.counter("pod_starts_unheld")?;
    ensure!(unheld == 0, "{unheld} pods were not held\n{}", egret.log()?);
    let held = egret.counter("pod_starts_held")?;
    ensure!(held >= (2 * PODS + 4 * rounds) as u64, "{held} pods were held");
    println!("{held} starts were held, {rounds} times four of them in {:?}", start.elapsed());
    let after = || Holds::now(&cluster, &egret);
    eventually("what pods had is left behind", PATIENCE, || Ok(after()?.is_within(&before).then_some(())))
        .with_context(|| format!("before: {before:?}, after: {:?}", after()))?;
    println!("before: {before:?}, after: {:?}", after()?);

    // Asked from outside.
    let runs = cluster.run("shop", "runs", "app=web")?;
    let explained = egret.plugin(&["explain", "-n", "shop", "runs", "203.0.113.20:443", "-o", "json"])?;
    let explained: serde_json::Value = serde_json::from_str(&explained)?;
    ensure!(explained["applied"]["action"] == "deny", "{explained:#}");
    let workloads = egret.plugin(&["workloads", "--node", &cluster.node_name])?;
    ensure!(workloads.contains("shop/runs"), "{workloads}");
    let nobody = egret.plugin(&["names", "-n", "shop", "nobody"]).map_err(|error| error.to_string());
    ensure!(nobody.as_ref().is_err_and(|error| error.contains("not found")), "{nobody:?}");

    // Who may write policies is for the platform to say.
    let binding = |name: &str, role: &str, user: &str| {
        let (role, user) = (format!("--clusterrole={role}"), format!("--user={user}"));
        cluster.kubectl(&["create", "rolebinding", "-n", "shop", name, &role, &user]).map(drop)
    };
    binding("edits", "edit", "dev")?;
    binding("administers", "admin", "dev")?;
    binding("writes-policies", "egret-editor", "owner")?;
    for (user, verb, what, expected) in [
        ("dev", "create", "egresspolicies.egret.dev", false),
        ("dev", "get", "egresspolicies.egret.dev", false),
        ("dev", "delete", "clusteregresspolicies.egret.dev", false),
        ("dev", "patch", "egressnodestatuses.egret.dev", false),
        ("owner", "create", "egresspolicies.egret.dev", true),
        ("owner", "patch", "egresspolicies.egret.dev --subresource=status", false),
        ("owner", "create", "clusteregresspolicies.egret.dev", false),
        ("owner", "create", "pods", false),
    ] {
        let (as_user, of) = (format!("--as={user}"), what.split(' ').collect::<Vec<_>>());
        let asked = [&["auth", "can-i", verb][..], &of, &["-n", "shop", &as_user]].concat();
        let may = cluster.kubectl(&asked).is_ok_and(|said| said.trim() == "yes");
        ensure!(may == expected, "{user} may {verb} {what}: {may}");
    }

    // Without an agent what runs goes on as it was, and nothing new begins.
    egret.run(false)?;
    ensure!(runs.dial(&Attempt::tcp(DENIED, 443))?.seen == Seen::Refused, "without an agent");
    ensure!(runs.dial(&Attempt::tcp(ALLOWED, 443))?.seen == Seen::Connected, "without an agent");
    cluster.apply(&pods("waits", 1, DENIED))?;
    let told = eventually("the pod does not say why it waits", PATIENCE, || {
        let events =
            cluster.kubectl(&["get", "events", "-n", "shop", "-o", "jsonpath={.items[*].message}"])?;
        Ok(events.contains("Egret's agent does not answer").then_some(events))
    })?;
    ensure!(told.contains("no pod starts before its policies are in force"), "{told}");
    let phase =
        cluster.kubectl(&["get", "pod", "-n", "shop", "waits-0", "-o", "jsonpath={.status.phase}"])?;
    ensure!(phase == "Pending", "it is {phase}");
    egret.run(true)?;
    let seen = seen(&cluster, "waits", 1)?;
    ensure!(seen[0].starts_with("refused"), "{seen:?}");

    egret.take_out()?;
    eventually("pins are left", PATIENCE, || Ok((!Installed::pins(&cluster).exists()).then_some(())))?;
    eventually("programs are left", PATIENCE, || Ok((programs() <= bare.0).then_some(())))?;
    // Not sooner: the kernel keeps what is opened by its number while the last program that has it goes.
    eventually("links and maps are left", PATIENCE, || {
        Ok((loaded_links().count() <= bare.1 && loaded_maps().count() <= bare.2).then_some(()))
    })?;
    ensure!(runs.dial(&Attempt::tcp(DENIED, 443))?.seen == Seen::Connected, "it is out of the way");
    try_in(&cluster, "after", 1, DENIED, "connected")
}
