//! What is told of policies on the objects: whether they are in force, and what they deny.

#![allow(missing_docs, reason = "a test file has no reader of its documentation")]

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_tests::dial::Seen;
use egret_tests::eventually;
use egret_tests_cluster::{Agent, Cluster, UPDATES, World};
use serde_json::Value;

/// What only an agent can refuse.
const TWIN: &str = "  - name: git-over-ssh
    to: [{fqdn: pagerduty.com}]
";
/// How long what is told may take: a node tells within 3 s, counts within 15 s, and the status follows.
const SOON: Duration = Duration::from_secs(40);
/// A lease that nobody renews is taken after 15 s.
const TAKEN: Duration = Duration::from_secs(40);
const LEADS: &str = "this agent writes the status of policies";

fn object(cluster: &Cluster, args: &[&str]) -> Result<Value> {
    let text = cluster.kubectl(&[&["get", "-o", "json"], args].concat())?;
    serde_json::from_str(&text).context("kubectl")
}

fn updates(cluster: &Cluster) -> Result<Value> {
    object(cluster, &["egp", "-n", "updates", "updates"])
}

/// A condition, as `True Reason`, and its message.
fn condition(policy: &Value, kind: &str) -> (String, String) {
    let conditions = policy["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == kind).cloned().unwrap_or_default();
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (format!("{} {}", text("status"), text("reason")), text("message"))
}

/// Waits until the policy's status is `wanted`; what it is then.
fn becomes(cluster: &Cluster, agent: &Agent, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    eventually(what, SOON, || Ok(updates(cluster).ok().filter(|policy| wanted(policy))))
        .with_context(|| format!("{:#}\n{}", updates(cluster).unwrap_or_default()["status"], agent.log()))
}

fn is_now(policy: &Value, kind: &str, wanted: &str) -> bool {
    policy["status"]["observedGeneration"] == policy["metadata"]["generation"]
        && condition(policy, kind).0 == wanted
}

/// What pods of the namespace were told they are denied.
fn notices(cluster: &Cluster) -> Result<Vec<Value>> {
    let events = object(cluster, &["events", "-n", "updates"])?;
    let all = events["items"].as_array().cloned().unwrap_or_default();
    Ok(all.into_iter().filter(|event| event["reason"] == "EgressDenied").collect())
}

#[test]
fn a_policy_tells_whether_it_is_in_force_and_a_pod_what_it_is_denied() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["updates"])?;
    let _world = World::of(&cluster)?;
    let pod = cluster.run("updates", "git", "app=update")?;
    let agent = Agent::start(&cluster)?;
    cluster.apply(UPDATES)?;
    let policy =
        becomes(&cluster, &agent, "it is not enforced", |policy| is_now(policy, "Enforced", "True InForce"))?;
    ensure!(condition(&policy, "Accepted").0 == "True Understood", "{policy:#}");
    ensure!(condition(&policy, "Degraded").0 == "False AsItSays", "{policy:#}");
    ensure!(policy["status"]["workloads"] == 1 && policy["status"]["deniedLastHour"] == 0, "{policy:#}");
    let shown = cluster.kubectl(&["get", "egp", "-n", "updates"])?;
    let row: Vec<_> = shown.lines().nth(1).context("a row")?.split_whitespace().take(6).collect();
    ensure!(row == ["updates", "Enforce", "1", "0", "True", "True"], "{shown}");

    // The node tells the same, and its object goes with it.
    let uid = object(&cluster, &["node", &cluster.node_name])?["metadata"]["uid"].clone();
    // Who leads tells of its own node first.
    let node = eventually("the node does not tell", SOON, || {
        let node = object(&cluster, &["ens", &cluster.node_name])?;
        Ok((node["spec"]["policies"][0]["name"] == "updates").then_some(node))
    })?;
    ensure!(node["metadata"]["ownerReferences"][0]["uid"] == uid, "{node:#}");
    let told = &node["spec"]["policies"][0];
    ensure!(told["inForce"] == 1 && told["accepted"] == true, "{node:#}");
    let shown = cluster.kubectl(&["get", "ens"])?;
    ensure!(shown.contains("NOT-COVERED") && shown.contains(&cluster.node_name), "{shown}");

    // What is denied is counted, and told once on the pod.
    ensure!(pod.connect("pagerduty.com", 443)? == Seen::Refused, "it is not denied");
    becomes(&cluster, &agent, "nothing is counted", |policy| policy["status"]["deniedLastHour"] == 1)?;
    let told = eventually("the pod is not told", SOON, || Ok(notices(&cluster)?.pop()))
        .with_context(|| agent.log())?;
    ensure!(
        told["message"] == "denied pagerduty.com:443/TCP: no rule allows it (default-deny)"
            && told["type"] == "Warning",
        "{told:#}"
    );
    let described = cluster.kubectl(&["describe", "pod", "-n", "updates", "git"])?;
    ensure!(described.contains("EgressDenied"), "{described}");
    for _ in 0..3 {
        ensure!(pod.connect("pagerduty.com", 443)? == Seen::Refused, "it is not denied");
    }
    becomes(&cluster, &agent, "not all are counted", |policy| policy["status"]["deniedLastHour"] == 4)?;
    ensure!(notices(&cluster)?.len() == 1, "{:#?}", notices(&cluster)?);

    // What the agent refuses is told with its place, and what was in force stays.
    cluster.apply(&format!("{UPDATES}{TWIN}"))?;
    let policy =
        becomes(&cluster, &agent, "it is not refused", |policy| is_now(policy, "Accepted", "False Refused"))?;
    let (_, message) = condition(&policy, "Accepted");
    for part in ["spec.allow[1].name: ", "taken by the rule at spec.allow[0]", "its last good version stays"]
    {
        ensure!(message.contains(part), "{message}");
    }
    ensure!(condition(&policy, "Degraded").0 == "True Refused", "{policy:#}");
    ensure!(condition(&policy, "Enforced").0 == "False Refused", "{policy:#}");
    ensure!(policy["status"]["failingNodes"][0] == cluster.node_name.as_str(), "{policy:#}");
    ensure!(pod.connect("github.com", 22)? == Seen::Connected, "the last good one counts");
    ensure!(pod.connect("pagerduty.com", 443)? == Seen::Refused, "the last good one counts");

    // On trial nothing is denied, and no pod is told so.
    cluster.apply(&UPDATES.replace("Enforce", "Observe"))?;
    let policy = becomes(&cluster, &agent, "it is not on trial", |policy| {
        is_now(policy, "Enforced", "False Observe")
    })?;
    ensure!(condition(&policy, "Accepted").0 == "True Understood", "{policy:#}");
    ensure!(policy["status"]["failingNodes"] == Value::Null, "{policy:#}");
    ensure!(pod.connect("example.org", 443)? == Seen::Connected, "it is denied on trial");
    std::thread::sleep(Duration::from_secs(2));
    ensure!(notices(&cluster)?.len() == 1, "{:#?}", notices(&cluster)?);
    Ok(())
}

#[test]
fn the_next_agent_leads_once_the_one_before_is_silent() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["updates"])?;
    let lease = ["lease", "-n", "egret", "egret-status"];
    let holder = || -> Result<String> {
        let lease = object(&cluster, &lease)?;
        Ok(lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
    };
    let _ = cluster.kubectl(&[&["delete"][..], &lease].concat());
    cluster.apply(
        "apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: egret-status, namespace: egret}
spec: {holderIdentity: elsewhere, leaseDurationSeconds: 15, leaseTransitions: 3}
",
    )?;
    let mut agent = Agent::start(&cluster)?;
    cluster.apply(UPDATES)?;
    std::thread::sleep(Duration::from_secs(8));
    ensure!(holder()? == "elsewhere" && updates(&cluster)?["status"] == Value::Null, "it was not waited for");
    eventually("nobody takes the lease", TAKEN, || Ok((holder()? == cluster.node_name).then_some(())))
        .with_context(|| agent.log())?;
    ensure!(object(&cluster, &lease)?["spec"]["leaseTransitions"] == 4, "{}", object(&cluster, &lease)?);
    becomes(&cluster, &agent, "it is not read", |policy| is_now(policy, "Accepted", "True Understood"))?;

    // The next agent of the same node is the same holder, and need not wait.
    agent.restart()?;
    eventually("the next agent does not lead", Duration::from_secs(10), || {
        Ok(agent.log().contains(LEADS).then_some(()))
    })
    .with_context(|| agent.log())?;
    cluster.apply(&UPDATES.replace("port: 22", "port: 443"))?;
    becomes(&cluster, &agent, "the next generation is not told of", |policy| {
        policy["metadata"]["generation"] == 2 && is_now(policy, "Accepted", "True Understood")
    })?;
    Ok(())
}

#[test]
fn what_other_nodes_tell_counts_as_well() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["updates"])?;
    let pod = cluster.run("updates", "git", "app=update")?;
    let agent = Agent::start(&cluster)?;
    cluster.apply(UPDATES)?;
    agent.wait_for(&pod, "Enforce")?;
    let now = String::from_utf8(Command::new("date").args(["-u", "+%FT%TZ"]).output()?.stdout)?;
    let elsewhere = |told_at: &str| {
        format!(
            "apiVersion: egret.dev/v1alpha1
kind: EgressNodeStatus
metadata: {{name: elsewhere}}
spec:
  agentVersion: 0.0.1
  observedAt: {told_at}
  workloads: 2
  notCovered: 1
  policiesFailing: 1
  policies:
  - {{kind: EgressPolicy, namespace: updates, name: updates, observedGeneration: 1, accepted: true, workloads: 2,
     inForce: 1, notInForce: 'updates/far: its node has no programs', deniedLastHour: 5}}
"
        )
    };
    cluster.apply(&elsewhere(now.trim()))?;
    let policy = becomes(&cluster, &agent, "the other node does not count", |policy| {
        is_now(policy, "Enforced", "False NotInForce")
    })?;
    let (_, message) = condition(&policy, "Enforced");
    ensure!(
        message == "not in force for 1 pod on elsewhere, such as updates/far: its node has no programs",
        "{message}"
    );
    ensure!(policy["status"]["workloads"] == 3 && policy["status"]["deniedLastHour"] == 5, "{policy:#}");
    ensure!(policy["status"]["failingNodes"] == serde_json::json!(["elsewhere"]), "{policy:#}");

    // One that is known from before only, and was silent since.
    cluster.kubectl(&["delete", "ens", "elsewhere"])?;
    becomes(&cluster, &agent, "what is gone still counts", |policy| {
        is_now(policy, "Enforced", "True InForce")
    })?;
    cluster.apply(&elsewhere("2026-01-01T00:00:00Z"))?;
    let policy = becomes(&cluster, &agent, "its silence is not told", |policy| {
        is_now(policy, "Enforced", "Unknown NotReporting")
    })?;
    ensure!(condition(&policy, "Accepted").0 == "True Understood", "{policy:#}");
    ensure!(condition(&policy, "Degraded").0 == "True NotReporting", "{policy:#}");
    cluster.kubectl(&["delete", "ens", "elsewhere"])?;
    becomes(&cluster, &agent, "what is gone still counts", |policy| {
        is_now(policy, "Enforced", "True InForce")
    })?;
    Ok(())
}

#[test]
fn an_agent_that_may_write_nothing_enforces_and_says_once_what_it_cannot_tell() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["updates"])?;
    let _world = World::of(&cluster)?;
    let pod = cluster.run("updates", "git", "app=update")?;
    cluster.give_rights()?;
    cluster.kubectl(&["delete", "clusterrolebinding", "egret-agent-tells"])?;
    cluster.kubectl(&["delete", "rolebinding", "-n", "egret", "egret-self"])?;
    let agent = Agent::start(&cluster)?;
    cluster.apply(UPDATES)?;
    agent.wait_for(&pod, "Enforce")?;
    ensure!(pod.connect("github.com", 22)? == Seen::Connected, "what is allowed");
    ensure!(pod.connect("pagerduty.com", 443)? == Seen::Refused, "what is denied");
    let told = |log: &str| log.lines().filter(|line| line.contains("deploy/egret.yaml")).count();
    // This node, the lease, and an event.
    eventually("it does not say so", SOON, || Ok((told(&agent.log()) == 3).then_some(())))
        .with_context(|| agent.log())?;
    std::thread::sleep(Duration::from_secs(8));
    ensure!(told(&agent.log()) == 3, "{}", agent.log());
    ensure!(updates(&cluster)?["status"] == Value::Null, "somebody wrote it");
    ensure!(pod.connect("example.org", 443)? == Seen::Refused, "what is denied");

    // Once it may, it tells.
    cluster.give_rights()?;
    let what = "nothing is told once that is allowed";
    eventually(what, Duration::from_secs(130), || {
        Ok(updates(&cluster).ok().filter(|policy| is_now(policy, "Enforced", "True InForce")).map(drop))
    })
    .with_context(|| agent.log())
}
