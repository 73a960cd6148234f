//! Compiles `ebpf/programs` to BPF objects, with whichever toolchain of this machine can.
//!
//! In: what [`probe`] sees on the machine. Out: a [`Way`] of compiling ([`choose`], pure), and from it the objects
//! ([`build`]). Called by `runtime/build.rs`, which embeds the objects, and by `cargo xtask setup`, which installs
//! what is missing. Two ways exist because neither works everywhere: see `docs/decisions/0001-building-ebpf.md`.

mod choose;
mod compile;
mod probe;

pub use choose::{Debian, Found, Kind, Linker, Llvm, Missing, Nightly, Way, choose};
pub use compile::{BuildError, Object, build};
pub use probe::{TARGET, probe, tools_dir};
