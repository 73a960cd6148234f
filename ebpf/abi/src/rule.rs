//! What a destination is, and what rules say of it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Asks, Class, RuleId, RulesetId, Tick, WorkloadIndex};

/// An IPv6 address, or an IPv4 one as `::ffff:a.b.c.d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C, align(4))]
pub struct Address(pub [u8; 16]);

impl Address {
    /// The mapped form of an IPv4 address.
    #[must_use]
    #[inline(always)]
    pub const fn v4(a: [u8; 4]) -> Self {
        Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a[0], a[1], a[2], a[3]])
    }

    /// The IPv4 address, where it is one.
    #[must_use]
    pub const fn as_v4(&self) -> Option<[u8; 4]> {
        match self.0 {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => Some([a, b, c, d]),
            _ => None,
        }
    }
}

/// A workload and an address: key of ADDRESSES, RESOLVERS and BINDINGS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OwnKey {
    /// The workload.
    pub workload: WorkloadIndex,
    /// The address.
    pub address: Address,
}

/// A class that an address belongs to for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Slot {
    /// The class; none: the slot is free.
    pub class: Class,
    /// Until when; at that tick it is over.
    pub until: Tick,
}

/// The names of an address, as one workload looked them up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Binding {
    /// Used and free slots, in no order.
    pub slots: [Slot; 8],
}

/// Key of DEST, behind its prefix length: ruleset and family first, so that each ruleset has a tree of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DestKey {
    /// Ruleset times two, plus one for IPv6; in network order.
    pub tree: [u8; 4],
    /// IPv6, or IPv4 followed by zeros.
    pub address: [u8; 16],
}

impl DestKey {
    /// Prefix bits before the address.
    pub const FIXED_BITS: u32 = 32;

    /// Key of an IPv4 address.
    #[must_use]
    #[inline(always)]
    pub const fn v4(ruleset: RulesetId, a: [u8; 4]) -> Self {
        Self {
            tree: (ruleset.0 << 1).to_be_bytes(),
            address: [a[0], a[1], a[2], a[3], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        }
    }

    /// Key of an IPv6 address.
    #[must_use]
    #[inline(always)]
    pub const fn v6(ruleset: RulesetId, address: [u8; 16]) -> Self {
        Self { tree: (ruleset.0 << 1 | 1).to_be_bytes(), address }
    }
}

/// Where a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Neither of the cluster nor of the node.
    Internet = 0,
    /// In the cluster's ranges.
    Cluster = 1,
    /// In the node's ranges.
    Node = 2,
}

/// Value of DEST.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Dest {
    /// The class by address, or none.
    pub class: Class,
    /// A [`Kind`].
    pub kind: u32,
}

/// Key of EXACT; and of RULES, behind its prefix length: 64 bits for every IP protocol, 80 for one, 80 + n for a port prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RuleKey {
    /// The ruleset, in network order.
    pub ruleset: [u8; 4],
    /// The class, in network order.
    pub class: [u8; 4],
    /// The IP protocol; echo of both families as 1.
    pub protocol: u8,
    /// Zero.
    pub zero: u8,
    /// The port dialled.
    pub port: [u8; 2],
}

impl RuleKey {
    /// Prefix bits of an entry for every IP protocol.
    pub const ANY_PROTOCOL_BITS: u32 = 64;
    /// Prefix bits of an entry for one protocol; a port prefix adds its own.
    pub const PROTOCOL_BITS: u32 = 80;
    /// Prefix bits of a look-up.
    pub const ALL_BITS: u32 = 96;

    /// The key of `protocol` and `port` for `class` in `ruleset`.
    #[must_use]
    #[inline(always)]
    pub const fn new(ruleset: RulesetId, class: Class, protocol: u8, port: [u8; 2]) -> Self {
        Self { ruleset: ruleset.0.to_be_bytes(), class: class.0.to_be_bytes(), protocol, zero: 0, port }
    }
}

/// What the rules of some policies say: nothing (0), or an action and the rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Said(pub u32);

impl Said {
    /// No rule speaks of it.
    pub const NOTHING: Self = Self(0);
    const DENY: u32 = 1 << 31;

    /// `rule` allows.
    #[must_use]
    pub const fn allow(rule: RuleId) -> Self {
        Self(rule.0)
    }

    /// `rule` denies.
    #[must_use]
    pub const fn deny(rule: RuleId) -> Self {
        Self(rule.0 | Self::DENY)
    }

    /// Whether a rule allows.
    #[must_use]
    #[inline(always)]
    pub const fn allows(self) -> bool {
        self.0 != 0 && self.0 & Self::DENY == 0
    }

    /// Whether a rule denies.
    #[must_use]
    #[inline(always)]
    pub const fn denies(self) -> bool {
        self.0 & Self::DENY != 0
    }

    /// The rule; [`RuleId::NONE`] where none speaks.
    #[must_use]
    pub const fn rule(self) -> RuleId {
        RuleId(self.0 & !Self::DENY)
    }

    /// This and what the rules of another class of the same destination say: deny first. As numbers, deny is above
    /// every allow, and an allow above nothing.
    #[must_use]
    #[inline(always)]
    pub const fn and(self, other: Self) -> Self {
        if self.0 >= other.0 { self } else { other }
    }
}

/// What the first rule of a tier of Kubernetes' policies says, of those that speak of some destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct First {
    /// Its turn, over two bits of its [`Effect`]: the larger one is asked earlier. 0: no rule speaks.
    pub turn: u32,
    /// The rule.
    pub rule: RuleId,
}

/// What a rule of Kubernetes' policies does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Effect {
    /// The next tier is asked.
    Pass = 0,
    /// It is allowed, and nobody else is asked.
    Accept = 1,
    /// It is denied.
    Deny = 2,
}

impl First {
    /// No rule speaks.
    pub const NOTHING: Self = Self { turn: 0, rule: RuleId::NONE };
    const EFFECT: u32 = 3;
    const TURNS: u32 = u32::MAX >> 2;

    /// `rule`, before which `others`, some hundred million at most, are asked.
    #[must_use]
    pub const fn new(others: u32, effect: Effect, rule: RuleId) -> Self {
        let left = Self::TURNS.saturating_sub(others);
        Self { turn: (if left == 0 { 1 } else { left }) << 2 | effect as u32, rule }
    }

    /// This, or what is said of another class of the same destination: whichever is asked earlier.
    #[must_use]
    #[inline(always)]
    pub const fn or(self, other: Self) -> Self {
        if self.turn >= other.turn { self } else { other }
    }

    /// Whether a rule speaks.
    #[must_use]
    #[inline(always)]
    pub const fn speaks(self) -> bool {
        self.turn != 0
    }

    /// Whether a rule accepts.
    #[must_use]
    #[inline(always)]
    pub const fn accepts(self) -> bool {
        self.turn & Self::EFFECT == Effect::Accept as u32
    }

    /// Whether a rule denies.
    #[must_use]
    #[inline(always)]
    pub const fn denies(self) -> bool {
        self.turn & Self::EFFECT == Effect::Deny as u32
    }
}

/// Value of EXACT and RULES.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RuleValue {
    /// The Enforce policies.
    pub applied: Said,
    /// All policies.
    pub observed: Said,
    /// The policies of Kubernetes, which count in both: those of the first tier, and of the tier that is asked after it.
    pub tiers: [First; 2],
}

/// Value of RULESETS: what happens where no rule speaks. Arrays are by [`Kind`]; 1 is deny.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ruleset {
    /// Default of the Enforce policies.
    pub applied_default: [u8; 3],
    /// 1: no policy selects these workloads.
    pub unmanaged: u8,
    /// Default of all policies.
    pub observed_default: [u8; 3],
    /// 1: a denied packet is dropped in silence.
    pub silent: u8,
    /// 1: some policy is in force, so that what cannot be read is denied.
    pub enforced: u8,
    /// 1: some rule denies address ranges, so that what allows a name is not the last word.
    pub denies_ranges: u8,
    /// 1: no rule names a name, so that what the workload looked up need not be asked for.
    pub nameless: u8,
    /// Which policy modules are asked.
    pub asks: Asks,
    /// What the Enforce policies want where their modules do not answer: a number of [`crate::failure`].
    pub applied_failure: u8,
    /// The same of all policies.
    pub observed_failure: u8,
    /// 1: the programs learn all of its names themselves, and nobody else needs to read an answer before it goes on.
    pub learns: u8,
    /// Where what a rule of Kubernetes' policies accepts is told by it: a bit by [`Kind`] for the applied verdict, and three
    /// bits up for the observed one.
    pub tells: u8,
}

impl Ruleset {
    /// Bits of [`Self::tells`] from those of the applied verdict to those of the observed one.
    pub const TELLS_OBSERVED: u32 = 3;
}

/// Value of HOMES: the first own address of each family, where most packets come from. The others are in ADDRESSES.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Home {
    /// 1: both are the workload's own; else neither means anything.
    pub known: u32,
    /// The two; of a workload with one family, the same twice.
    pub addresses: [Address; 2],
}
