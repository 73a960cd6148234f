//! The words of the field as types, with no I/O: names and patterns, workloads, policies, verdicts, flow records.
//! Everything else in this crate speaks in these.

mod class;
mod flow;
mod module;
mod name;
mod policy;
mod policy_id;
mod selector;
mod target;
mod upstream;
mod verdict;
mod workload;

pub use class::NameClass;
pub(crate) use class::both;
pub use flow::{Attempt, Destination, FlowRecord, WorkloadRef};
pub use module::{FailurePolicy, ModuleAnswer, ModuleFacts, ModuleStage, ModuleUse, Modules};
pub use name::{Name, NameError, Pattern, PatternError};
pub use policy::{Ceiling, Mode, OnDeny, Origin, Policy, PortRange, Rule, Scope};
pub use policy_id::{PolicyId, PolicyKind};
pub use selector::{Operator, Requirement, Selector};
pub use target::{Block, Found, NamedPort, Namespaces, PodsOf, ServiceName, Spot, Target};
pub use upstream::{Tier, Upstream, UpstreamAction, UpstreamRule};
pub use verdict::{Action, Kind, Protocol, Reason, Verdict, Verdicts};
pub use workload::{Coverage, LINK_LOCAL, Labels, NAMESPACE_NAME, Namespace, Place, Workload, WorkloadId};
