//! From DNS answers to bindings: pure, without I/O or a clock.
//!
//! In comes what the kernel copied: a frame with a DNS answer over UDP ([`frame`]), [`fragments`] of one, or segments of
//! [`connections`] over TCP, whose [`stream`] gives whole messages. [`answer`] reads what may be learned from one, [`names`] remembers it for
//! one workload, [`bind`] says which classes a name has and how they fit into a binding. Out go the bindings that
//! `enforce` writes, and the names that `flows` tells. [`asked`] says what modules are told of an answer, and [`refuse`] makes
//! one that they are against a refusal. Called by `agent`.
//!
//! Who sent it is not judged here: a frame arrives here only where the kernel program found that it is from a trusted
//! resolver. Whether the workload asked is judged there for UDP, and here for TCP, by its [`question`].

pub mod answer;
pub mod asked;
pub mod bind;
pub mod connections;
pub mod fragment;
pub mod fragments;
pub mod frame;
pub mod names;
pub mod question;
pub mod quota;
pub mod refuse;
mod service;
pub mod stream;
pub mod tcp;

pub use answer::{Answer, Searched, Unlearned, parse};
pub use asked::{Asked, asked};
pub use bind::{Matched, Matcher, Merge, Slot, merge};
pub use connections::{Connections, Stray};
pub use fragment::Fragment;
pub use fragments::Fragments;
pub use frame::{Checksum, FrameError, Merged, UdpFrame, complete_checksum};
pub use names::{Learned, Limits, Names};
pub use quota::Quota;
pub use refuse::refuse;
pub use tcp::TcpFrame;
