//! Egret's agent for one node, and its command line.
//!
//! The folders read in the order data flows; each may use only those before it (a test fails on a back edge):
//! `model` (the words of the field) → `kernel` (programs, maps, devices, namespaces) → `dns` (answers to bindings) →
//! `workloads` (who is on this node) → `policy` (files to rulesets) → `cluster` (the same from Kubernetes) →
//! `wasm` (modules to decisions) → `state` (what a restart needs) →
//! `enforce` (desired state to maps) → `flows` (events to records) → `api` (HTTP) → `agent` (all of it, wired) →
//! `cli` (what a person types).

pub mod model;

pub mod kernel;

pub mod dns;

pub mod workloads;

pub mod policy;

pub mod cluster;

pub mod wasm;

pub mod state;

pub mod enforce;

pub mod flows;

pub mod api;

pub mod agent;

pub mod cli;
