//! Builds a policy module from the folder that it is written in.
//!
//! In: the folder, and what is on the machine. Out: the bytes of the component ([`build`]). Called by `egret module` and by
//! tests. [`Language`] says what a folder is.
//!
//! *Rust*: what [`probe`] sees becomes a [`Way`] of compiling for `wasm32-unknown-unknown` ([`choose`], pure). Several
//! ways exist because none works everywhere: a rustup toolchain has the target ready-made, Debian's `rustc-web` builds
//! the standard library from its source. *Python* and *JavaScript* have toolchains of their own, in `others`; which
//! versions `cargo xtask setup` installs is in `sdk/build/toolchains`.

mod build;
mod choose;
mod compile;
mod component;
mod language;
mod others;
mod probe;

pub use build::{BuildError, Built, Options, build};
pub use choose::{Found, Kind, Missing, Way, choose};
pub use component::{NotAModule, component};
pub use language::Language;
pub use others::{Absent, languages_dir};
pub use probe::{TARGET, probe, target_dir};
