//! From policy files to rulesets, and the plain evaluator that explains a verdict. Without I/O but for reading files.

mod compile;
mod evaluate;
mod load;
mod problem;
mod ruleset;
mod schema;
mod store;
mod yaml;

pub use compile::{MAX_RULES, Ranges, TooLarge, compile};
pub use evaluate::evaluate;
pub use load::{Good, Outcome, load_dir};
pub use problem::Problem;
pub use ruleset::{Class, Default3, DestEntry, PortKey, RuleKey, RuleRef, Ruleset, Said};
pub use schema::parse;
pub use store::{Accepted, refresh};
pub use yaml::MAX_FILE_BYTES;
