//! Write policy modules for Egret in Rust: one typed function, tested natively and as Wasm.
//!
//! ```
//! use egret_sdk::{Attempt, Decision, Pattern, policy, settings};
//!
//! /// What a policy may say.
//! #[settings]
//! pub struct Settings {
//!     /// Names that are closed.
//!     closed: Vec<Pattern>,
//! }
//!
//! #[policy(inputs(names), summary = "Closes some names.")]
//! fn decide(attempt: &Attempt, settings: &Settings) -> Decision {
//!     match egret_sdk::first_match(&settings.closed, attempt) {
//!         Some((name, _)) => Decision::deny(format!("{name} is closed")).for_seconds(300),
//!         None => Decision::next(),
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! - `inputs(...)` says what the decision depends on: `workload`, `address`, `names`, `port`, `time`, `counters`. What is
//!   not declared is empty in the attempt, natively and in the agent. The fewer, the longer the agent may keep a verdict.
//! - `#[settings]` reads a type from a policy's `settings`, in camel case; unknown keys are refused. Its documentation
//!   becomes the schema that the module carries. `#[serde(default)]` and the other attributes of serde work in it.
//! - [`counters`], [`clock`] and [`log`] are the agent's; natively they are simulated.
//! - `on_answer = watch` names a function `fn watch(answer: &DnsAnswer, settings: &Settings) -> Opinion`, which is told of
//!   DNS answers where a policy names the module at the stage `answers`, and may have later ones refused.
//! - `cases!` makes a test of a file of cases. `egret module test` runs the same file on the `.wasm`.
//!
//! A module crate has `crate-type = ["cdylib", "rlib"]` and is built by `egret module build`.

mod host;
mod names;
mod policy;
#[cfg(feature = "zones")]
pub mod zones;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
#[cfg(target_arch = "wasm32")]
mod last_words;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use egret_contract::{
    Answer, Attempt, Cidr, CidrError, Decision, Destination, DnsAnswer, Input, Name, NameError, Opinion,
    Pattern, PatternError, Protocol, Refusal, Scope, Workload, parent,
};
pub use egret_sdk_macros::{policy, settings};
pub use host::{clock, counters, log};
pub use names::first_match;
pub use policy::{NoSettings, Policy, Slot};

// The attributes speak of these, so a module need not depend on them itself.
#[doc(hidden)]
pub use {schemars, serde};

// So that the attributes work within this crate too.
extern crate self as egret_sdk;
