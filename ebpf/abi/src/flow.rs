//! The flows of a workload: those it began, and those that others began.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Address, Class, Epoch, Said, Tick};

/// Two ports as one word: the workload's own (or the identifier of an echo, or 0), then the other end's (or 0), each in
/// network order. One word and not four bytes, or the hash that reads it would wait for the bytes to be put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Ports(pub u32);

impl Ports {
    /// From the two ports.
    #[must_use]
    #[inline(always)]
    pub const fn new(local: [u8; 2], remote: [u8; 2]) -> Self {
        Self(u32::from_ne_bytes([local[0], local[1], remote[0], remote[1]]))
    }

    /// The workload's own.
    #[must_use]
    #[inline(always)]
    pub const fn local(self) -> [u8; 2] {
        let [a, b, _, _] = self.0.to_ne_bytes();
        [a, b]
    }

    /// The other end's.
    #[must_use]
    #[inline(always)]
    pub const fn remote(self) -> [u8; 2] {
        let [_, _, c, d] = self.0.to_ne_bytes();
        [c, d]
    }
}

/// An IPv4 flow as its workload sends it. Kept at 16 bytes: the hash of the hot path runs over it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C, align(4))]
pub struct Flow4Key {
    /// The workload's own address.
    pub local: [u8; 4],
    /// The destination.
    pub remote: [u8; 4],
    /// Both ports.
    pub ports: Ports,
    /// The IP protocol.
    pub protocol: u32,
}

/// An IPv6 flow as its workload sends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C, align(4))]
pub struct Flow6Key {
    /// The workload's own address.
    pub local: [u8; 16],
    /// The destination.
    pub remote: [u8; 16],
    /// Both ports.
    pub ports: Ports,
    /// The IP protocol; ICMPv6 as 58.
    pub protocol: u32,
}

/// What is remembered of a flow that the workload began and that was let pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Flow {
    /// The workload's epoch when the flow was judged.
    pub epoch: Epoch,
    /// When the flow must be judged again.
    pub until: Tick,
    /// What the Enforce policies said.
    pub applied: Said,
    /// What all policies said.
    pub observed: Said,
    /// The class that the admitting rule allows; [`Class::NONE`] where the default or an address class did.
    pub class: Class,
    /// Applied [`action_reason`].
    pub applied_why: u8,
    /// Observed [`action_reason`].
    pub observed_why: u8,
    /// Zero.
    pub zero: [u8; 2],
    /// Packets the workload sent.
    pub packets: u64,
    /// Bytes the workload sent, link header included.
    pub bytes: u64,
}

/// Value of CALLS: somebody began a flow toward the workload, and has not proven yet to be where it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Call {
    /// When the workload may no longer answer.
    pub until: Tick,
    /// TCP: the sequence number that follows the caller's SYN.
    pub caller: u32,
    /// TCP: the sequence number that follows the workload's SYN, where `answered`.
    pub workload: u32,
    /// TCP, 1: the workload sent its SYN.
    pub answered: u32,
}

/// Value of INBOUND: a TCP connection that somebody else began and the workload's kernel established.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Inbound(pub u32);

/// Key of a workload's FRAGMENTS: what the pieces of one packet have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FragmentKey {
    /// The workload's own address.
    pub local: Address,
    /// The destination.
    pub remote: Address,
    /// The identification that its sender gave them.
    pub id: u32,
    /// The IP protocol of IPv4, or [`Self::IPV6`].
    pub protocol: u32,
}

impl FragmentKey {
    /// In the place of the protocol where the pieces are of IPv6.
    pub const IPV6: u32 = 1 << 8;
}

/// What is remembered of a first piece that was let pass, for those that follow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Fragment {
    /// The workload's epoch when it was judged.
    pub epoch: Epoch,
    /// Until when others may follow.
    pub until: Tick,
    /// Bytes at its start that none may be written over.
    pub guarded: u32,
    /// 1: it answers somebody, and no policy can break that.
    pub answer: u32,
}

/// Action and reason in one byte, the same on both sides. The numbers are part of the ABI.
pub mod action_reason {
    /// Set: deny.
    pub const DENY: u8 = 0x80;
    /// A flow that was there before its workload was covered, or that a change of policy was told to spare.
    pub const ESTABLISHED: u8 = 1;
    /// An answer to a connection from outside.
    pub const REPLY: u8 = 2;
    /// A rule.
    pub const RULE: u8 = 3;
    /// A policy module.
    pub const MODULE: u8 = 4;
    /// No rule, and the default is deny.
    pub const DEFAULT_DENY: u8 = 5;
    /// No policy in force covers the destination.
    pub const NOT_ENFORCED: u8 = 6;
    /// No policy selects the workload.
    pub const UNMANAGED: u8 = 7;
    /// The name was allowed, its address has expired.
    pub const EXPIRED_NAME: u8 = 8;
    /// The source is not the workload's own.
    pub const SPOOFED_SOURCE: u8 = 9;
    /// A DNS answer from where no trusted resolver is.
    pub const FORGED_ANSWER: u8 = 10;
    /// It cannot be read.
    pub const UNPARSED: u8 = 11;
    /// Its verdict did not come in time.
    pub const HELD_TIMEOUT: u8 = 12;
    /// Over a quota.
    pub const OVER_QUOTA: u8 = 13;
    /// A map is full.
    pub const MAP_FULL: u8 = 14;
}
