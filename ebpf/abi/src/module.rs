//! What policy modules said, and the packets that wait for it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Address, Epoch, Said, Tick};

/// Key of a workload's VERDICTS: what its modules were asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct VerdictKey {
    /// The destination.
    pub remote: Address,
    /// The port dialled, or 0.
    pub remote_port: [u8; 2],
    /// The workload's own port, or an echo's identifier, where the verdict is about one flow alone; else 0.
    pub local_port: [u8; 2],
    /// The IP protocol; echo of both families as 1.
    pub protocol: u32,
}

impl VerdictKey {
    /// The same for every flow there.
    #[must_use]
    #[inline(always)]
    pub const fn for_all_flows(self) -> Self {
        Self { local_port: [0; 2], ..self }
    }
}

/// Value of VERDICTS: what rules and modules said, which the programs repeat without asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CachedVerdict {
    /// The workload's epoch when they were asked; of another one, it counts for nothing.
    pub epoch: Epoch,
    /// Until when; at that tick it is over.
    pub until: Tick,
    /// What the Enforce policies and their modules said.
    pub applied: Said,
    /// What all policies and modules said.
    pub observed: Said,
    /// Applied [`crate::action_reason`].
    pub applied_why: u8,
    /// Observed [`crate::action_reason`].
    pub observed_why: u8,
    /// Zero.
    pub zero: [u8; 2],
}

/// Value of a workload's WAITING: a flow of which packets are on hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Waiting {
    /// The number of the packet held last, from 1; [`Self::OVER`] once no later one waits behind it.
    pub last: u64,
    /// The number of the packet that went on last.
    pub passed: u64,
    /// When that was, in nanoseconds of monotonic time.
    pub passed_at: u64,
    /// Until when it counts: packets may be lost, and the agent may end.
    pub until: Tick,
    /// When later packets need wait no more, however close they follow; 0: none has gone on yet.
    pub at_most: Tick,
}

impl Waiting {
    /// No packet is on hold any more. Numbers beyond it say the same.
    pub const OVER: u64 = 1 << 63;
}

/// Which modules are asked, in one byte of a [`crate::Ruleset`]: two bits for each [`crate::Kind`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Asks(pub u8);

impl Asks {
    /// Some module is asked where no rule speaks.
    pub const UNMATCHED: u8 = 1;
    /// Some module is asked unless a rule denies.
    pub const ALWAYS: u8 = 2;

    /// The same, and `stages` for destinations of `kind`.
    #[must_use]
    pub const fn and(self, kind: u32, stages: u8) -> Self {
        Self(self.0 | stages << (2 * (kind & 3)))
    }

    /// The stages for destinations of `kind`.
    #[must_use]
    #[inline(always)]
    pub const fn of(self, kind: u32) -> u8 {
        self.0 >> (2 * (kind & 3)) & 3
    }

    /// Whether some module is of stage `always`, for whatever kind.
    #[must_use]
    #[inline(always)]
    pub const fn has_always(self) -> bool {
        self.0 & 0b10_10_10 != 0
    }
}

/// What counts where modules give no answer. Numbers in a [`crate::Ruleset`].
pub mod failure {
    /// What would count without modules.
    pub const NEXT: u8 = 0;
    /// Allow.
    pub const ALLOW: u8 = 1;
    /// Deny.
    pub const DENY: u8 = 2;
}
