//! Kubernetes: which pods are on this node, and the policies that are objects.
//!
//! In: what the API server tells ([`follow()`]), and the network namespaces that control groups lead to. Out: the same that
//! files would say, a list of workloads and policy texts ([`View`]), and a word that they changed; what policies lead to in the
//! cluster, where they name services or pods ([`Follower`]); and on the objects what became of policies ([`tell`]), and on pods
//! what they are denied ([`notify`]). The only module that knows `kube`. Called by `agent`.

mod around;
mod behind;
pub mod client;
pub mod follow;
mod listen;
mod mirror;
pub mod objects;
mod pods;
mod sandbox;
mod status;
mod view;
mod written;

pub use client::{Access, ClusterError, ObjectName, connect};
pub use follow::{Follower, follow};
/// The way to the API server.
pub use kube::Client;
pub use status::{Ask, Denied, Notices, PolicyHere, Refusal, RefusedUpstream, Snapshot, notify, tell};
pub use view::{Listed, News, View};
