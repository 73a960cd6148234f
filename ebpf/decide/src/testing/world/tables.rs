//! What the logic asks of the maps, answered by the plain collections.

use egret_abi::{
    Binding, Budget, CachedVerdict, Call, Config, Counter, Dest, DestKey, Event, Flow, Flow4Key, Flow6Key,
    Fragment, FragmentKey, Generation, Inbound, OwnKey, Probe, Query, QueryKey, RuleKey, RuleValue, Ruleset,
    RulesetId, Tick, VerdictKey, Waiting, WorkloadIndex,
};

use super::World;
use crate::Tables;
use crate::egress::Findings;
use crate::testing::longest::longest;

macro_rules! flows {
    ($map:ident, $key:ty, $value:ty, $with:ident, $remember:ident, $table:literal) => {
        fn $with<R>(
            &self,
            workload: WorkloadIndex,
            key: &$key,
            f: impl FnOnce(&mut $value) -> R,
        ) -> Option<R> {
            self.ask($table);
            self.$map.borrow_mut().get_mut(&(workload, *key)).map(f)
        }

        fn $remember(&self, workload: WorkloadIndex, key: &$key, value: &$value) -> bool {
            self.ask(concat!("remember ", $table));
            if !self.full {
                self.$map.borrow_mut().insert((workload, *key), *value);
            }
            !self.full
        }
    };
}

impl Tables for World {
    fn now(&self) -> Tick {
        self.now
    }

    fn nanoseconds(&self) -> u64 {
        self.now.nanoseconds()
    }

    fn config(&self) -> Config {
        self.ask("config");
        self.config
    }

    fn generation(&self, workload: WorkloadIndex) -> Option<Generation> {
        self.ask("generation");
        self.workloads.get(&workload).copied()
    }

    fn ruleset(&self, ruleset: RulesetId) -> Option<Ruleset> {
        self.ask("ruleset");
        self.rulesets.get(&ruleset).copied()
    }

    fn owns(&self, key: &OwnKey) -> bool {
        self.ask("own");
        self.own.contains(key)
    }

    fn trusts(&self, key: &OwnKey) -> bool {
        self.ask("resolver");
        self.resolvers.contains(key)
    }

    fn binding(&self, key: &OwnKey) -> Option<&Binding> {
        self.ask("binding");
        self.bindings.get(key)
    }

    fn dest(&self, key: &DestKey) -> Option<Dest> {
        self.ask("dest");
        longest(&self.dests, key)
    }

    fn rule(&self, key: &RuleKey) -> Option<RuleValue> {
        self.ask("rule");
        longest(&self.rules, key)
    }

    flows!(flows4, Flow4Key, Flow, with_flow4, remember_flow4, "flow");
    flows!(flows6, Flow6Key, Flow, with_flow6, remember_flow6, "flow");
    flows!(inbound4, Flow4Key, Inbound, with_inbound4, remember_inbound4, "inbound");
    flows!(inbound6, Flow6Key, Inbound, with_inbound6, remember_inbound6, "inbound");
    flows!(calls, Flow6Key, Call, with_call, remember_call, "call");

    fn forget_flow4(&self, workload: WorkloadIndex, key: &Flow4Key) {
        self.flows4.borrow_mut().remove(&(workload, *key));
    }

    fn forget_flow6(&self, workload: WorkloadIndex, key: &Flow6Key) {
        self.flows6.borrow_mut().remove(&(workload, *key));
    }

    fn fragment(&self, workload: WorkloadIndex, key: &FragmentKey) -> Option<Fragment> {
        self.ask("fragment");
        self.fragments.borrow().get(&(workload, *key)).copied()
    }

    fn remember_fragment(&self, workload: WorkloadIndex, key: &FragmentKey, fragment: &Fragment) -> bool {
        if !self.full {
            self.fragments.borrow_mut().insert((workload, *key), *fragment);
        }
        !self.full
    }

    fn remember_query(&self, workload: WorkloadIndex, key: &QueryKey, query: &Query) -> bool {
        if !self.full {
            self.queries.borrow_mut().insert((workload, *key), *query);
        }
        !self.full
    }

    fn take_query(&self, workload: WorkloadIndex, key: &QueryKey) -> Option<Query> {
        self.queries.borrow_mut().remove(&(workload, *key))
    }

    fn with_budget<R>(&self, workload: WorkloadIndex, f: impl FnOnce(&mut Budget) -> R) -> Option<R> {
        Some(f(self.budgets.borrow_mut().entry(workload).or_default()))
    }

    fn with_probe<R>(&self, workload: WorkloadIndex, f: impl FnOnce(&mut Probe) -> R) -> Option<R> {
        self.probes.borrow_mut().get_mut(&workload).map(f)
    }

    fn verdict(&self, workload: WorkloadIndex, key: &VerdictKey) -> Option<CachedVerdict> {
        self.ask("verdict");
        self.verdicts.get(&(workload, *key)).copied()
    }

    fn waiting(&self, workload: WorkloadIndex, key: &Flow6Key) -> Option<Waiting> {
        self.ask("waiting");
        self.waiting.borrow().get(&(workload, *key)).copied()
    }

    fn with_waiting<R>(
        &self,
        workload: WorkloadIndex,
        key: &Flow6Key,
        f: impl FnOnce(&mut Waiting) -> R,
    ) -> Option<R> {
        self.waiting.borrow_mut().get_mut(&(workload, *key)).map(f)
    }

    fn wait(&self, workload: WorkloadIndex, key: &Flow6Key, now: Tick, until: Tick) -> u64 {
        let mut waiting = self.waiting.borrow_mut();
        let waiting = waiting.entry((workload, *key)).or_default();
        if waiting.last >= Waiting::OVER || now >= waiting.until {
            *waiting = Waiting::default();
        }
        waiting.last += 1;
        waiting.until = until;
        waiting.last
    }

    fn end_waiting(&self, workload: WorkloadIndex, key: &Flow6Key, last: u64) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let is_last = waiting.get(&(workload, *key)).is_none_or(|waiting| waiting.last == last);
        if is_last {
            waiting.remove(&(workload, *key));
        }
        is_last
    }

    fn count(&self, counter: Counter) {
        self.counted.borrow_mut().push(counter);
    }

    fn with_findings<R>(&self, f: impl FnOnce(&mut Findings) -> R) -> Option<R> {
        Some(f(&mut self.findings.borrow_mut()))
    }

    fn report(&self, make: impl FnOnce() -> Event) {
        self.events.borrow_mut().push(make());
    }
}
