//! DNS names and the patterns that rules write. Policy modules read them the same way, so their meaning is in
//! `sdk/contract`, which both share.

pub use egret_contract::{Name, NameError, Pattern, PatternError};
