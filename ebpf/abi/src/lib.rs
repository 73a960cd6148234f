//! What crosses between the eBPF programs and user space: keys, values, events, and the numbers both agree on.
//!
//! Everything is `repr(C)` of integers and byte arrays, every gap is a named field, and zerocopy refuses a type that
//! has padding. Ports and addresses are in network order, as they stand in a packet; all else is in host order.
//! A change of anything here is a change of [`ABI_VERSION`], which names the folder where maps are pinned; of what is in
//! the maps of what was learned, also of [`LEARNED_VERSION`].
#![no_std]

mod event;
mod flow;
mod ids;
mod module;
mod name;
mod probe;
mod rule;

pub use event::{ANSWER_MAX, AnswerHead, Carried, Counter, Event, Held, Query, QueryKey};
pub use flow::{Call, Flow, Flow4Key, Flow6Key, Fragment, FragmentKey, Inbound, Ports, action_reason};
pub use ids::{Class, Epoch, Generation, RuleId, RulesetId, Tick, WorkloadIndex};
pub use module::{Asks, CachedVerdict, VerdictKey, Waiting, failure};
pub use name::{LearnedKey, Lesson, NAME_BYTES, NameKey, Named, NamedClass};
pub use probe::{PROBE, PROBE_LENGTH, PROBE_NUMBER_AT, Probe};
pub use rule::{
    Address, Binding, Dest, DestKey, Effect, First, Home, Kind, OwnKey, RuleKey, RuleValue, Ruleset, Said,
    Slot,
};

/// Version of every layout in this crate.
pub const ABI_VERSION: u32 = 7;
/// Version of the layouts of BINDINGS, LEARNED and TURNS: what workloads looked up outlives a change of all others.
pub const LEARNED_VERSION: u32 = 1;

/// Workloads that one node can hold; index 0 is never used.
pub const WORKLOADS_MAX: u32 = 4096;
/// Interface indexes that the IFACES array covers; greater ones are in IFACES_FAR.
pub const IFACES_MAX: u32 = 65_536;
/// Rulesets in force or on their way out at one time; 0 is never used.
pub const RULESETS_MAX: u32 = 8192;
/// Flows that one workload began, each family, when it is not sized otherwise.
pub const FLOWS_PER_WORKLOAD: u32 = 4096;
/// Established TCP connections that others began toward one workload, each family.
pub const INBOUND_PER_WORKLOAD: u32 = 4096;
/// Flows that others began toward one workload and that are not established, both families together.
pub const CALLS_PER_WORKLOAD: u32 = 1024;
/// Entries of one workload's QUERIES map: look-ups on their way at one time.
pub const QUERIES_PER_WORKLOAD: u32 = 1024;
/// Entries of one workload's FRAGMENTS map: packets in pieces on their way at one time.
pub const FRAGMENTS_PER_WORKLOAD: u32 = 256;
/// Entries of one workload's VERDICTS map: what modules said of its destinations.
pub const VERDICTS_PER_WORKLOAD: u32 = 4096;
/// Entries of one workload's WAITING map: flows of which packets are on hold.
pub const WAITING_PER_WORKLOAD: u32 = 4096;
/// How long a flow may be taken to have packets on hold after the last one was put there.
pub const WAITING_FOR: Tick = Tick::lasting_seconds(5);
/// How long after the last of several packets from the hold the next one may go its own way, in nanoseconds: the two may
/// be handled by different processors, of which one may be busy with others first.
pub const WAITING_GAP: u64 = 20_000_000;
/// For how long packets that follow closer than that still go the way of those before them.
pub const WAITING_AT_MOST: Tick = Tick::lasting_seconds(2);
/// How long after its last sign of life the agent is taken to live.
pub const PULSE_LASTS: Tick = Tick::lasting_seconds(5);
/// How often a packet is put on hold before it is judged without modules: its verdict may be gone when it comes back.
pub const PASSES_MAX: u32 = 4;
/// How long a receiver waits for the pieces of a packet: 30 s, as Linux does for IPv4.
pub const REASSEMBLY: Tick = Tick::lasting_seconds(30);
/// Names and addresses bound on the node at one time.
pub const BINDINGS_MAX: u32 = 1_048_576;
/// Ends of names that rules name, of all rulesets together.
pub const NAMES_MAX: u32 = 524_288;
/// Addresses that the programs bind for one workload at one time; a power of two. What the agent binds does not count.
pub const LEARNED_PER_WORKLOAD: u32 = 4096;
/// Own addresses, and trusted resolvers, of all workloads together.
pub const OWN_MAX: u32 = 65_536;
/// Address ranges of all rulesets together.
pub const DEST_MAX: u32 = 1_048_576;
/// Rule entries for one port each, of all rulesets together.
pub const EXACT_MAX: u32 = 524_288;
/// Rule entries for more than one port each, of all rulesets together.
pub const RULES_MAX: u32 = 1_048_576;
/// Answers on hold at one time.
pub const HELD_MAX: u32 = 32_768;
/// Packets of workloads on hold at one time.
pub const TICKETS_MAX: u32 = 65_536;

/// What the agent tells all programs.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    zerocopy::IntoBytes,
    zerocopy::FromBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
#[repr(C)]
pub struct Config {
    /// The random mark that a released packet carries until its hook has seen it; never 0.
    pub mark: u32,
    /// How long after its expiry a binding still serves a connection that is under way.
    pub flow_grace: Tick,
    /// How long an address is bound at least.
    pub least: Tick,
    /// 1: the agent takes domains that resolvers search off names, and so reads every answer with an alias.
    pub searches: u32,
    /// How long a flow of a protocol without connections lives without a packet.
    pub idle: Tick,
    /// ICMP errors that one workload may be sent per second.
    pub refusals: u32,
    /// Events of first packets that one workload may cause per second.
    pub events: u32,
    /// 1: flows under way go on where a change of policy denies them.
    pub keep: u32,
    /// Bytes of answers that one workload may put on hold per second while others may have to wait for it.
    pub answers: u32,
    /// Until when a workload may be armed: one whose agent ended meanwhile is judged from then on.
    pub arming_until: Tick,
    /// Which door looks at what comes to workloads: [`INSIDE`], [`AT_HOST`], and the other lets all go by; or [`SEEN`].
    pub door: u32,
    /// Index of the device that leads to the agent.
    pub gate: u32,
    /// The random mark that a packet on its way into the gate carries; never 0.
    pub gate_mark: u32,
    /// Packets that one workload may put on hold per second.
    pub holds: u32,
    /// 1: the gate cuts datagrams that are still one into their segments, as kernels before 6.2 do.
    pub cuts: u32,
}

/// The door on a workload's own device, which sees what is delivered past the host side of its pair too, and whatever
/// the workload puts there itself.
pub const INSIDE: u32 = 0;
/// The door on the host side, out of reach for the workload.
pub const AT_HOST: u32 = 1;
/// Both: the one on the host side, and the one inside at what was seen coming in at a device of the node just before.
pub const SEEN: u32 = 2;

/// Token buckets of one workload; filled by time, emptied by use.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    zerocopy::IntoBytes,
    zerocopy::FromBytes,
    zerocopy::Immutable,
    zerocopy::KnownLayout,
)]
#[repr(C)]
pub struct Budget {
    /// When the refusals were last filled.
    pub refusals_at: Tick,
    /// Refusals left.
    pub refusals: u32,
    /// When the events were last filled.
    pub events_at: Tick,
    /// Events left.
    pub events: u32,
    /// When the bytes of answers on hold were last filled.
    pub answers_at: Tick,
    /// Bytes of answers left that may go on hold where the hold is busy.
    pub answers: u32,
    /// When the packets on hold were last filled.
    pub holds_at: Tick,
    /// Packets left that may go on hold.
    pub holds: u32,
}
