//! From policy files to rulesets, and the plain evaluator that explains a verdict. Without I/O but for reading files.
//!
//! In: a directory of YAML or JSON files ([`load_dir`]), kept good by [`refresh`]. Out: one [`Ruleset`] for the policies
//! that select a workload ([`compile`]), which `enforce` writes to the kernel; both verdicts on an attempt where modules are
//! asked ([`consult()`]), for whoever runs them; an [`Explanation`] of any attempt, which the API answers with; a
//! [`Report`] for `egret policy check`.

mod asked;
mod behind;
mod check;
mod compile;
mod consult;
mod evaluate;
mod explain;
mod load;
mod neighbours;
mod path;
mod problem;
mod ruleset;
mod schema;
mod store;
mod tiers;
mod upstream;
mod yaml;

#[cfg(test)]
pub(crate) mod tests;

pub use asked::{Asked, Asks, Which};
pub use check::{CheckResult, Checked, Report, check};
pub use compile::{Excess, MAX_COMBINED, MAX_RULES, Open, Ranges, TooLarge, bounds, compile, compile_bounds};
pub use consult::{consult, consult_after};
pub use evaluate::evaluate;
pub use explain::{
    Answered, Decider, Explanation, Finding, Stage, Step, Undecided, explain, explain_question,
};
pub use load::{Good, Outcome, load_dir, of_files};
pub use neighbours::{
    Endpoints, Neighbours, NodeAddresses, ObjectName, PodAddresses, Selected, Service, ServicePort, Wanted,
};
pub use problem::Problem;
pub use ruleset::{Class, Default3, DestEntry, Entry, First, PortKey, RuleKey, RuleRef, Ruleset, Said};
pub use schema::parse;
pub use store::{Accepted, refresh};
pub use yaml::MAX_FILE_BYTES;
