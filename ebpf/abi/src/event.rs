//! What the kernel tells user space.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Address, Class, Generation, Said, WorkloadIndex};

/// A first packet was judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Event {
    /// Monotonic time in nanoseconds.
    pub time: u64,
    /// Epoch and ruleset that it was judged by.
    pub generation: Generation,
    /// Who sent it.
    pub workload: WorkloadIndex,
    /// Its length in bytes, link header included.
    pub length: u32,
    /// What the Enforce policies said.
    pub applied: Said,
    /// What all policies said.
    pub observed: Said,
    /// The class of the deciding rule.
    pub class: Class,
    /// The source port, or 0.
    pub local_port: [u8; 2],
    /// The port dialled, or 0.
    pub remote_port: [u8; 2],
    /// The source.
    pub local: Address,
    /// The destination.
    pub remote: Address,
    /// The IP protocol.
    pub protocol: u8,
    /// Applied [`crate::action_reason`].
    pub applied_why: u8,
    /// Observed [`crate::action_reason`].
    pub observed_why: u8,
    /// Zero.
    pub zero: [u8; 5],
}

/// Key of a workload's QUERIES: a look-up on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueryKey {
    /// The resolver asked.
    pub resolver: Address,
    /// The workload's own address.
    pub local: Address,
    /// The workload's own port.
    pub local_port: [u8; 2],
    /// The message's id.
    pub id: [u8; 2],
}

/// Value of QUERIES.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Query {
    /// Hash of the question: name in lower case, type, class.
    pub question: u64,
}

/// Value of HELD: where a packet on hold goes on, by its one-time ticket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Held {
    /// Whose it is.
    pub workload: WorkloadIndex,
    /// The host side of its workload's interface pair.
    pub ifindex: u32,
    /// Of the packets of its flow that were put on hold, which one.
    pub sequence: u64,
    /// 0: an answer toward the workload; else a packet of the workload's own, on hold for the so-manieth time.
    pub passes: u16,
    /// How many packets come back with the ticket: the segments of one, where the gate cuts it.
    pub segments: u16,
    /// Both addresses of its link header, which the ticket stood in for: destination, then source.
    pub addresses: [u8; 12],
}

/// Longest frame, link header included, that goes into ANSWERS: the longest IP packet. A longer one, of segments that
/// the kernel merged beyond that, passes unlearned.
pub const ANSWER_MAX: usize = 65_600;

/// What a record in ANSWERS is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Carried {
    /// A datagram from a trusted resolver, or the first fragment of one, that the workload asked for. It is on hold.
    Datagram = 0,
    /// A TCP segment from a trusted resolver. It is on hold.
    Segment = 1,
    /// A TCP segment of the workload's own to a trusted resolver: a copy, which nobody waits for.
    Asking = 2,
    /// A fragment of a UDP datagram from a trusted resolver, not the first. It is on hold.
    Piece = 3,
    /// A datagram that the workload asked for and that the programs learned: a copy, which nobody waits for.
    Learned = 4,
}

impl Carried {
    /// From its number.
    #[must_use]
    pub const fn of(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Datagram),
            1 => Some(Self::Segment),
            2 => Some(Self::Asking),
            3 => Some(Self::Piece),
            4 => Some(Self::Learned),
            _ => None,
        }
    }
}

/// Head of a record in ANSWERS; `length` bytes of frame follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AnswerHead {
    /// The ticket that releases it; 0 for what is not on hold.
    pub ticket: u32,
    /// Whose answer, or question, it is.
    pub workload: WorkloadIndex,
    /// Bytes of frame.
    pub length: u32,
    /// What it is: a [`Carried`].
    pub carried: u32,
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $word:literal;)*) => {
        /// What is counted on each CPU.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Counter {
            $($(#[doc = $doc])+ $name = $number,)*
        }

        impl Counter {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in metrics and status.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What it counts, as a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)* }
            }
        }
    };
}

counters! {
    /// First packets allowed.
    Allowed = 0, "first_packets_allowed";
    /// Packets denied.
    Denied = 1, "packets_denied";
    /// Packets with a source that is not the sender's own.
    Spoofed = 2, "spoofed_source";
    /// Packets that could not be read and were denied.
    Unparsed = 3, "unparsed";
    /// TCP resets sent to workloads.
    Resets = 4, "refused_tcp";
    /// ICMP errors sent to workloads.
    Icmp = 5, "refused_icmp";
    /// Denied packets dropped because the refusals of the workload were used up.
    RefusalsOver = 6, "refusals_over_budget";
    /// Events not sent because those of the workload were used up.
    EventsOver = 7, "events_over_budget";
    /// Events not sent because the ring was full.
    EventsLost = 8, "events_lost";
    /// DNS queries to trusted resolvers.
    Queries = 9, "dns_queries";
    /// DNS answers held until they were learned.
    AnswersHeld = 10, "dns_answers_held";
    /// DNS answers released after they were learned.
    AnswersReleased = 11, "dns_answers_released";
    /// DNS answers from a trusted resolver that nobody asked for; passed, not learned.
    AnswersUnasked = 12, "dns_answers_unasked";
    /// DNS answers that passed unlearned: too long, in fragments, or no agent to learn them.
    AnswersUnlearned = 13, "dns_answers_unlearned";
    /// Frames on the gate that carry no valid ticket.
    BadTickets = 14, "bad_tickets";
    /// Flows that could not be remembered.
    FlowsFull = 15, "map_full_flows";
    /// Queries that could not be remembered.
    QueriesFull = 16, "map_full_queries";
    /// DNS answers that passed unlearned because the ring or the table of held packets was full.
    AnswersFull = 17, "map_full_answers";
    /// Packets of connections that a change of policy ended, turned into resets for both ends.
    Cut = 18, "connections_cut";
    /// DNS answers that passed unlearned because their workload has more of them on hold than its share.
    AnswersOver = 19, "dns_answers_over_quota";
    /// DNS questions over TCP that were not noted: no agent, no room, or over the quota. Their answers pass unlearned.
    AskingUnnoted = 20, "dns_questions_unnoted";
    /// First fragments that could not be remembered.
    FragmentsFull = 21, "map_full_fragments";
    /// Packets put on hold until policy modules have decided.
    PacketsHeld = 22, "packets_held";
    /// Packets that came back from the hold.
    PacketsReleased = 23, "packets_released";
    /// First packets decided by what modules had said already.
    VerdictsUsed = 24, "module_verdicts_used";
    /// Packets not put on hold because those of the workload were used up; judged by what modules
    /// said before, or else as the failure policy says.
    HoldsOver = 25, "holds_over_budget";
    /// Packets not put on hold because there was no agent or no room, or too often already; judged in the same way.
    HoldsFailed = 26, "holds_failed";
    /// Repeated SYNs of flows that are on hold, dropped.
    HoldsRepeated = 27, "holds_repeated";
    /// DNS answers that the programs learned, and nobody held.
    AnswersLearned = 28, "dns_answers_learned";
}
