//! What a workload sends.

use egret_abi::{
    Class, Counter, Dest, Direction, Event, Flow, Generation, OwnKey, Query, QueryKey, RuleId, RuleKey,
    RuleValue, Ruleset, Said, Slot, Tick, WorkloadIndex, action_reason as why,
};

use crate::parse::{self, DNS, FlowKey, Headers, Packet, Parsed, TCP, UDP};
use crate::{Tables, budget, question};

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

/// Judges a packet of `ethertype` (host order) from `workload`.
#[inline(always)]
pub fn from_pod<T: Tables, P: Packet>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    ethertype: u16,
) -> Egress {
    match ethertype {
        parse::IPV4 => judge(tables, packet, workload, parse::ipv4(packet)),
        parse::IPV6 => judge(tables, packet, workload, parse::ipv6(packet)),
        parse::ARP => Egress::Pass,
        _ => unreadable(tables, packet, workload, None::<egret_abi::Flow4Key>),
    }
}

#[inline(always)]
fn judge<T: Tables, P: Packet, K: FlowKey>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    parsed: Parsed<K>,
) -> Egress {
    let headers = match parsed {
        Parsed::Flow(headers) => headers,
        Parsed::Link => return Egress::Pass,
        Parsed::Unreadable(key) => return unreadable(tables, packet, workload, Some(key)),
    };
    let Some(generation) = tables.generation(workload) else { return Egress::Pass };
    let now = tables.now();
    let key = &headers.key;
    let first = headers.begins_connection();
    // A query is never answered from the flow cache: each one must be remembered, or its answer would not be learned.
    let mut known = None;
    if !first && !headers.is_query() {
        match hit(tables, workload, key, generation, now, packet.length()) {
            Hit::Pass => return Egress::Pass,
            Hit::Stale(class) => known = Some(class),
            Hit::Miss => {}
        }
    }
    if !tables.owns(&OwnKey { workload, address: key.local() }) {
        return spoofed(tables, packet, workload, generation, key);
    }
    if key.remote_port() == DNS
        && (key.protocol() == UDP || key.protocol() == TCP)
        && tables.trusts(&OwnKey { workload, address: key.remote() })
    {
        return resolver(tables, packet, workload, generation, &headers, now);
    }
    let ruleset = tables.ruleset(generation.ruleset()).unwrap_or_default();
    let midstream = known.is_some() || (key.protocol() == TCP && !first);
    let found = look_up(tables, workload, generation, key, known, midstream, now);
    let verdicts = Verdicts::of(&ruleset, &found);
    finish(tables, packet, workload, generation, &headers, &ruleset, &verdicts, now, known.is_some())
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
struct Found {
    said: RuleValue,
    class: Class,
    /// What rules would say if no binding had expired.
    expired: RuleValue,
    kind: u32,
}

#[inline(always)]
fn look_up<T: Tables, K: FlowKey>(
    tables: &T,
    workload: WorkloadIndex,
    generation: Generation,
    key: &K,
    known: Option<Class>,
    midstream: bool,
    now: Tick,
) -> Found {
    let Dest { class, kind } = tables.dest(&key.dest(generation.ruleset())).unwrap_or_default();
    let mut found =
        Found { said: RuleValue::default(), class: Class::NONE, expired: RuleValue::default(), kind };
    let says = |class: Class| {
        let rule = RuleKey::new(generation.ruleset(), class, key.rule_protocol(), key.remote_port());
        tables.rule(&rule).unwrap_or_default()
    };
    if class != Class::NONE {
        found.add(class, says(class));
    }
    if let Some(class) = known
        && class.is_name()
    {
        found.add(class, says(class));
    }
    let Some(binding) = tables.binding(&OwnKey { workload, address: key.remote() }) else { return found };
    // A connection under way may use a name for a while after it expired; a new one may not.
    let limit = if midstream { now.minus(tables.config().flow_grace) } else { now };
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
    found
}

impl Found {
    #[inline(always)]
    fn add(&mut self, class: Class, said: RuleValue) {
        let before = self.said.applied;
        self.said.applied = before.and(said.applied);
        self.said.observed = self.said.observed.and(said.observed);
        // The class that a policy in force allows; else one that a policy on trial would, so that a connection begun
        // under Observe is known by its name when enforcement is switched on.
        let admits = said.applied.allows() && !before.allows();
        if admits || (self.class == Class::NONE && said.observed.allows()) {
            self.class = class;
        }
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
    fn of(ruleset: &Ruleset, found: &Found) -> Self {
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

/// Acts on the verdicts of a first packet, or of one that is judged again.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "one call; a struct would be built on a stack of 512 bytes")]
fn finish<T: Tables, P: Packet, K: FlowKey>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    generation: Generation,
    headers: &Headers<K>,
    ruleset: &Ruleset,
    verdicts: &Verdicts,
    now: Tick,
    again: bool,
) -> Egress {
    let key = &headers.key;
    if verdicts.allows() {
        admit(tables, packet, workload, generation, key, verdicts, now, again);
        return Egress::Pass;
    }
    tables.count(Counter::Denied);
    report(tables, packet, workload, generation, key, verdicts, now);
    if ruleset.silent != 0 {
        return Egress::Drop;
    }
    match key.protocol() {
        TCP if !headers.is_reset() => Egress::Reset { transport: headers.transport },
        UDP if may_refuse(tables, workload, now) => Egress::Unreachable { transport: headers.transport },
        _ => Egress::Drop,
    }
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "one call; a struct would be built on a stack of 512 bytes")]
fn admit<T: Tables, P: Packet, K: FlowKey>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    generation: Generation,
    key: &K,
    verdicts: &Verdicts,
    now: Tick,
    again: bool,
) {
    let until = if key.protocol() == TCP { Tick::NEVER } else { now.plus(tables.config().idle) };
    let bytes = packet.length() as u64;
    if again {
        // Judged again and still allowed: it is the same flow, and keeps its counts.
        let renewed = key.with_flow(tables, workload, |flow| {
            flow.epoch = generation.epoch();
            flow.until = until;
            flow.applied = verdicts.applied;
            flow.observed = verdicts.observed;
            flow.applied_why = verdicts.applied_why;
            flow.observed_why = verdicts.observed_why;
            flow.class = verdicts.class;
            flow.packets += 1;
            flow.bytes += bytes;
        });
        if renewed.is_some() {
            return;
        }
    }
    let flow = Flow {
        epoch: generation.epoch(),
        until,
        applied: verdicts.applied,
        observed: verdicts.observed,
        class: verdicts.class,
        direction: Direction::Out as u8,
        applied_why: verdicts.applied_why,
        observed_why: verdicts.observed_why,
        zero: 0,
        packets: 1,
        bytes,
    };
    if !key.remember(tables, workload, &flow) {
        tables.count(Counter::FlowsFull);
    }
    tables.count(Counter::Allowed);
    report(tables, packet, workload, generation, key, verdicts, now);
}

#[inline(always)]
fn resolver<T: Tables, P: Packet, K: FlowKey>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    generation: Generation,
    headers: &Headers<K>,
    now: Tick,
) -> Egress {
    let key = &headers.key;
    if key.protocol() == TCP {
        admit(tables, packet, workload, generation, key, &Verdicts::resolver(), now, false);
        return Egress::Pass;
    }
    tables.count(Counter::Queries);
    let message = headers.transport + 8;
    if let (Some(id), Some(question)) = (packet.read::<2>(message), question::hash(packet, message)) {
        let query = QueryKey { resolver: key.remote(), local: key.local(), local_port: key.local_port(), id };
        if !tables.remember_query(workload, &query, &Query { question }) {
            tables.count(Counter::QueriesFull);
        }
    }
    Egress::Pass
}

/// Dropped for unmanaged workloads too: what others believe of an address must come from its owner.
#[inline(always)]
fn spoofed<T: Tables, P: Packet, K: FlowKey>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    generation: Generation,
    key: &K,
) -> Egress {
    tables.count(Counter::Spoofed);
    let reason = if key.local_port() == DNS && key.protocol() == UDP {
        why::FORGED_ANSWER
    } else {
        why::SPOOFED_SOURCE
    };
    report(tables, packet, workload, generation, key, &Verdicts::denied(reason), tables.now());
    Egress::Drop
}

/// What cannot be read is let pass only where no default would deny it.
#[inline(always)]
fn unreadable<T: Tables, P: Packet, K: FlowKey>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    key: Option<K>,
) -> Egress {
    let Some(generation) = tables.generation(workload) else { return Egress::Pass };
    let ruleset = tables.ruleset(generation.ruleset()).unwrap_or_default();
    if ruleset.applied_default == [0; 3] {
        return Egress::Pass;
    }
    tables.count(Counter::Unparsed);
    if let Some(key) = key {
        report(tables, packet, workload, generation, &key, &Verdicts::denied(why::UNPARSED), tables.now());
    }
    Egress::Drop
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
    workload: WorkloadIndex,
    generation: Generation,
    key: &K,
    verdicts: &Verdicts,
    now: Tick,
) {
    let rate = tables.config().events;
    let may = tables.with_budget(workload, |b| budget::take(&mut b.events_at, &mut b.events, now, rate));
    if may != Some(true) {
        tables.count(Counter::EventsOver);
        return;
    }
    tables.report(|| Event {
        time: tables.nanoseconds(),
        generation,
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
