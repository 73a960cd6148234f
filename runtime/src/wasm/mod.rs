//! Policy modules: from the bytes of a Wasm component and the settings of a policy to decisions.
//!
//! In: a module's bytes with a [`Manifest`] (from a [`folder`]), settings as JSON, an [`Attempt`]. Out: a [`Decision`],
//! whose scope and time are capped by what the module declares, or the [`Fault`] with its exact cause.
//!
//! bytes → [`Engine::load`] (compiled in a bounded child process, checked against the contract in `sdk/wit`) →
//! [`Module`] → [`Module::configure`] → [`Policy`] → [`Policy::decide`]. A policy holds a few instances that are ready;
//! they are made off the path. A module sees nothing of the machine: what it imports is linked one by one, and only if it
//! was granted. Everything it does is limited: time, memory, what it says. Called by `agent` and `cli`; nothing else in
//! this crate knows the engine that runs Wasm.

mod answer;
mod attempt;
mod bindings;
mod cache;
mod compile;
mod compiler;
mod decision;
mod engine;
mod fault;
pub mod folder;
mod host;
mod instance;
mod last_words;
mod log;
mod manifest;
mod module;
mod policy;
mod preparer;
mod refused;
mod sandbox;
mod ticker;
mod world;

#[cfg(test)]
mod tests;

pub use answer::DnsAnswer;
pub use attempt::{Attempt, Destination, Who};
pub use compile::Compiler;
pub use compiler::main as compiler_main;
pub use decision::Decision;
pub use egret_contract::{Answer, Input, Opinion, Refusal, Scope};
pub use engine::{Engine, EngineError, digest};
pub use fault::Fault;
pub use manifest::{FailurePolicy, Grants, Limits, Manifest};
pub use module::{Description, Module};
pub use policy::{Measured, Policy};
pub use refused::Refused;
