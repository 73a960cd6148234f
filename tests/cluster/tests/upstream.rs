//! Kubernetes' own policies, enforced beside Egret's.

#![allow(missing_docs, reason = "a test file has no reader of its documentation")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_tests::dial::{Attempt, Seen};
use egret_tests::eventually;
use egret_tests::servers::serve_tcp;
use egret_tests_cluster::{Agent, Cluster, Pod};
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
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: egret-test-upstream}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: egret-test-upstream}
subjects: [{kind: ServiceAccount, name: egret, namespace: egret}]
";

/// The definition without its schema, which the agent does not need.
const DEFINITION: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: clusternetworkpolicies.policy.networking.k8s.io
  annotations: {api-approved.kubernetes.io: 'https://github.com/kubernetes-sigs/network-policy-api/pull/347'}
spec:
  group: policy.networking.k8s.io
  names: {kind: ClusterNetworkPolicy, listKind: ClusterNetworkPolicyList, plural: clusternetworkpolicies, singular: clusternetworkpolicy}
  scope: Cluster
  versions:
  - name: v1alpha2
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

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
         containers:\n  - {{name: c, image: 'egret.test/busybox:1', imagePullPolicy: Never, command: [sleep, '100000'], \
         ports: [{{name: sql, containerPort: 15432}}]}}\n"
    ))?;
    let pod = cluster.found("data", name)?;
    for port in PORTS {
        serve_tcp(runtime, &pod.netns, format!("{}:{port}", pod.address).parse()?)?;
    }
    Ok(pod)
}

fn connect(pod: &Pod, address: &str, port: u16) -> Result<Seen> {
    Ok(pod.dial(&Attempt::tcp(address, port))?.seen)
}

fn becomes(pod: &Pod, address: &str, port: u16, wanted: Seen) -> Result<()> {
    let what = format!("{} to {address}:{port} is not {wanted}", pod.id);
    eventually(&what, AT_ONCE, || Ok((connect(pod, address, port)? == wanted).then_some(())))
}

fn is(pod: &Pod, address: &str, port: u16, wanted: Seen) -> Result<()> {
    let seen = connect(pod, address, port)?;
    ensure!(seen == wanted, "{} to {address}:{port} is {seen}, not {wanted}", pod.id);
    Ok(())
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
    becomes(&web, &db.address, 22, Seen::Connected)?;

    // A range without an address in it.
    let block = format!("[{{to: [{{ipBlock: {{cidr: 10.0.0.0/8, except: [{}/32]}}}}]}}]", cache.address);
    cluster.apply(&network_policy("web", &block))?;
    becomes(&web, &cache.address, 22, Seen::Refused).with_context(|| agent.log())?;
    is(&web, &db.address, 22, Seen::Connected)?;
    agent.wait_for(&web, "Enforce")?;
    is(&other, &cache.address, 22, Seen::Connected).context("whom it does not select")?;
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
    becomes(&web, &db.address, 22, Seen::Refused)?;
    becomes(&web, &db.address, 15432, Seen::Connected).with_context(|| agent.log())?;
    is(&web, &db.address, 5432, Seen::Refused).context("another port")?;
    is(&web, &cache.address, 15432, Seen::Refused).context("another pod")?;
    is(&web, "10.9.9.1", 9, Seen::Refused).context("nobody answers there")?;
    let explained = agent.json(&["explain", "shop/web", "10.9.9.1:9"])?;
    ensure!(explained["applied"]["action"] == "allow", "its own node: {explained}");

    // Its service is opened with it.
    cluster.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: data}\nspec:\n  selector: {app: db}\n  ports: \
         [{name: sql, port: 5432, targetPort: 15432}, {name: ssh, port: 22}]\n",
    )?;
    let address =
        cluster.kubectl(&["get", "service", "-n", "data", "db", "-o", "jsonpath={.spec.clusterIP}"])?;
    becomes(&web, &address, 5432, Seen::Connected).with_context(|| agent.log())?;
    is(&web, &address, 22, Seen::Refused).context("another port of it")?;

    // Several allow what any does, and Egret's own policies must allow as well.
    cluster.apply(&network_policy(
        "more",
        &format!("[{{to: [{{ipBlock: {{cidr: {}/32}}}}]}}]", cache.address),
    ))?;
    becomes(&web, &cache.address, 22, Seen::Connected)?;
    cluster.apply(&format!(
        "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {{name: web, namespace: shop}}\nspec:\n  podSelector: {{}}\n  \
         mode: Enforce\n  scope: all\n  allow: [{{to: [{{cidr: {}/32}}]}}]\n",
        db.address
    ))?;
    becomes(&web, &cache.address, 22, Seen::Refused).context("Egret does not allow it")?;
    is(&web, &db.address, 15432, Seen::Connected).context("both allow it")?;
    is(&web, &db.address, 22, Seen::Refused).context("the NetworkPolicy does not allow it")?;

    // The next agent puts the same in force.
    agent.restart()?;
    agent.wait_for(&web, "Enforce")?;
    is(&web, &db.address, 15432, Seen::Connected).context("after a restart")?;
    is(&web, &db.address, 22, Seen::Refused).context("after a restart")?;
    cluster.kubectl(&["delete", "networkpolicy", "-n", "shop", "--all"])?;
    becomes(&web, &db.address, 22, Seen::Connected)?;
    is(&web, &cache.address, 22, Seen::Refused)
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
    let is_denied = || Ok((connect(&web, &db.address, 22)? == Seen::Refused).then_some(()));
    eventually("the definition is not noticed", Duration::from_secs(60), is_denied)
        .with_context(|| agent.log())?;

    // A NetworkPolicy goes before the Baseline tier.
    cluster.apply(&network_policy("web", "[{}]"))?;
    becomes(&web, &db.address, 22, Seen::Connected)?;
    // The Admin tier goes before both.
    apply(
        "admin",
        "Admin",
        &format!(
            "[{{name: no-ssh, action: Deny, to: [{pods}], protocols: [{{tcp: {{destinationPort: {{number: 22}}}}}}]}}]"
        ),
    )?;
    becomes(&web, &db.address, 22, Seen::Refused)?;
    is(&web, &db.address, 15432, Seen::Connected).context("another port")?;
    let told = agent.json(&["explain", "shop/web", &format!("{}:22", db.address)])?.to_string();
    ensure!(told.contains("rule no-ssh of ClusterNetworkPolicy admin denies"), "{told}");
    // What is passed is judged by the NetworkPolicy.
    let pass = format!(
        "[{{action: Pass, to: [{{networks: [{}/32]}}]}}, {{action: Deny, to: [{pods}]}}]",
        db.address
    );
    apply("admin", "Admin", &pass)?;
    becomes(&web, &db.address, 22, Seen::Connected)?;
    becomes(&web, &cache.address, 22, Seen::Refused)?;
    // What is accepted is not.
    cluster.apply(&network_policy("web", "[]"))?;
    becomes(&web, &db.address, 22, Seen::Refused)?;
    apply("admin", "Admin", &pass.replace("Pass", "Accept"))?;
    becomes(&web, &db.address, 22, Seen::Connected)?;

    // What cannot be read changes nothing of what is in force, and is told.
    apply("admin", "Admin", &pass.replace("Pass", "Accept").replace("networks", "later"))?;
    let is_told = || Ok(agent.status()?.to_string().contains("`later` is not known here").then_some(()));
    eventually("what cannot be read is not told", AT_ONCE, is_told)?;
    is(&web, &db.address, 22, Seen::Connected).context("what was in force stays")?;
    is(&web, &cache.address, 22, Seen::Refused).context("what was in force stays")?;
    cluster.kubectl(&["delete", "clusternetworkpolicies", "--all"])?;
    becomes(&web, &db.address, 22, Seen::Refused)
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
    is(&web, &db.address, 22, Seen::Connected)
}
