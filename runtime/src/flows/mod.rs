//! From kernel events to flow records: what happened, added up, for people to read.
//!
//! In come first packets with their verdicts and names ([`Seen`]), told by `agent` as the kernel reports them. Out go
//! records: those there are ([`FlowLog::list`]) and each as it is added to ([`FlowLog::follow`]), for `api`, which
//! picks the ones it wants; and how many there were in each namespace, for metrics ([`Totals`]), and how many were denied by
//! each policy, for its status ([`DeniedLastHour`]).

mod denied;
mod log;
mod totals;

pub use denied::{DEFAULT_POLICIES, DeniedLastHour};
pub use log::{DEFAULT_CAPACITY, FlowKey, FlowLog, Seen};
pub use totals::{DEFAULT_NAMESPACES, FirstPackets, Totals};
