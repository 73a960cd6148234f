//! Numbers with a meaning.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(IntoBytes, FromBytes, Immutable, KnownLayout)]
        #[repr(transparent)]
        pub struct $name(pub u32);
    };
}

id! {
    /// A workload's place in the per-workload maps; 0 is nobody.
    WorkloadIndex
}
id! {
    /// A compiled ruleset; 0 is none: the workload is not judged yet.
    RulesetId
}
id! {
    /// Counts up with each change of what a workload may do; a flow of an older one is judged again.
    Epoch
}
id! {
    /// A rule of a policy, for its name; 0 is none, 1 the implied rule of trusted resolvers.
    RuleId
}
id! {
    /// A set of destinations; 0 is none.
    Class
}
id! {
    /// Coarse monotonic time in units of 2^26 ns (67 ms); [`Tick::NEVER`] never comes (9 years after boot).
    Tick
}

impl RuleId {
    /// No rule.
    pub const NONE: Self = Self(0);
    /// Every workload may ask its trusted resolvers.
    pub const DNS: Self = Self(1);
    /// The first that the agent gives to a rule of a policy.
    pub const FIRST: u32 = 2;
}

impl Class {
    /// No class.
    pub const NONE: Self = Self(0);
    const NAME: u32 = 1 << 31;

    /// The class of a name pattern: the same number in every ruleset.
    #[must_use]
    pub const fn name(number: u32) -> Self {
        Self(number | Self::NAME)
    }

    /// Whether it is the class of a name pattern; else its number means something within its ruleset only.
    #[must_use]
    pub const fn is_name(self) -> bool {
        self.0 & Self::NAME != 0
    }
}

impl Tick {
    /// Later than every other.
    pub const NEVER: Self = Self(u32::MAX);
    const SHIFT: u32 = 26;

    /// The tick in which `nanoseconds` of monotonic time fall.
    #[must_use]
    #[inline(always)]
    pub const fn from_nanoseconds(nanoseconds: u64) -> Self {
        Self((nanoseconds >> Self::SHIFT) as u32)
    }

    /// The fewest ticks that last at least `seconds`.
    #[must_use]
    pub const fn lasting_seconds(seconds: u32) -> Self {
        let nanoseconds = seconds as u64 * 1_000_000_000;
        Self((nanoseconds.div_ceil(1 << Self::SHIFT)) as u32)
    }

    /// When the tick starts, in nanoseconds of monotonic time.
    #[must_use]
    pub const fn nanoseconds(self) -> u64 {
        (self.0 as u64) << Self::SHIFT
    }

    /// This tick and `other` more, at most [`Tick::NEVER`].
    #[must_use]
    #[inline(always)]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// This tick less `other`, at least 0.
    #[must_use]
    #[inline(always)]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// The one word of a workload: its epoch and its ruleset, in one aligned 8-byte value so that no program ever sees
/// the rules of one policy under the epoch of another. The ruleset's highest bit says that the workload is being armed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Generation(pub u64);

impl Generation {
    const ARMING: u64 = 1 << 31;

    /// The word of `epoch` and `ruleset`.
    #[must_use]
    pub const fn new(epoch: Epoch, ruleset: RulesetId) -> Self {
        Self((epoch.0 as u64) << 32 | ruleset.0 as u64)
    }

    /// The same while the workload is armed: nothing that can be read is denied, and flows that are known go on as they
    /// are, for they are of the epoch to come.
    #[must_use]
    pub const fn arming(self) -> Self {
        Self(self.0 | Self::ARMING)
    }

    /// Whether the workload is being armed.
    #[must_use]
    #[inline(always)]
    pub const fn is_arming(self) -> bool {
        self.0 & Self::ARMING != 0
    }

    /// The epoch.
    #[must_use]
    #[inline(always)]
    pub const fn epoch(self) -> Epoch {
        Epoch((self.0 >> 32) as u32)
    }

    /// The ruleset.
    #[must_use]
    #[inline(always)]
    pub const fn ruleset(self) -> RulesetId {
        RulesetId((self.0 & (Self::ARMING - 1)) as u32)
    }
}
