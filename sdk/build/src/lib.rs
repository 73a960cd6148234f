//! Builds a policy module from the crate that it is written in.
//!
//! In: the crate's folder, and what [`probe`] sees on the machine. Out: a [`Way`] of compiling for
//! `wasm32-unknown-unknown` ([`choose`], pure), and the bytes of the component ([`build`]). Called by `egret module`, by
//! `cargo xtask setup`, which installs what is missing, and by tests. Several ways exist because none works everywhere:
//! a rustup toolchain has the target ready-made, Debian's `rustc-web` builds the standard library from its source.

mod choose;
mod compile;
mod component;
mod probe;

pub use choose::{Found, Kind, Missing, Way, choose};
pub use compile::{BuildError, Built, Options, build};
pub use component::{NotAModule, component};
pub use probe::{TARGET, probe, target_dir};
