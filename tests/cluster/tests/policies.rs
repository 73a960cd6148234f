//! Policies that are objects, in force for pods that the agent finds by itself.

#![allow(missing_docs, reason = "a test file has no reader of its documentation")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_tests::dial::Seen;
use egret_tests::eventually;
use egret_tests_cluster::gateway::{Gateway, SERVER};
use egret_tests_cluster::{Agent, Cluster, UPDATES, World};

const PAYMENT: &str = "apiVersion: egret.dev/v1alpha1
kind: EgressPolicy
metadata: {name: payment, namespace: payment}
spec: {podSelector: {}, mode: Enforce, scope: internet, default: Deny}
";
const AT_ONCE: Duration = Duration::from_secs(10);

#[test]
fn policies_are_in_force_for_the_pods_that_they_select_and_for_no_other() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["updates", "payment"])?;
    let _world = World::of(&cluster)?;
    let before = cluster.run("updates", "git", "app=update")?;
    let mut agent = Agent::start(&cluster)?;
    let payment = cluster.run("payment", "cards", "app=payment")?;
    for pod in [&before, &payment] {
        agent.wait_for(pod, "unmanaged")?;
        ensure!(pod.connect("pagerduty.com", 443)? == Seen::Connected, "{}", pod.id);
    }

    cluster.apply(UPDATES)?;
    cluster.apply(PAYMENT)?;
    agent.wait_for(&before, "Enforce")?;
    agent.wait_for(&payment, "Enforce")?;
    ensure!(before.connect("github.com", 22)? == Seen::Connected, "what is allowed, by name");
    ensure!(before.connect("github.com", 443)? == Seen::Refused, "another port");
    ensure!(before.connect("pagerduty.com", 443)? == Seen::Refused, "another name");
    ensure!(payment.connect("github.com", 22)? == Seen::Refused, "nothing on the internet");

    // A pod that is new is found, and one of the same name is another one.
    cluster.delete(&before)?;
    let again = cluster.run("updates", "git", "app=update")?;
    ensure!(again.netns.name() != before.netns.name(), "it is the same");
    agent.wait_for(&again, "Enforce")?;
    ensure!(again.connect("github.com", 22)? == Seen::Connected, "the new one");
    ensure!(again.connect("pagerduty.com", 443)? == Seen::Refused, "the new one");

    // Labels decide, as they are now.
    let relabelled =
        |labels: &str| cluster.kubectl(&["label", "pod", "-n", "updates", "git", "--overwrite", labels]);
    relabelled("app=other")?;
    again.becomes("pagerduty.com", 443, Seen::Connected)?;
    relabelled("app=update")?;
    again.becomes("pagerduty.com", 443, Seen::Refused)?;

    // What only the reader can refuse changes nothing of what is in force.
    cluster.apply(&UPDATES.replace("github.com", "git..hub.com"))?;
    let is_told =
        |agent: &Agent| agent.status().ok().filter(|status| status.to_string().contains("git..hub.com"));
    eventually("the bad policy is not told of", AT_ONCE, || Ok(is_told(&agent).map(drop)))?;
    ensure!(again.connect("github.com", 22)? == Seen::Connected, "the last good one counts");
    ensure!(again.connect("pagerduty.com", 443)? == Seen::Refused, "the last good one counts");
    cluster.apply(&UPDATES.replace("port: 22", "port: 443"))?;
    again.becomes("github.com", 443, Seen::Connected)?;
    again.becomes("github.com", 22, Seen::Refused)?;

    // The next agent takes over what is in force, and what changes while there is none.
    agent.restart()?;
    agent.wait_for(&again, "Enforce")?;
    ensure!(again.connect("github.com", 443)? == Seen::Connected, "after a restart");
    ensure!(payment.connect("github.com", 22)? == Seen::Refused, "after a restart");
    cluster.kubectl(&["delete", "egresspolicy", "-n", "payment", "payment"])?;
    payment.becomes("github.com", 22, Seen::Connected)
}

#[test]
fn what_is_in_force_stays_while_the_api_server_is_away_whatever_becomes_of_the_agent() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["updates"])?;
    let world = World::of(&cluster)?;
    let gateway = Gateway::of(&cluster)?;
    let pod = cluster.run("updates", "git", "app=update")?;
    cluster.apply(UPDATES)?;
    let mut agent = Agent::start_at(&cluster, Some(SERVER))?;
    agent.wait_for(&pod, "Enforce")?;
    let is_in_force = |when: &str| {
        ensure!(pod.connect("github.com", 22)? == Seen::Connected, "{when}: what is allowed");
        ensure!(pod.connect("pagerduty.com", 443)? == Seen::Refused, "{when}: what is denied");
        Ok(())
    };
    is_in_force("before")?;

    gateway.close();
    is_in_force("without the API server")?;
    cluster.apply(&UPDATES.replace("github.com", "pagerduty.com").replace("port: 22", "port: 443"))?;
    agent.restart()?;
    ensure!(agent.log().contains("did not tell what is on the node"), "{}", agent.log());
    is_in_force("after a restart")?;
    // Addresses that nobody looked up before are learned all the same.
    world.zone.set("github.com", &["203.0.113.30"]);
    is_in_force("with another address")?;

    gateway.open();
    agent.wait_for(&pod, "Enforce")?;
    pod.becomes("pagerduty.com", 443, Seen::Connected)?;
    pod.becomes("github.com", 22, Seen::Refused)
}

#[test]
fn a_pod_in_the_namespace_of_the_node_is_told_of_and_one_that_ended_is_not() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["shop"])?;
    let agent = Agent::start(&cluster)?;
    let pod = |name: &str, spec: &str, command: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  {spec}\n  restartPolicy: Never\n  \
             terminationGracePeriodSeconds: 1\n  \
             containers:\n  - {{name: c, image: 'egret.test/busybox:1', imagePullPolicy: Never, command: [{command}]}}\n"
        )
    };
    cluster.apply(&pod("of-node", "hostNetwork: true", "sleep, '100000'"))?;
    cluster.apply(&pod("ended", "hostNetwork: false", "'true'"))?;
    let row =
        eventually("the pod of the node is not known", AT_ONCE, || Ok(agent.workload("shop/of-node").ok()))?;
    let coverage = row["coverage"].to_string();
    ensure!(coverage.contains("the node's own network namespace"), "{row}");
    eventually("the pod did not end", Duration::from_secs(30), || {
        let phase =
            cluster.kubectl(&["get", "pod", "-n", "shop", "ended", "-o", "jsonpath={.status.phase}"])?;
        Ok((phase == "Succeeded").then_some(()))
    })?;
    // The kubelet takes its sandbox away in its own time.
    eventually("the ended pod is still known", Duration::from_secs(60), || {
        Ok(agent.workload("shop/ended").is_err().then_some(()))
    })
    .with_context(|| agent.log())
}
