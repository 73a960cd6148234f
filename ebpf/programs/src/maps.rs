//! Every map: key, value, capacity, who writes it, and what happens when it is full. All are pinned but HOLD
//! and what one program uses while it runs: SCRATCH_WORD, WINDOWS.

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps, HashMap, LpmTrie, LruHashMap, PerCpuArray, ProgramArray, RingBuf},
    macros::btf_map,
};
use egret_abi::{
    Address, BINDINGS_MAX, Binding, Budget, CALLS_PER_WORKLOAD, CachedVerdict, Call, Config, Counter,
    DEST_MAX, Dest, DestKey, EXACT_MAX, Event, FLOWS_PER_WORKLOAD, FRAGMENTS_PER_WORKLOAD, Flow, Flow4Key,
    Flow6Key, Fragment, FragmentKey, Generation, HELD_MAX, Held, Home, IFACES_MAX, INBOUND_PER_WORKLOAD,
    Inbound, LearnedKey, NAMES_MAX, NameKey, Named, OWN_MAX, OwnKey, Probe, QUERIES_PER_WORKLOAD, Query,
    QueryKey, RULES_MAX, RULESETS_MAX, RuleKey, RuleValue, Ruleset, TICKETS_MAX, Tick, VERDICTS_PER_WORKLOAD,
    VerdictKey, WAITING_PER_WORKLOAD, WORKLOADS_MAX, Waiting,
};

/// `BPF_F_NO_PREALLOC`: memory by use, not by capacity.
const BY_USE: usize = 1;
/// Bytes of a ring; a power of two and of pages.
const RING: usize = 1 << 22;
/// The same of ANSWERS, whose records may be as long as an IP packet. What the agent has read of a ring counts as memory of
/// its own, twice.
pub const ANSWERS_RING: usize = 1 << 22;

type Flows<K> = LruHashMap<K, Flow, { FLOWS_PER_WORKLOAD as usize }>;
type Connections<K> = LruHashMap<K, Inbound, { INBOUND_PER_WORKLOAD as usize }>;
type Calls = LruHashMap<Flow6Key, Call, { CALLS_PER_WORKLOAD as usize }>;
type Fragments = LruHashMap<FragmentKey, Fragment, { FRAGMENTS_PER_WORKLOAD as usize }>;
type Verdicts = LruHashMap<VerdictKey, CachedVerdict, { VERDICTS_PER_WORKLOAD as usize }>;
type Waits = LruHashMap<Flow6Key, Waiting, { WAITING_PER_WORKLOAD as usize }>;
type Queries = LruHashMap<QueryKey, Query, { QUERIES_PER_WORKLOAD as usize }>;

/// Interface index to workload. Agent. Indexes beyond it are in IFACES_FAR.
#[btf_map]
pub static IFACES: Array<u32, { IFACES_MAX as usize }> = Array::new();
/// Interface index to workload where the index is beyond IFACES. Agent; full: the workload is not covered.
#[btf_map]
pub static IFACES_FAR: HashMap<u32, u32, { WORKLOADS_MAX as usize }, BY_USE> = HashMap::new();
/// Workload to epoch and ruleset. Agent.
#[btf_map]
pub static WORKLOADS: Array<Generation, { WORKLOADS_MAX as usize }> = Array::new();
/// Workload to its interface on the host side. Agent.
#[btf_map]
pub static LINKS: Array<u32, { WORKLOADS_MAX as usize }> = Array::new();
/// Ruleset to its defaults. Agent.
#[btf_map]
pub static RULESETS: Array<Ruleset, { RULESETS_MAX as usize }> = Array::new();
/// Workload to the first of its own addresses, for a look-up less. Agent.
#[btf_map]
pub static HOMES: Array<Home, { WORKLOADS_MAX as usize }> = Array::new();
/// Own addresses. Agent; full: the address is refused, and told.
#[btf_map]
pub static ADDRESSES: HashMap<OwnKey, u32, { OWN_MAX as usize }, BY_USE> = HashMap::new();
/// Trusted resolvers. Agent; full: the resolver is not trusted, and told.
#[btf_map]
pub static RESOLVERS: HashMap<OwnKey, u32, { OWN_MAX as usize }, BY_USE> = HashMap::new();
/// Workload and address to names. Agent; full: the name stays denied, and told.
#[btf_map]
pub static BINDINGS: HashMap<OwnKey, Binding, { BINDINGS_MAX as usize }, BY_USE> = HashMap::new();
/// Ruleset and the end of a name to the classes of its patterns. Agent; full: the policy is not put in force.
#[btf_map]
pub static NAMES: HashMap<NameKey, Named, { NAMES_MAX as usize }, BY_USE> = HashMap::new();
/// Addresses that the programs bound, workload by workload in turn. Programs; a place whose address still counts is not
/// given to another, and what finds none is left to the agent.
#[btf_map]
pub static LEARNED: HashMap<LearnedKey, Address, { BINDINGS_MAX as usize }, BY_USE> = HashMap::new();
/// Workload to how many addresses the programs bound. Programs.
#[btf_map]
pub static TURNS: Array<u64, { WORKLOADS_MAX as usize }> = Array::new();
/// Ruleset and address to class and kind, longest match. Agent; full: the policy is not put in force.
#[btf_map]
pub static DEST: LpmTrie<DestKey, Dest, { DEST_MAX as usize }, BY_USE> = LpmTrie::new();
/// Ruleset, class, protocol and port to what rules say of one port; asked before RULES, whose every match is shorter.
/// Agent; full: the policy is not put in force.
#[btf_map]
pub static EXACT: HashMap<RuleKey, RuleValue, { EXACT_MAX as usize }, BY_USE> = HashMap::new();
/// The same of more than one port, longest match. Agent; full: the policy is not put in force.
#[btf_map]
pub static RULES: LpmTrie<RuleKey, RuleValue, { RULES_MAX as usize }, BY_USE> = LpmTrie::new();
/// Flows that one workload began, IPv4. Programs; full: its least recently used flow goes.
#[btf_map]
pub static FLOWS4: ArrayOfMaps<Flows<Flow4Key>, { WORKLOADS_MAX as usize }> = ArrayOfMaps::new();
/// Flows that one workload began, IPv6.
#[btf_map]
pub static FLOWS6: ArrayOfMaps<Flows<Flow6Key>, { WORKLOADS_MAX as usize }> = ArrayOfMaps::new();
/// Established TCP connections that others began toward one workload, IPv4. Programs; full: the least recently used
/// goes, and what the workload then sends on it is judged as if it had begun it.
#[btf_map]
pub static INBOUND4: ArrayOfMaps<Connections<Flow4Key>, { WORKLOADS_MAX as usize }> = ArrayOfMaps::new();
/// The same, IPv6.
#[btf_map]
pub static INBOUND6: ArrayOfMaps<Connections<Flow6Key>, { WORKLOADS_MAX as usize }> = ArrayOfMaps::new();
/// Flows that others began toward one workload, and that prove nothing. Programs; full: the oldest goes.
#[btf_map]
pub static CALLS: ArrayOfMaps<Calls, { WORKLOADS_MAX as usize }> = ArrayOfMaps::new();
/// Look-ups of one workload on their way. Programs; full: its oldest goes, and that answer passes unlearned.
#[btf_map]
pub static QUERIES: ArrayOfMaps<Queries, { WORKLOADS_MAX as usize }> = ArrayOfMaps::new();
/// Packets of one workload in pieces, by what the pieces have in common. Programs; full: the least recently used goes,
/// and what is left of it is denied.
#[btf_map]
pub static FRAGMENTS: ArrayOfMaps<Fragments, { WORKLOADS_MAX as usize }> = ArrayOfMaps::new();
/// What modules said of the destinations of one workload; not there for one without modules. Agent; full: the least
/// recently used goes, and is asked for again.
#[btf_map]
pub static VERDICTS: ArrayOfMaps<Verdicts, { WORKLOADS_MAX as usize }> = ArrayOfMaps::new();
/// Flows of one workload of which packets are on hold. Programs; full: the least recently used goes, and later packets
/// of that flow may go before those that wait.
#[btf_map]
pub static WAITING: ArrayOfMaps<Waits, { WORKLOADS_MAX as usize }> = ArrayOfMaps::new();
/// Ticket to where a held packet goes on. Programs; full: the oldest goes, and its packet is lost.
#[btf_map]
pub static HELD: LruHashMap<u32, Held, { HELD_MAX as usize }> = LruHashMap::new();
/// The same of packets of workloads, so that no flood of these costs an answer. Programs; full: the oldest goes, and its
/// packet is lost.
#[btf_map]
pub static TICKETS: LruHashMap<u32, Held, { TICKETS_MAX as usize }> = LruHashMap::new();
/// One entry. Agent.
#[btf_map]
pub static CONFIG: Array<Config, 1> = Array::new();
/// When the agent last gave a sign of life; see `hold.rs`. Agent.
#[btf_map]
pub static PULSE: Array<Tick, 1> = Array::new();
/// Token buckets of each workload. Programs.
#[btf_map]
pub static BUDGETS: Array<Budget, { WORKLOADS_MAX as usize }> = Array::new();
/// Numbers of the agent's probes on their way. Agent, and a hook that sees one.
#[btf_map]
pub static PROBES: Array<Probe, { WORKLOADS_MAX as usize }> = Array::new();
/// One value per [`Counter`]. Programs.
#[btf_map]
pub static COUNTERS: PerCpuArray<u64, { Counter::ALL.len() }> = PerCpuArray::new();
/// Bytes of SCRATCH.
pub const SCRATCH_SIZE: usize = 160;
/// What one step hands to the next; see `steps.rs`. Pinned as STEPS is, for a hook of one agent may call a step
/// of the next: so what is handed over is part of the ABI, though it is no type of `egret_abi`.
#[btf_map]
pub static SCRATCH: PerCpuArray<[u64; SCRATCH_SIZE / 8], 1> = PerCpuArray::new();
/// See `through` in `steps.rs`.
#[btf_map]
pub static SCRATCH_WORD: PerCpuArray<u64, 1> = PerCpuArray::new();
/// What rules say of the packet in hand, from the judgement to the step that acts on it; pinned as SCRATCH is. See
/// [`egret_decide::Tables::with_findings`].
#[btf_map]
pub static FINDINGS: PerCpuArray<egret_decide::egress::Findings, 1> = PerCpuArray::new();
/// Bytes of a message, for what is read byte by byte; see [`egret_decide::Packet::window`].
#[btf_map]
pub static WINDOWS: PerCpuArray<[u8; egret_decide::parse::WINDOW], 1> = PerCpuArray::new();
/// Bytes of a packet that tell it from another: both headers of an IPv4 datagram and the head of a DNS message, an IPv6
/// header with ports and sum.
pub const HEAD: usize = 48;

/// The packet that came in last.
#[repr(C)]
pub struct Passing {
    /// Where the kernel has it; 0: the door inside has seen it.
    pub packet: u64,
    /// The same of the one at hand. In memory, for there the verifier takes it for a number.
    pub at_hand: u64,
    /// Its first bytes.
    pub head: [u64; HEAD / 8],
    /// Those of the one at hand.
    pub head_at_hand: [u64; HEAD / 8],
}
/// The packet that came into the node last on this processor; see `passing.rs`. Pinned, for the two that use it may be
/// of two agents.
#[btf_map]
pub static PASSING: PerCpuArray<Passing, 1> = PerCpuArray::new();
/// The answer in hand, from step to step; pinned as SCRATCH is.
#[btf_map]
pub static LEARNING: PerCpuArray<egret_decide::learn::Learning, 1> = PerCpuArray::new();
/// First packets, told to the agent. Programs; full: counted.
#[btf_map]
pub static EVENTS: RingBuf<Event, RING> = RingBuf::new();
/// DNS answers on hold, copied whole. Programs; full: the answer passes unlearned, counted.
#[btf_map]
pub static ANSWERS: RingBuf<u8, ANSWERS_RING> = RingBuf::new();
/// The shared half of `to_pod`, called by each door.
#[btf_map]
pub static TO_POD: ProgramArray<1> = ProgramArray::new();
/// The steps of a judgement, by `Step`.
#[btf_map]
pub static STEPS: ProgramArray<23> = ProgramArray::new();
/// The hold: not pinned, so that the agent's death empties it and packets go the kernel's way. What holds an answer, what
/// copies a question, what holds a workload's own packet, of each family.
#[btf_map]
pub static HOLD: ProgramArray<4> = ProgramArray::new();
