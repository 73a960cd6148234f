//! The HTTP API: what the agent knows, as JSON, on a unix socket that only root can open and, where asked for, on
//! loopback TCP.
//!
//! In: a [`Source`], which the agent implements, and a future that ends when the agent drains. Out: `/v1/status`,
//! `/v1/workloads`, `/v1/names`, `/v1/policies`, `/v1/flows`, `/v1/explain`, `/healthz`, `/readyz`, and `/metrics` for
//! Prometheus. It only reads: nothing here changes what is enforced. Called by `agent`; read by `cli` and by anything
//! that speaks HTTP.
//!
//! Whoever connects is not trusted: requests are bounded in size and time, connections in number (each listener has
//! its own bound, so that TCP cannot starve root's socket), and a request that names a host other than loopback is
//! refused, so that a web page cannot reach the API through a name that it re-points at 127.0.0.1.

mod dest;
mod follow;
mod host;
mod listen;
mod metrics;
mod names;
mod policies;
mod query;
mod routes;
mod serve;
mod source;
mod status;
mod trouble;
mod workloads;

pub use dest::{Dest, DestError, Host};
pub use listen::{ListenError, LoopbackAddr, SocketFile, listen_on};
pub use metrics::AGENT_COUNTERS;
pub use names::{NameRow, Names};
pub use policies::{Policies, PolicyRow};
pub use query::FlowFilter;
pub use serve::{Server, converse};
pub use source::{ExplainError, NotReady, Source, UnknownWorkload};
pub use status::{ApiPlaces, AtSockets, NotCovered, PolicyProblem, PolicyStatus, Status, WorkloadTotals};
pub use trouble::Trouble;
pub use workloads::{EffectiveMode, WorkloadRow};
