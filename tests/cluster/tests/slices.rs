//! What is behind services, told by `EndpointSlice` as clusters since 1.21 have it.
//!
//! The cluster's own servers are older, so the definition of slices is a custom one here, and the test writes what a controller
//! would.

#![allow(missing_docs, reason = "a test file has no reader of its documentation")]

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_tests::dial::{Attempt, Seen};
use egret_tests::eventually;
use egret_tests::servers::serve_tcp;
use egret_tests_cluster::{Agent, Cluster, Pod};
use serde_json::json;
use tokio::runtime::Runtime;

/// Of this version: the servers have an older one by themselves.
const SLICES: &str = "endpointslices.v1.discovery.k8s.io";
const AT_ONCE: Duration = Duration::from_secs(10);
const DEFINITION: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: endpointslices.discovery.k8s.io
  annotations: {api-approved.kubernetes.io: 'unapproved, it stands in for what newer servers have'}
spec:
  group: discovery.k8s.io
  names: {kind: EndpointSlice, listKind: EndpointSliceList, plural: endpointslices, singular: endpointslice}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
";
/// It selects nothing: who is behind it is written beside it, and in the older way somebody else.
const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: db, namespace: data}
spec:
  ports: [{name: sql, port: 5432}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: db, namespace: data}
subsets: [{addresses: [{ip: CACHE}], ports: [{name: sql, port: 15432}]}]
";
const POLICY: &str = "apiVersion: egret.dev/v1alpha1
kind: EgressPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  mode: Enforce
  scope: all
  allow:
  - to: [{service: {name: db, namespace: data}}]
";

/// Slices are served for as long as it lives.
struct Slices<'a>(&'a Cluster);

impl<'a> Slices<'a> {
    fn serve(cluster: &'a Cluster) -> Result<Self> {
        let this = Self(cluster);
        cluster.apply(DEFINITION)?;
        let xtask = std::env::var("EGRET_XTASK")
            .context("EGRET_XTASK: run these with `cargo xtask test --cluster`")?;
        let group = ["cluster", "--name", &cluster.name, "group", "discovery.k8s.io", "v1"];
        let added = Command::new(xtask).args(group).output()?;
        ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        Ok(this)
    }
}

impl Drop for Slices<'_> {
    fn drop(&mut self) {
        let _ = self.0.kubectl(&["delete", "apiservice", "v1.discovery.k8s.io"]);
        let _ = self.0.kubectl(&["delete", "crd", "endpointslices.discovery.k8s.io"]);
    }
}

fn slice(name: &str, pod: &Pod, conditions: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}, namespace: data, labels: \
         {{kubernetes.io/service-name: db}}}}\naddressType: IPv4\nendpoints:\n- {{addresses: [{}], conditions: {{{conditions}}}}}\n\
         ports:\n- {{name: sql, protocol: TCP, port: 15432}}\n",
        pod.address
    )
}

#[test]
fn what_serves_behind_a_service_is_reached_as_its_slices_say() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["shop", "data"])?;
    let _slices = Slices::serve(&cluster)?;
    let runtime = Runtime::new()?;
    let web = cluster.run("shop", "web", "app=web")?;
    let answering = |name: &str| -> Result<Pod> {
        let pod = cluster.run("data", name, "app=db")?;
        serve_tcp(&runtime, &pod.netns, format!("{}:15432", pod.address).parse()?)?;
        Ok(pod)
    };
    let (first, second, cache) = (answering("db-0")?, answering("db-1")?, answering("cache")?);
    let becomes = |pod: &Pod, wanted: Seen| {
        let what = format!("{} is not {wanted}", pod.id);
        eventually(&what, AT_ONCE, || {
            let seen = web.dial(&Attempt::tcp(&pod.address, 15432))?.seen;
            Ok((seen == wanted).then_some(()))
        })
    };
    cluster.apply(&SERVICE.replace("CACHE", &cache.address))?;
    cluster.apply(&slice("db-a", &first, "ready: true"))?;
    cluster.apply(&slice("db-b", &second, "ready: false"))?;

    let agent = Agent::start(&cluster)?;
    cluster.apply(POLICY)?;
    agent.wait_for(&web, "Enforce")?;
    becomes(&first, Seen::Connected).with_context(|| agent.log())?;
    becomes(&second, Seen::Refused)?;
    becomes(&cache, Seen::Refused).context("the older way counts no more")?;
    let becomes_ready = |ready: bool, serving: bool| {
        let conditions = json!({"ready": ready, "serving": serving, "terminating": !ready});
        let endpoints = json!({"endpoints": [{"addresses": [second.address], "conditions": conditions}]});
        let patch = ["patch", SLICES, "-n", "data", "db-b", "--type=merge", "-p", &endpoints.to_string()];
        cluster.kubectl(&patch).map(drop)
    };
    becomes_ready(true, true)?;
    becomes(&second, Seen::Connected)?;
    // It ends, and is still there for those that have to do with it.
    becomes_ready(false, true)?;
    cluster.kubectl(&["delete", SLICES, "-n", "data", "db-a"])?;
    becomes(&first, Seen::Refused)?;
    becomes(&second, Seen::Connected)?;
    becomes_ready(false, false)?;
    becomes(&second, Seen::Refused)
}
