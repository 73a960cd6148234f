//! Kubernetes' own policies, enforced beside Egret's.

#![allow(missing_docs, reason = "a test file has no reader of its documentation")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_tests::dial::Seen;
use egret_tests::eventually;
use egret_tests::servers::serve_tcp;
use egret_tests_cluster::{Agent, Cluster, Pod, World};
use serde_json::Value;
use tokio::runtime::Runtime;

const AT_ONCE: Duration = Duration::from_secs(15);
const PORTS: [u16; 3] = [15432, 5432, 22];

/// What the chart gives to agents where the switches are on.
const RIGHTS: &str = "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: egret-test-upstream}
rules:
- {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [get, list, watch]}
- {apiGroups: [policy.networking.k8s.io], resources: [clusternetworkpolicies], verbs: [get, list, watch]}
- {apiGroups: [''], resources: [nodes], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: egret-test-upstream}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: egret-test-upstream}
subjects: [{kind: ServiceAccount, name: egret, namespace: egret}]
";

/// Its definition.
const DEFINITION: &str = include_str!("../definitions/clusternetworkpolicies.yaml");

/// A ClusterNetworkPolicy for the pods `app=web` of all namespaces.
fn cluster_policy(name: &str, tier: &str, rules: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: {name}}}\nspec:\n  \
         tier: {tier}\n  priority: 10\n  subject: {{pods: {{namespaceSelector: {{}}, podSelector: {{matchLabels: {{app: web}}}}}}}}\n  \
         egress: {rules}\n"
    )
}

/// A NetworkPolicy of namespace shop for the pods `app=web`, with these rules of egress.
fn network_policy(name: &str, rules: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
         podSelector: {{matchLabels: {{app: web}}}}\n  policyTypes: [Egress]\n  egress: {rules}\n"
    )
}

/// A pod of namespace data that answers on all of [`PORTS`], and calls one of them `sql`.
fn answering(cluster: &Cluster, runtime: &Runtime, name: &str, labels: &str) -> Result<Pod> {
    cluster.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: data, labels: {{{labels}}}}}\nspec:\n  restartPolicy: Never\n  \
         terminationGracePeriodSeconds: 1\n  containers:\n  - {{name: c, image: 'egret.test/busybox:1', imagePullPolicy: Never, command: [sleep, '100000'], \
         ports: [{{name: sql, containerPort: 15432}}]}}\n"
    ))?;
    let pod = cluster.found("data", name)?;
    for port in PORTS {
        serve_tcp(runtime, &pod.netns, format!("{}:{port}", pod.address).parse()?)?;
    }
    Ok(pod)
}

#[test]
fn a_network_policy_isolates_whom_it_selects_and_egret_does_not_widen_it() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["shop", "data"])?;
    let runtime = Runtime::new()?;
    cluster.give_rights()?;
    cluster.apply(RIGHTS)?;
    let web = cluster.run("shop", "web", "app=web")?;
    let other = cluster.run("shop", "other", "app=other")?;
    let db = answering(&cluster, &runtime, "db-0", "app: db")?;
    let cache = answering(&cluster, &runtime, "cache", "app: cache")?;
    let mut agent = Agent::start_with(&cluster, &["--network-policies"])?;
    agent.wait_for(&web, "unmanaged")?;
    web.becomes(&db.address, 22, Seen::Connected)?;

    // A range without an address in it.
    let block = format!("[{{to: [{{ipBlock: {{cidr: 10.0.0.0/8, except: [{}/32]}}}}]}}]", cache.address);
    cluster.apply(&network_policy("web", &block))?;
    web.becomes(&cache.address, 22, Seen::Refused).with_context(|| agent.log())?;
    web.is(&db.address, 22, Seen::Connected)?;
    agent.wait_for(&web, "Enforce")?;
    other.is(&cache.address, 22, Seen::Connected).context("whom it does not select")?;
    let told = agent.json(&["explain", "shop/web", &format!("{}:22", cache.address)])?.to_string();
    ensure!(told.contains("no rule of NetworkPolicy shop/web allows it"), "{told}");
    let rows = agent.json(&["policies"])?.to_string();
    ensure!(rows.contains("\"kind\":\"NetworkPolicy\""), "{rows}");
    let denied = |flow: &serde_json::Value| {
        flow["applied"]["policy"] == "NetworkPolicy shop/web" && flow["applied"]["rule"] == "egress"
    };
    ensure!(agent.flows()?.iter().any(denied), "{:?}", agent.flows()?);

    // Pods by labels, and a port by its name.
    cluster.kubectl(&["label", "namespace", "data", "tier=back"])?;
    let rules = "[{to: [{podSelector: {matchLabels: {app: db}}, namespaceSelector: {matchLabels: {tier: back}}}], \
                 ports: [{port: sql}]}]";
    cluster.apply(&network_policy("web", rules))?;
    web.becomes(&db.address, 22, Seen::Refused)?;
    web.becomes(&db.address, 15432, Seen::Connected).with_context(|| agent.log())?;
    web.is(&db.address, 5432, Seen::Refused).context("another port")?;
    web.is(&cache.address, 15432, Seen::Refused).context("another pod")?;
    web.is("10.9.9.1", 9, Seen::Refused).context("nobody answers there")?;
    let explained = agent.json(&["explain", "shop/web", "10.9.9.1:9"])?;
    ensure!(explained["applied"]["action"] == "allow", "its own node: {explained}");

    // Its service is opened with it.
    cluster.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: data}\nspec:\n  selector: {app: db}\n  ports: \
         [{name: sql, port: 5432, targetPort: 15432}, {name: ssh, port: 22}]\n",
    )?;
    let address =
        cluster.kubectl(&["get", "service", "-n", "data", "db", "-o", "jsonpath={.spec.clusterIP}"])?;
    web.becomes(&address, 5432, Seen::Connected).with_context(|| agent.log())?;
    web.is(&address, 22, Seen::Refused).context("another port of it")?;

    // Several allow what any does, and Egret's own policies must allow as well.
    cluster.apply(&network_policy(
        "more",
        &format!("[{{to: [{{ipBlock: {{cidr: {}/32}}}}]}}]", cache.address),
    ))?;
    web.becomes(&cache.address, 22, Seen::Connected)?;
    cluster.apply(&format!(
        "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {{name: web, namespace: shop}}\nspec:\n  podSelector: {{}}\n  \
         mode: Enforce\n  scope: all\n  allow: [{{to: [{{cidr: {}/32}}]}}]\n",
        db.address
    ))?;
    web.becomes(&cache.address, 22, Seen::Refused).context("Egret does not allow it")?;
    web.is(&db.address, 15432, Seen::Connected).context("both allow it")?;
    web.is(&db.address, 22, Seen::Refused).context("the NetworkPolicy does not allow it")?;

    // The next agent puts the same in force.
    agent.restart()?;
    agent.wait_for(&web, "Enforce")?;
    web.is(&db.address, 15432, Seen::Connected).context("after a restart")?;
    web.is(&db.address, 22, Seen::Refused).context("after a restart")?;
    cluster.kubectl(&["delete", "networkpolicy", "-n", "shop", "--all"])?;
    web.becomes(&db.address, 22, Seen::Connected)?;
    web.is(&cache.address, 22, Seen::Refused)
}

#[test]
fn tiers_of_a_cluster_network_policy_are_above_and_below_network_policies() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["shop", "data"])?;
    let runtime = Runtime::new()?;
    cluster.give_rights()?;
    cluster.apply(RIGHTS)?;
    let web = cluster.run("shop", "web", "app=web")?;
    let db = answering(&cluster, &runtime, "db-0", "app: db")?;
    let cache = answering(&cluster, &runtime, "cache", "app: cache")?;
    // The definition comes later, and until then nothing waits for it.
    let agent = Agent::start_with(&cluster, &["--network-policies", "--cluster-network-policies"])?;
    agent.wait_for(&web, "unmanaged")?;
    ensure!(!agent.log().contains("did not tell"), "{}", agent.log());
    cluster.define_other(DEFINITION, ["policy.networking.k8s.io", "v1alpha2"], "clusternetworkpolicies")?;

    let apply = |name: &str, tier: &str, rules: &str| cluster.apply(&cluster_policy(name, tier, rules));
    let pods = "{namespaces: {matchExpressions: [{key: tier, operator: In, values: [back]}]}}";
    cluster.kubectl(&["label", "namespace", "data", "tier=back"])?;
    apply("base", "Baseline", &format!("[{{action: Deny, to: [{pods}]}}]"))?;
    // It is looked for at least every half minute.
    let is_denied = || Ok((web.connect(&db.address, 22)? == Seen::Refused).then_some(()));
    eventually("the definition is not noticed", Duration::from_secs(60), is_denied)
        .with_context(|| agent.log())?;

    // A NetworkPolicy goes before the Baseline tier.
    cluster.apply(&network_policy("web", "[{}]"))?;
    web.becomes(&db.address, 22, Seen::Connected)?;
    // The Admin tier goes before both.
    apply(
        "admin",
        "Admin",
        &format!(
            "[{{name: no-ssh, action: Deny, to: [{pods}], protocols: [{{tcp: {{destinationPort: {{number: 22}}}}}}]}}]"
        ),
    )?;
    web.becomes(&db.address, 22, Seen::Refused)?;
    web.is(&db.address, 15432, Seen::Connected).context("another port")?;
    let told = agent.json(&["explain", "shop/web", &format!("{}:22", db.address)])?.to_string();
    ensure!(told.contains("rule no-ssh of ClusterNetworkPolicy admin denies"), "{told}");
    // What is passed is judged by the NetworkPolicy.
    let pass = format!(
        "[{{action: Pass, to: [{{networks: [{}/32]}}]}}, {{action: Deny, to: [{pods}]}}]",
        db.address
    );
    apply("admin", "Admin", &pass)?;
    web.becomes(&db.address, 22, Seen::Connected)?;
    web.becomes(&cache.address, 22, Seen::Refused)?;
    // What is accepted is not.
    cluster.apply(&network_policy("web", "[]"))?;
    web.becomes(&db.address, 22, Seen::Refused)?;
    apply("admin", "Admin", &pass.replace("Pass", "Accept"))?;
    web.becomes(&db.address, 22, Seen::Connected)?;

    // What cannot be read changes nothing of what is in force, and is told.
    apply(
        "admin",
        "Admin",
        &pass.replace("Pass", "Accept").replace(&format!("{}/32", db.address), "nowhere"),
    )?;
    let is_told = || Ok(agent.status()?.to_string().contains("`nowhere` is no range").then_some(()));
    eventually("what cannot be read is not told", AT_ONCE, is_told)?;
    let events = || cluster.kubectl(&["get", "events", "--namespace=default", "--output=json"]);
    let is_told = || {
        let events: Value = serde_json::from_str(&events()?)?;
        let is_it =
            |event: &&Value| event["reason"] == "EgressRefused" && event["involvedObject"]["name"] == "admin";
        Ok(events["items"].as_array().and_then(|all| all.iter().find(is_it).cloned()))
    };
    let event = eventually("the policy has no event", AT_ONCE, is_told).with_context(|| agent.log())?;
    let message = event["message"].as_str().unwrap_or_default();
    ensure!(event["involvedObject"]["kind"] == "ClusterNetworkPolicy", "{event:#}");
    ensure!(
        message.starts_with("spec.egress[0].to[0].networks[0]: `nowhere` is no range of addresses"),
        "{message}"
    );
    ensure!(message.ends_with("the last version that could be read stays in force"), "{message}");
    web.is(&db.address, 22, Seen::Connected).context("what was in force stays")?;
    web.is(&cache.address, 22, Seen::Refused).context("what was in force stays")?;
    cluster.kubectl(&["delete", "clusternetworkpolicies", "--all"])?;
    web.becomes(&db.address, 22, Seen::Refused)
}

/// Names that are accepted before everything is denied, and nodes.
#[test]
fn a_cluster_network_policy_knows_names_and_nodes() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["shop"])?;
    let world = World::of(&cluster)?;
    cluster.give_rights()?;
    cluster.apply(RIGHTS)?;
    cluster.define_other(DEFINITION, ["policy.networking.k8s.io", "v1alpha2"], "clusternetworkpolicies")?;
    let web = cluster.run("shop", "web", "app=web")?;
    let agent = Agent::start_with(&cluster, &["--cluster-network-policies"])?;
    agent.wait_for(&web, "unmanaged")?;
    web.becomes("github.com", 443, Seen::Connected)?;

    let ssh = "protocols: [{tcp: {destinationPort: {number: 22}}}]";
    let names =
        format!("{{name: code, action: Accept, to: [{{domainNames: ['*.name.test', github.com]}}], {ssh}}}");
    let all = "{name: rest, action: Deny, to: [{networks: [0.0.0.0/0, '::/0']}]}";
    let apply = |rules: &str| cluster.apply(&cluster_policy("admin", "Admin", rules));
    apply(&format!("[{names}, {all}]"))?;
    web.becomes("github.com", 443, Seen::Refused).with_context(|| agent.log())?;
    web.is("github.com", 22, Seen::Connected).with_context(|| agent.log())?;
    web.is("pagerduty.com", 22, Seen::Refused).context("another name")?;
    world.zone.set("very.deep.name.test", &["203.0.113.30"]);
    web.is("very.deep.name.test", 22, Seen::Connected).context("more than one label in the place of `*`")?;
    web.is("203.0.113.20", 22, Seen::Refused).context("an address of no name")?;
    let told = |rule: &str, action: &str| {
        let is_it = |flow: &serde_json::Value| {
            flow["applied"]["policy"] == "ClusterNetworkPolicy admin"
                && flow["applied"]["rule"] == rule
                && flow["applied"]["action"] == action
        };
        let flows = agent.flows()?;
        ensure!(flows.iter().any(is_it), "no {action} by {rule}: {flows:?}");
        Ok(())
    };
    told("code", "allow")?;
    told("rest", "deny")?;
    let explained = agent.json(&["explain", "shop/web", "github.com:22"])?.to_string();
    ensure!(explained.contains("rule code of ClusterNetworkPolicy admin"), "{explained}");

    // Egret's own policies must allow as well, by whichever names they know it.
    cluster.apply(
        "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {name: web, namespace: shop}\nspec:\n  podSelector: {}\n  \
         mode: Enforce\n  scope: all\n  allow: [{to: [{fqdn: '**.test'}, {fqdn: pagerduty.com}]}]\n",
    )?;
    web.becomes("github.com", 22, Seen::Refused).context("Egret does not allow it")?;
    web.is("pagerduty.com", 22, Seen::Refused).context("the ClusterNetworkPolicy does not allow it")?;
    web.is("very.deep.name.test", 22, Seen::Connected).context("both allow it")?;
    cluster.kubectl(&["delete", "egresspolicy", "-n", "shop", "web"])?;
    web.becomes("github.com", 22, Seen::Connected)?;

    let runtime = Runtime::new()?;
    serve_tcp(&runtime, &cluster.node, "10.9.9.1:8022".parse()?)?;
    web.is("10.9.9.1", 8022, Seen::Refused)?;
    let nodes =
        |label: &str| format!("{{action: Accept, to: [{{nodes: {{matchLabels: {{role: {label}}}}}}}]}}");
    cluster.kubectl(&["label", "nodes", "--all", "--overwrite", "role=edge"])?;
    apply(&format!("[{}, {names}, {all}]", nodes("edge")))?;
    web.becomes("10.9.9.1", 8022, Seen::Connected).with_context(|| agent.log())?;
    web.is("github.com", 443, Seen::Refused)?;
    cluster.kubectl(&["label", "nodes", "--all", "--overwrite", "role=core"])?;
    web.becomes("10.9.9.1", 8022, Seen::Refused)?;
    cluster.kubectl(&["label", "nodes", "--all", "role-"])?;
    cluster.kubectl(&["delete", "clusternetworkpolicies", "--all"])?;
    web.becomes("pagerduty.com", 22, Seen::Connected)
}

#[test]
fn without_the_switch_no_network_policy_is_looked_at() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["shop", "data"])?;
    let runtime = Runtime::new()?;
    let web = cluster.run("shop", "web", "app=web")?;
    let db = answering(&cluster, &runtime, "db-0", "app: db")?;
    cluster.apply(&network_policy("web", "[]"))?;
    let agent = Agent::start(&cluster)?;
    agent.wait_for(&web, "unmanaged")?;
    web.is(&db.address, 22, Seen::Connected)
}
