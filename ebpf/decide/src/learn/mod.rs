//! An answer of ordinary shape, learned where it passes: no user space is asked, and its bindings are there before it goes on.
//!
//! Three steps, for the verifier follows each once: [`question`] reads the message and finds the classes of its name,
//! [`records`] gathers the addresses that the name leads to, [`bind`] binds them. Nothing is bound before the last record
//! was read. What is not of ordinary shape ([`Next::Odd`]) is left to the agent: a name of many labels, more than 16
//! records, records that are not in the order of the chain, an owner that is spelled otherwise than before, a truncated
//! message, services.

mod binding;
mod message;
mod question;
mod records;

use egret_abi::{Address, Binding, Class, NAME_BYTES, Named, OwnKey, RulesetId, Slot, Tick, WorkloadIndex};

pub use binding::{Taught, bind, teach};
pub use message::{LONGEST, MESSAGE};
pub use question::question;
pub use records::records;

/// Addresses of one answer.
pub const ADDRESSES: usize = 16;
/// Records of one answer.
pub const RECORDS: u32 = 16;
/// Classes of one name.
pub const CLASSES: usize = 8;
/// Bytes of memory for a name: the longest one, and a key behind it.
pub const NAME: usize = 256 + NAME_BYTES;
/// Labels of a name that is learned here.
pub const LABELS: usize = 16;

/// What is known of the answer in hand; part of the ABI, as what steps hand over is.
#[repr(C)]
pub struct Learning {
    /// The DNS message.
    pub message: [u8; MESSAGE],
    /// The name of the question as it is in the message, in lower case, zeros for the length of a key behind it, and what
    /// is left of another one.
    pub name: [u8; NAME],
    /// Where the labels of the question start in `name`.
    pub labels: [u8; LABELS],
    /// What the name leads to.
    pub addresses: [Address; ADDRESSES],
    /// For how many seconds each.
    pub seconds: [u32; ADDRESSES],
    /// The classes of the name.
    pub classes: [Class; CLASSES],
    /// Who asked.
    pub workload: WorkloadIndex,
    /// How many bytes the message has.
    pub length: u32,
    /// Where the next record starts.
    pub at: u32,
    /// How many records are left.
    pub left: u32,
    /// Where the name is that the chain of aliases has led to.
    pub chain: u32,
    /// How many bytes it has; 0: its end is elsewhere.
    pub chain_length: u32,
    /// The lowest TTL on the way there.
    pub chain_seconds: u32,
    /// How many addresses were found.
    pub found: u32,
    /// How many of them are bound.
    pub bound: u32,
    /// How many labels the name has.
    pub label_count: u32,
    /// What cannot stand in the name of a host, less what was counted and is none of it.
    pub odd: u32,
    /// How many classes the name has.
    pub named: u32,
    /// 1: something is bound that was not, or that ended soon; or no rule names the name.
    pub is_news: u32,
    /// 1: nobody else needs to read the answer before it goes on.
    pub suffices: u32,
    /// Where a name is read, and what of it was read; see [`records`].
    pub walk: Walk,
}

/// A name in the middle of being read. In memory, for there the verifier knows nothing of it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Walk {
    /// The next byte.
    pub at: u32,
    /// Where this run of labels starts; a pointer leads before it.
    pub start: u32,
    /// Where it must have ended.
    pub limit: u32,
    /// Bytes of the name so far.
    pub total: u32,
    /// Where what is in the record itself ends; 0: not yet.
    pub end: u32,
}

/// What was written is in memory when this returns, and what is read after it comes from there: the compiler would else
/// keep it in registers, of which the verifier knows too much.
#[inline(always)]
fn into_memory(learning: &mut Learning) {
    core::hint::black_box(learning);
}

/// What comes next.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This step again.
    Again,
    /// The next step.
    On,
    /// It teaches nothing that rules name.
    Nothing,
    /// It is not of ordinary shape, or there is no room: the agent's.
    Odd,
}

/// What answers are learned into.
pub trait Lessons {
    /// The classes of the patterns of `ruleset` that end with what is in `name` from `at` on.
    fn named(&self, ruleset: RulesetId, name: &[u8; NAME], at: usize) -> Option<Named>;
    /// Runs `f` on what an address is bound to.
    fn with_binding<R>(&self, key: &OwnKey, f: impl FnOnce(&mut Binding) -> R) -> Option<R>;
    /// Puts `new` in the place of `old`, unless something else is there by now: then false.
    fn put_slot(&self, slot: &mut Slot, old: Slot, new: Slot) -> bool;
    /// Binds an address that is not bound; false: the workload has its share, or there is no room.
    fn bind_anew(&self, key: &OwnKey, binding: &Binding, now: Tick) -> bool;
}
