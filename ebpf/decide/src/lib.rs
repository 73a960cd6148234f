//! Egret's packet logic without a kernel: header bytes → key → verdict.
//!
//! The eBPF programs call these functions with kernel maps behind [`Tables`] and packet memory behind [`Packet`];
//! unit tests call them with plain tables and byte slices. In: what a workload sends ([`egress::from_pod`], or at its sockets
//! [`egress::socket`]) or is sent ([`ingress::to_pod`]). Out: what to do with it. Nothing here allocates, loops without a bound, or is unsafe.
#![cfg_attr(not(any(test, feature = "testing")), no_std)]
#![forbid(unsafe_code)]

pub mod budget;
pub mod egress;
pub mod inbound;
pub mod ingress;
pub mod learn;
pub mod parse;
pub mod probe;
pub mod question;
pub mod refuse;
pub mod related;
pub mod tables;

pub use egress::{Egress, from_pod, socket};
pub use ingress::{Exchange, Ingress, Segment, to_pod};
pub use parse::{FlowKey, Packet};
pub use tables::Tables;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
