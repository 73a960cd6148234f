//! The maps, as the logic sees them.

use egret_abi::{
    Binding, Budget, CachedVerdict, Call, Config, Counter, Dest, DestKey, Event, Flow, Flow4Key, Flow6Key,
    Fragment, FragmentKey, Generation, Inbound, OwnKey, Probe, Query, QueryKey, RuleKey, RuleValue, Ruleset,
    RulesetId, Tick, VerdictKey, Waiting, WorkloadIndex,
};

use crate::egress::Findings;

/// What the logic asks of the maps. Each look-up is one kernel helper call at most; two for maps of maps.
pub trait Tables {
    /// Coarse monotonic time.
    fn now(&self) -> Tick;
    /// The same in nanoseconds, finer where it costs nothing.
    fn nanoseconds(&self) -> u64;
    /// What the agent told all programs.
    fn config(&self) -> Config;
    /// The workload's epoch and ruleset.
    fn generation(&self, workload: WorkloadIndex) -> Option<Generation>;
    /// The ruleset's defaults.
    fn ruleset(&self, ruleset: RulesetId) -> Option<Ruleset>;
    /// Whether the address is the workload's own.
    fn owns(&self, key: &OwnKey) -> bool;
    /// Whether the workload trusts the resolver at the address.
    fn trusts(&self, key: &OwnKey) -> bool;
    /// Names bound to the address for the workload.
    fn binding(&self, key: &OwnKey) -> Option<&Binding>;
    /// Longest match of an address.
    fn dest(&self, key: &DestKey) -> Option<Dest>;
    /// Longest match of a port.
    fn rule(&self, key: &RuleKey) -> Option<RuleValue>;
    /// Runs `f` on an IPv4 flow.
    fn with_flow4<R>(
        &self,
        workload: WorkloadIndex,
        key: &Flow4Key,
        f: impl FnOnce(&mut Flow) -> R,
    ) -> Option<R>;
    /// Runs `f` on an IPv6 flow.
    fn with_flow6<R>(
        &self,
        workload: WorkloadIndex,
        key: &Flow6Key,
        f: impl FnOnce(&mut Flow) -> R,
    ) -> Option<R>;
    /// Remembers an IPv4 flow.
    fn remember_flow4(&self, workload: WorkloadIndex, key: &Flow4Key, flow: &Flow) -> bool;
    /// Remembers an IPv6 flow.
    fn remember_flow6(&self, workload: WorkloadIndex, key: &Flow6Key, flow: &Flow) -> bool;
    /// Forgets an IPv4 flow.
    fn forget_flow4(&self, workload: WorkloadIndex, key: &Flow4Key);
    /// Forgets an IPv6 flow.
    fn forget_flow6(&self, workload: WorkloadIndex, key: &Flow6Key);
    /// Runs `f` on an established IPv4 connection that somebody else began.
    fn with_inbound4<R>(
        &self,
        workload: WorkloadIndex,
        key: &Flow4Key,
        f: impl FnOnce(&mut Inbound) -> R,
    ) -> Option<R>;
    /// Runs `f` on an established IPv6 connection that somebody else began.
    fn with_inbound6<R>(
        &self,
        workload: WorkloadIndex,
        key: &Flow6Key,
        f: impl FnOnce(&mut Inbound) -> R,
    ) -> Option<R>;
    /// Remembers an established IPv4 connection that somebody else began.
    fn remember_inbound4(&self, workload: WorkloadIndex, key: &Flow4Key, inbound: &Inbound) -> bool;
    /// Remembers an established IPv6 connection that somebody else began.
    fn remember_inbound6(&self, workload: WorkloadIndex, key: &Flow6Key, inbound: &Inbound) -> bool;
    /// Runs `f` on a flow that somebody else began; IPv4 addresses are mapped.
    fn with_call<R>(
        &self,
        workload: WorkloadIndex,
        key: &Flow6Key,
        f: impl FnOnce(&mut Call) -> R,
    ) -> Option<R>;
    /// Remembers a flow that somebody else began.
    fn remember_call(&self, workload: WorkloadIndex, key: &Flow6Key, call: &Call) -> bool;
    /// What is remembered of a packet whose first piece went on.
    fn fragment(&self, workload: WorkloadIndex, key: &FragmentKey) -> Option<Fragment>;
    /// Remembers it.
    fn remember_fragment(&self, workload: WorkloadIndex, key: &FragmentKey, fragment: &Fragment) -> bool;
    /// Remembers a DNS query on its way.
    fn remember_query(&self, workload: WorkloadIndex, key: &QueryKey, query: &Query) -> bool;
    /// Takes a DNS query out.
    fn take_query(&self, workload: WorkloadIndex, key: &QueryKey) -> Option<Query>;
    /// Runs `f` on the workload's token buckets.
    fn with_budget<R>(&self, workload: WorkloadIndex, f: impl FnOnce(&mut Budget) -> R) -> Option<R>;
    /// Runs `f` on the workload's probes; `None` where there are none.
    fn with_probe<R>(&self, _workload: WorkloadIndex, _f: impl FnOnce(&mut Probe) -> R) -> Option<R> {
        None
    }
    /// What rules and modules said of a destination, or of one flow.
    fn verdict(&self, workload: WorkloadIndex, key: &VerdictKey) -> Option<CachedVerdict>;
    /// How a flow stands of which packets are, or were, on hold; IPv4 addresses are mapped.
    fn waiting(&self, workload: WorkloadIndex, key: &Flow6Key) -> Option<Waiting>;
    /// Runs `f` on the same.
    fn with_waiting<R>(
        &self,
        workload: WorkloadIndex,
        key: &Flow6Key,
        f: impl FnOnce(&mut Waiting) -> R,
    ) -> Option<R>;
    /// One more packet of the flow is put on hold: its number, from 1 where none is there at `now`. It counts until
    /// `until`.
    fn wait(&self, workload: WorkloadIndex, key: &Flow6Key, now: Tick, until: Tick) -> u64;
    /// Where `last` is still the number of the packet held last, the flow waits no more: true.
    fn end_waiting(&self, workload: WorkloadIndex, key: &Flow6Key, last: u64) -> bool;
    /// Counts one up.
    fn count(&self, counter: Counter);
    /// Runs `f` on what rules say of the packet in hand. In the kernel it is in a map, so that the verifier follows
    /// neither every way in which up to nine classes can speak nor what each leads to; `None` where that is not there,
    /// which no kernel does.
    fn with_findings<R>(&self, f: impl FnOnce(&mut Findings) -> R) -> Option<R>;
    /// Sends an event; `make` writes it where it will lie.
    fn report(&self, make: impl FnOnce() -> Event);
}
