//! Names of rules, by which the programs learn answers themselves.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Class, OwnKey, RulesetId, Slot, WorkloadIndex};

/// Bytes of the end of a name that rules of one ruleset name; what is longer is left to the agent.
pub const NAME_BYTES: usize = 64;

/// Key of NAMES: the literal labels at the end of patterns, as a DNS message carries them, in lower case, the closing zero
/// included and zeros behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NameKey {
    /// Whose patterns.
    pub ruleset: RulesetId,
    /// The labels.
    pub name: [u8; NAME_BYTES],
}

/// A class of names, by how many labels may come before the literal ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NamedClass {
    /// The class; none: nothing is here.
    pub class: Class,
    /// So many labels at least.
    pub least: u8,
    /// So many at most; [`NamedClass::ANY`]: no matter how many.
    pub most: u8,
    /// Zero.
    pub zero: [u8; 2],
}

impl NamedClass {
    /// More labels than any name has.
    pub const ANY: u8 = u8::MAX;

    /// Whether a name with `before` labels before the literal ones is in it.
    #[must_use]
    #[inline(always)]
    pub const fn holds(&self, before: u32) -> bool {
        self.class.0 != 0 && self.least as u32 <= before && before <= self.most as u32
    }
}

/// Key of LEARNED: which of the addresses that the programs bound for a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LearnedKey {
    /// Whose.
    pub workload: WorkloadIndex,
    /// Its place, below [`crate::LEARNED_PER_WORKLOAD`].
    pub place: u32,
}

/// What the agent hands to the program that adds a class to what an address is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Lesson {
    /// Whose address.
    pub key: OwnKey,
    /// The class, and until when.
    pub slot: Slot,
}

/// Value of NAMES: used and free places, in no order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Named {
    /// The classes.
    pub classes: [NamedClass; 4],
}
