//! What a workload sends.

use egret_abi::{
    Address, Class, Counter, Dest, Direction, Event, Flow, Flow4Key, Flow6Key, Generation, OwnKey, Query,
    RuleId, RuleKey, RuleValue, Ruleset, Said, Slot, Tick, WorkloadIndex, action_reason as why,
};

use crate::parse::{self, DNS, FlowKey, Packet, Parsed, TCP, UDP};
use crate::{Exchange, Tables, budget, question};

/// What to do with a packet from a workload.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Egress {
    /// It goes on.
    Pass,
    /// It ends here, in silence.
    Drop,
    /// It ends here, and its sender gets a TCP reset.
    Reset {
        /// Where its TCP header starts.
        transport: usize,
    },
    /// It ends here, and its sender gets an ICMP error: port unreachable.
    Unreachable {
        /// Where its UDP header starts.
        transport: usize,
    },
}

/// What the first look at a packet says.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    /// Nobody judges it, or its flow is known: it goes on.
    Pass,
    /// It ends here: it is neither IP nor what keeps a link alive, and a default denies.
    Drop,
    /// An IPv4 packet to be judged by [`judge`].
    Judge4(Pending<Flow4Key>),
    /// An IPv6 packet to be judged by [`judge`].
    Judge6(Pending<Flow6Key>),
}

/// A packet on its way from [`glance`] to [`judge`]: two programs, so that the verifier follows the second once and
/// not once for every branch of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Pending<K> {
    /// The workload's epoch and ruleset, as the first look saw them.
    pub generation: Generation,
    /// Who sent it.
    pub workload: WorkloadIndex,
    /// The class that its flow was admitted by, where it is one of an older epoch; see `known`.
    pub class: Class,
    /// Where the transport header starts.
    pub transport: u32,
    /// TCP's flags.
    pub flags: u8,
    /// 1: the flow is one of an older epoch.
    pub known: u8,
    /// 1: the packet could not be read, and `key` has what is there of its addresses.
    pub unreadable: u8,
    /// Zero.
    pub zero: u8,
    /// Its flow.
    pub key: K,
}

impl<K: FlowKey> Pending<K> {
    /// Nothing stands between the IP header and the transport's: an ICMP error has room to quote both.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        self.transport as usize == parse::LINK + if K::V6 { 40 } else { 20 }
    }
}

/// Judges a packet of `ethertype` (host order) from `workload`: both steps, one after the other.
pub fn from_pod<T: Tables, P: Packet>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    ethertype: u16,
) -> Egress {
    let verdict = match glance(tables, packet, workload, ethertype) {
        Glance::Pass => return Egress::Pass,
        Glance::Drop => return Egress::Drop,
        Glance::Judge4(pending) => judge(tables, packet, &pending),
        Glance::Judge6(pending) => judge(tables, packet, &pending),
    };
    match verdict {
        Verdict::Act(egress) => egress,
        Verdict::Query(exchange) => {
            remember_query(tables, packet, &exchange);
            Egress::Pass
        }
    }
}

/// The hot path: one parse, one look-up.
#[inline(always)]
pub fn glance<T: Tables, P: Packet>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    ethertype: u16,
) -> Glance {
    let Some(generation) = tables.generation(workload) else { return Glance::Pass };
    match ethertype {
        parse::IPV4 => {
            let parsed = parse::ipv4(packet);
            look(tables, packet, workload, generation, parsed).map_or(Glance::Pass, Glance::Judge4)
        }
        parse::IPV6 => {
            let parsed = parse::ipv6(packet);
            look(tables, packet, workload, generation, parsed).map_or(Glance::Pass, Glance::Judge6)
        }
        parse::ARP => Glance::Pass,
        _ if denies_anything(tables, generation) => {
            tables.count(Counter::Unparsed);
            Glance::Drop
        }
        _ => Glance::Pass,
    }
}

/// `None`: it goes on.
#[inline(always)]
fn look<T: Tables, P: Packet, K: FlowKey + Default>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    generation: Generation,
    parsed: Parsed<K>,
) -> Option<Pending<K>> {
    let mut pending = Pending {
        generation,
        workload,
        class: Class::NONE,
        transport: 0,
        flags: 0,
        known: 0,
        unreadable: 0,
        zero: 0,
        key: K::default(),
    };
    let headers = match parsed {
        Parsed::Flow(headers) => headers,
        Parsed::Link => return None,
        Parsed::Unreadable(key) => {
            pending.key = key;
            pending.unreadable = 1;
            return Some(pending);
        }
    };
    // A query to a resolver is never answered from the flow cache: each one must be remembered, or its answer would
    // not be learned.
    let query = headers.is_query() && tables.trusts(&OwnKey { workload, address: headers.key.remote() });
    if !(headers.begins_connection() || query) {
        match hit(tables, workload, &headers.key, generation, tables.now(), packet.length()) {
            Hit::Pass => return None,
            Hit::Stale(class) => (pending.known, pending.class) = (1, class),
            Hit::Miss => {}
        }
    }
    pending.key = headers.key;
    pending.transport = headers.transport as u32;
    pending.flags = headers.flags;
    Some(pending)
}

/// What [`judge`] says.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Do this.
    Act(Egress),
    /// It is a question to a trusted resolver: [`remember_query`], then let it pass.
    Query(Exchange),
}

/// Judges a packet whose flow is not known, or of an older epoch.
#[inline(always)]
pub fn judge<T: Tables, P: Packet, K: FlowKey>(tables: &T, packet: &P, pending: &Pending<K>) -> Verdict {
    let key = &pending.key;
    if pending.unreadable != 0 {
        return Verdict::Act(unreadable(tables, packet, pending));
    }
    if !tables.owns(&OwnKey { workload: pending.workload, address: key.local() }) {
        return Verdict::Act(spoofed(tables, packet, pending));
    }
    let now = tables.now();
    if key.remote_port() == DNS
        && (key.protocol() == UDP || key.protocol() == TCP)
        && tables.trusts(&OwnKey { workload: pending.workload, address: key.remote() })
    {
        if key.protocol() == UDP {
            return Verdict::Query(Exchange::of(pending.workload, key, pending.transport));
        }
        admit(tables, packet, pending, &Verdicts::resolver(), now);
        return Verdict::Act(Egress::Pass);
    }
    let ruleset = tables.ruleset(pending.generation.ruleset()).unwrap_or_default();
    let verdicts = tables.with_findings(|found| {
        look_up(tables, pending, now, found);
        Verdicts::of(&ruleset, found)
    });
    if verdicts.allows() {
        admit(tables, packet, pending, &verdicts, now);
        return Verdict::Act(Egress::Pass);
    }
    tables.count(Counter::Denied);
    report(tables, packet, pending, &verdicts, now);
    Verdict::Act(refuse(tables, pending, &ruleset, now))
}

/// Remembers a question, so that its answer will be learned.
#[inline(always)]
pub fn remember_query<T: Tables, P: Packet>(tables: &T, packet: &P, exchange: &Exchange) {
    tables.count(Counter::Queries);
    let message = exchange.message as usize;
    let Some(question) = question::hash(packet, message) else { return };
    let Some(id) = packet.read::<2>(message) else { return };
    if !tables.remember_query(exchange.workload, &exchange.key(id), &Query { question }) {
        tables.count(Counter::QueriesFull);
    }
}

enum Hit {
    Pass,
    Stale(Class),
    Miss,
}

/// The hot path: one look-up.
#[inline(always)]
fn hit<T: Tables, K: FlowKey>(
    tables: &T,
    workload: WorkloadIndex,
    key: &K,
    generation: Generation,
    now: Tick,
    bytes: u32,
) -> Hit {
    let hit = key.with_flow(tables, workload, |flow| {
        let inward = flow.direction == Direction::In as u8;
        if now >= flow.until || (flow.epoch != generation.epoch() && !inward) {
            // A flow that ran out is a new one; one of an older epoch is asked again whether its rule still stands.
            return if now >= flow.until { Hit::Miss } else { Hit::Stale(flow.class) };
        }
        flow.packets += 1;
        flow.bytes += bytes as u64;
        if key.protocol() != TCP {
            flow.until = now.plus(tables.config().idle);
        }
        Hit::Pass
    });
    hit.unwrap_or(Hit::Miss)
}

/// What rules say of a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Findings {
    said: RuleValue,
    /// What rules would say if no binding had expired.
    expired: RuleValue,
    class: Class,
    kind: u32,
}

#[inline(always)]
fn look_up<T: Tables, K: FlowKey>(tables: &T, pending: &Pending<K>, now: Tick, found: &mut Findings) {
    let Pending { workload, generation, key, .. } = pending;
    let Dest { class, kind } = tables.dest(&key.dest(generation.ruleset())).unwrap_or_default();
    *found = Findings { kind, ..Findings::default() };
    let says = |class: Class| {
        let rule = RuleKey::new(generation.ruleset(), class, key.rule_protocol(), key.remote_port());
        tables.rule(&rule).unwrap_or_default()
    };
    if class != Class::NONE {
        found.add(class, says(class));
    }
    if pending.class.is_name() {
        found.add(pending.class, says(pending.class));
    }
    let own = OwnKey { workload: *workload, address: key.remote() };
    let Some(binding) = tables.binding(&own) else { return };
    // A connection under way may use a name for a while after it expired; a new one may not.
    let begins = parse::begins_connection(pending.flags) || key.protocol() != TCP;
    let limit = if pending.known != 0 || !begins { now.minus(tables.config().flow_grace) } else { now };
    for Slot { class, until } in &binding.slots {
        if *class == Class::NONE {
            continue;
        }
        let said = says(*class);
        if *until > limit {
            found.add(*class, said);
        } else {
            found.expired.applied = found.expired.applied.and(said.applied);
            found.expired.observed = found.expired.observed.and(said.observed);
        }
    }
}

impl Findings {
    #[inline(always)]
    fn add(&mut self, class: Class, said: RuleValue) {
        // The class whose rule, of a policy in force, is the one told; else of a policy on trial, so that a connection
        // begun under Observe is known by its name when enforcement is switched on.
        let admits = said.applied.allows() && said.applied.0 > self.said.applied.0;
        let would = said.observed.allows() && said.observed.0 > self.said.observed.0;
        if admits || (would && !self.said.applied.allows()) {
            self.class = class;
        }
        self.said.applied = self.said.applied.and(said.applied);
        self.said.observed = self.said.observed.and(said.observed);
    }
}

#[derive(Clone, Copy)]
struct Verdicts {
    applied: Said,
    observed: Said,
    applied_why: u8,
    observed_why: u8,
    class: Class,
}

impl Verdicts {
    #[inline(always)]
    fn of(ruleset: &Ruleset, found: &Findings) -> Self {
        // Shift instead of index: the kind comes from a map, and an index would cost a bounds check.
        let denies = |defaults: &[u8; 3]| match found.kind {
            0 => defaults[0] != 0,
            1 => defaults[1] != 0,
            _ => defaults[2] != 0,
        };
        let why = |said: Said, expired: Said, deny: bool| match (said.denies(), said.allows(), deny) {
            (true, ..) => why::DENY | why::RULE,
            (_, true, _) => why::RULE,
            (.., true) if expired.allows() => why::DENY | why::EXPIRED_NAME,
            (.., true) => why::DENY | why::DEFAULT_DENY,
            _ if ruleset.unmanaged != 0 => why::UNMANAGED,
            _ => why::NOT_ENFORCED,
        };
        Self {
            applied: found.said.applied,
            observed: found.said.observed,
            applied_why: why(found.said.applied, found.expired.applied, denies(&ruleset.applied_default)),
            observed_why: why(found.said.observed, found.expired.observed, denies(&ruleset.observed_default)),
            class: found.class,
        }
    }

    /// Every workload may ask its trusted resolvers, whatever its policies.
    fn resolver() -> Self {
        let said = Said::allow(RuleId::DNS);
        Self {
            applied: said,
            observed: said,
            applied_why: why::RULE,
            observed_why: why::RULE,
            class: Class::NONE,
        }
    }

    fn denied(reason: u8) -> Self {
        let why = why::DENY | reason;
        Self {
            applied: Said::NOTHING,
            observed: Said::NOTHING,
            applied_why: why,
            observed_why: why,
            class: Class::NONE,
        }
    }

    #[inline(always)]
    fn allows(&self) -> bool {
        self.applied_why & why::DENY == 0
    }
}

/// How a denied packet ends.
#[inline(always)]
fn refuse<T: Tables, K: FlowKey>(tables: &T, pending: &Pending<K>, ruleset: &Ruleset, now: Tick) -> Egress {
    let transport = pending.transport as usize;
    match pending.key.protocol() {
        _ if ruleset.silent != 0 => Egress::Drop,
        TCP if !parse::is_reset(pending.flags) => Egress::Reset { transport },
        UDP if pending.is_plain() && may_refuse(tables, pending.workload, now) => {
            Egress::Unreachable { transport }
        }
        _ => Egress::Drop,
    }
}

/// Remembers a flow that may go on, and tells it; one that is judged again keeps its counts and is not told.
#[inline(always)]
fn admit<T: Tables, P: Packet, K: FlowKey>(
    tables: &T,
    packet: &P,
    pending: &Pending<K>,
    verdicts: &Verdicts,
    now: Tick,
) {
    let key = &pending.key;
    let until = if key.protocol() == TCP { Tick::NEVER } else { now.plus(tables.config().idle) };
    let bytes = packet.length() as u64;
    let renew = |flow: &mut Flow| {
        flow.epoch = pending.generation.epoch();
        flow.until = until;
        flow.applied = verdicts.applied;
        flow.observed = verdicts.observed;
        flow.applied_why = verdicts.applied_why;
        flow.observed_why = verdicts.observed_why;
        flow.class = verdicts.class;
        flow.packets += 1;
        flow.bytes += bytes;
    };
    if pending.known != 0 && key.with_flow(tables, pending.workload, renew).is_some() {
        return;
    }
    let mut flow = Flow { direction: Direction::Out as u8, ..Flow::default() };
    renew(&mut flow);
    if !key.remember(tables, pending.workload, &flow) {
        tables.count(Counter::FlowsFull);
    }
    tables.count(Counter::Allowed);
    report(tables, packet, pending, verdicts, now);
}

/// Dropped for unmanaged workloads too: what others believe of an address must come from its owner.
#[inline(always)]
fn spoofed<T: Tables, P: Packet, K: FlowKey>(tables: &T, packet: &P, pending: &Pending<K>) -> Egress {
    tables.count(Counter::Spoofed);
    let forged = pending.key.local_port() == DNS && pending.key.protocol() == UDP;
    let reason = if forged { why::FORGED_ANSWER } else { why::SPOOFED_SOURCE };
    report(tables, packet, pending, &Verdicts::denied(reason), tables.now());
    Egress::Drop
}

/// What cannot be read is let pass only where no default in force would deny it, and told where one on trial would. Its
/// source, where there is one, must be the sender's own like any other: fragments of IPv6 are unreadable too, and put
/// together again they are as good as a whole datagram.
#[inline(always)]
fn unreadable<T: Tables, P: Packet, K: FlowKey>(tables: &T, packet: &P, pending: &Pending<K>) -> Egress {
    let ruleset = tables.ruleset(pending.generation.ruleset()).unwrap_or_default();
    let (mut verdicts, local) = (Verdicts::denied(why::UNPARSED), pending.key.local());
    let has_source = local != Address::v4([0; 4]) && local != Address([0; 16]);
    if has_source && !tables.owns(&OwnKey { workload: pending.workload, address: local }) {
        return spoofed(tables, packet, pending);
    }
    if ruleset.applied_default != [0; 3] {
        tables.count(Counter::Unparsed);
    } else if ruleset.observed_default != [0; 3] {
        verdicts.applied_why = why::NOT_ENFORCED;
    } else {
        return Egress::Pass;
    }
    report(tables, packet, pending, &verdicts, tables.now());
    if verdicts.allows() { Egress::Pass } else { Egress::Drop }
}

#[inline(always)]
fn denies_anything<T: Tables>(tables: &T, generation: Generation) -> bool {
    tables.ruleset(generation.ruleset()).unwrap_or_default().applied_default != [0; 3]
}

#[inline(always)]
fn may_refuse<T: Tables>(tables: &T, workload: WorkloadIndex, now: Tick) -> bool {
    let rate = tables.config().refusals;
    let may = tables.with_budget(workload, |b| budget::take(&mut b.refusals_at, &mut b.refusals, now, rate));
    let may = may.unwrap_or(false);
    tables.count(if may { Counter::Icmp } else { Counter::RefusalsOver });
    may
}

#[inline(always)]
fn report<T: Tables, P: Packet, K: FlowKey>(
    tables: &T,
    packet: &P,
    pending: &Pending<K>,
    verdicts: &Verdicts,
    now: Tick,
) {
    let (rate, workload, key) = (tables.config().events, pending.workload, &pending.key);
    let may = tables.with_budget(workload, |b| budget::take(&mut b.events_at, &mut b.events, now, rate));
    if may != Some(true) {
        tables.count(Counter::EventsOver);
        return;
    }
    tables.report(|| Event {
        time: tables.nanoseconds(),
        generation: pending.generation,
        workload,
        length: packet.length(),
        applied: verdicts.applied,
        observed: verdicts.observed,
        class: verdicts.class,
        local_port: key.local_port(),
        remote_port: key.remote_port(),
        local: key.local(),
        remote: key.remote(),
        protocol: key.protocol(),
        applied_why: verdicts.applied_why,
        observed_why: verdicts.observed_why,
        zero: [0; 5],
    });
}
