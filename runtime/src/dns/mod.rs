//! From DNS answers to bindings: pure, without I/O or a clock.
//!
//! In comes what the kernel copied: a frame with a DNS answer ([`frame`]). [`answer`] reads what may be learned from
//! it, [`names`] remembers it for one workload, [`bind`] says which classes a name has and how they fit into a binding.
//! Out go the bindings that `enforce` writes, and the names that `flows` tells. Called by `agent`.
//!
//! Who sent the answer, and to which query, is not judged here: a frame arrives here only after the kernel program
//! found the workload's own query to one of its trusted resolvers.

pub mod answer;
pub mod bind;
pub mod frame;
pub mod names;

pub use answer::{Answer, Unlearned, parse};
pub use bind::{Matched, Matcher, Merge, Slot, merge};
pub use frame::{Checksum, FrameError, UdpFrame, complete_checksum};
pub use names::{Learned, Limits, Names};
