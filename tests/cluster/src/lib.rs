//! What the tests on a real Kubernetes stand on: the cluster that `cargo xtask cluster up` brought up, a world for its pods
//! to reach, and an agent on its node.
//!
//! [`cluster`] (kubectl, pods, their namespaces) → [`world`] (who answers outside), [`gateway`] (a way to the API server that
//! can be closed) → [`agent`] (the program under test, by its command line only), [`installed`] (the same, by its
//! chart), [`holds`] (what that holds), [`load`] (what a pod does meanwhile). [`show`] is the demo, with Egret installed by its chart.

pub mod agent;
pub mod cluster;
pub mod gateway;
pub mod holds;
pub mod installed;
pub mod load;
pub mod show;
pub mod world;

/// What pods `app=update` of the namespace `updates` may reach.
pub const UPDATES: &str = "apiVersion: egret.dev/v1alpha1
kind: EgressPolicy
metadata: {name: updates, namespace: updates}
spec:
  podSelector: {matchLabels: {app: update}}
  mode: Enforce
  scope: internet
  allow:
  - name: git-over-ssh
    to: [{fqdn: github.com}]
    ports: [{protocol: TCP, port: 22}]
";

pub use agent::Agent;
pub use cluster::{Cluster, Pod};
pub use world::World;
