//! The words of the field as types, with no I/O: names and patterns, workloads, policies, verdicts, flow records.
//! Everything else in this crate speaks in these.

mod flow;
mod name;
mod policy;
mod verdict;
mod workload;

pub use flow::{Attempt, Destination, FlowRecord, WorkloadRef};
pub use name::{Name, NameError, Pattern, PatternError};
pub use policy::{EgressPolicy, Mode, OnDeny, Origin, PolicyId, PortRange, Rule, Scope, Selector, Target};
pub use verdict::{Action, Kind, Protocol, Reason, Verdict, Verdicts};
pub use workload::{Coverage, Labels, Namespace, Place, Workload, WorkloadId};
