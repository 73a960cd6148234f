//! From kernel events to flow records: what happened, added up, for people to read.
//!
//! In come first packets with their verdicts and names ([`Seen`]), told by `agent` as the kernel reports them. Out go
//! records ([`FlowLog::list`]) and single first packets as they come ([`FlowLog::follow`]), for `api`.

mod log;

pub use log::{DEFAULT_CAPACITY, Filter, FlowKey, FlowLog, Followed, Seen};
