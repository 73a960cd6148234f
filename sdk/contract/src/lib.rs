//! What an agent and a policy module share beside the WIT in `sdk/wit`: the meaning of names, the words of an attempt and
//! of a decision, how counters count, and how cases are written. No I/O.
//!
//! Used by the runtime (`model` for names, `wasm` and `cli` for the rest) and by `egret-sdk`, so that what a module's
//! tests see is what an agent does.

mod attempt;
#[cfg(feature = "cases")]
pub mod cases;
mod cidr;
mod decision;
mod dns;
#[cfg(feature = "cases")]
mod expect;
#[cfg(feature = "cases")]
mod lookup;
mod name;
#[cfg(feature = "schema")]
mod schema;
mod text;
#[cfg(feature = "windows")]
pub mod windows;

pub use attempt::{Attempt, Destination, Protocol, Workload};
pub use cidr::{Cidr, CidrError};
pub use decision::{Answer, Decision, Input, LONGEST, LONGEST_BY_TIME, Scope, capped};
pub use dns::{DnsAnswer, LONGEST_REFUSAL, Opinion, Refusal, parent, refused_domain};
pub use name::{Name, NameError, Pattern, PatternError};
pub use text::{cut, shown};
