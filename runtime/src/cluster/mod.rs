//! Kubernetes: which pods are on this node, and the policies that are objects.
//!
//! In: what the API server tells ([`follow()`]), and the network namespaces that control groups lead to. Out: the same that
//! files would say, a list of workloads and policy texts ([`View`]), and a word that they changed; and what policies lead to in the cluster, where
//! they name services or pods ([`Follower`]). The only module that knows
//! `kube`. Called by `agent`.

mod around;
pub mod client;
pub mod follow;
mod mirror;
pub mod objects;
mod pods;
mod view;

pub use client::{Access, ClusterError, connect};
pub use follow::{Follower, follow};
pub use view::{News, View};
