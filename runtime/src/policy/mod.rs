//! From policy files to rulesets, and the plain evaluator that explains a verdict. Without I/O but for reading files.

mod ruleset;

pub use ruleset::{Class, Default3, DestEntry, PortKey, RuleKey, RuleRef, Ruleset, Said};
