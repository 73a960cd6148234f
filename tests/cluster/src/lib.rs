//! What the tests on a real Kubernetes stand on: the cluster that `cargo xtask cluster up` brought up, a world for its pods
//! to reach, and an agent on its node.
//!
//! [`cluster`] (kubectl, pods, their namespaces) → [`world`] (who answers outside), [`gateway`] (a way to the API server that
//! can be closed) → [`agent`] (the program under test, by its command line only), [`installed`] (the same, by its
//! chart). [`show`] is the demo, with Egret installed by its chart.

pub mod agent;
pub mod cluster;
pub mod gateway;
pub mod installed;
pub mod show;
pub mod world;

pub use agent::Agent;
pub use cluster::{Cluster, Pod};
pub use world::World;
