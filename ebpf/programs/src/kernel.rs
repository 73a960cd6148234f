//! [`Tables`] over the maps.

use core::arch::asm;

use aya_ebpf::{
    btf_maps::lpm_trie::Key,
    helpers::{bpf_ktime_get_coarse_ns, bpf_ktime_get_ns},
};
use egret_abi::{
    Binding, Budget, CachedVerdict, Call, Config, Counter, Dest, DestKey, Event, Flow, Flow4Key, Flow6Key,
    Fragment, FragmentKey, Generation, Inbound, OwnKey, Probe, Query, QueryKey, RuleKey, RuleValue, Ruleset,
    RulesetId, Tick, VerdictKey, Waiting, WorkloadIndex,
};
use egret_decide::{Tables, egress::Findings};

use crate::maps;

const BPF_NOEXIST: u64 = 1;

/// The maps of this object.
pub struct Kernel;

macro_rules! flows {
    ($map:ident, $key:ty, $value:ty, $with:ident, $remember:ident) => {
        #[inline(always)]
        fn $with<R>(
            &self,
            workload: WorkloadIndex,
            key: &$key,
            f: impl FnOnce(&mut $value) -> R,
        ) -> Option<R> {
            let value = maps::$map.get_value_ptr_mut(workload.0, key)?;
            // SAFETY: a map value of this type; other CPUs may write it too, and a lost count is all that can happen.
            Some(f(unsafe { &mut *value }))
        }

        #[inline(always)]
        fn $remember(&self, workload: WorkloadIndex, key: &$key, value: &$value) -> bool {
            maps::$map.get(workload.0).is_some_and(|map| map.insert(key, value, 0).is_ok())
        }
    };
}

impl Tables for Kernel {
    #[inline(always)]
    fn now(&self) -> Tick {
        // SAFETY: a helper without arguments.
        Tick::from_nanoseconds(unsafe { bpf_ktime_get_coarse_ns() })
    }

    #[inline(always)]
    fn nanoseconds(&self) -> u64 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_ktime_get_ns() }
    }

    #[inline(always)]
    fn config(&self) -> Config {
        maps::CONFIG.get(0).copied().unwrap_or_default()
    }

    #[inline(always)]
    fn generation(&self, workload: WorkloadIndex) -> Option<Generation> {
        let generation = *maps::WORKLOADS.get(workload.0)?;
        (generation.ruleset() != RulesetId(0)).then_some(generation)
    }

    #[inline(always)]
    fn ruleset(&self, ruleset: RulesetId) -> Option<Ruleset> {
        maps::RULESETS.get(ruleset.0).copied()
    }

    #[inline(always)]
    fn owns(&self, key: &OwnKey) -> bool {
        if let Some(home) = maps::HOMES.get(key.workload.0)
            && home.known != 0
            && (home.addresses[0] == key.address || home.addresses[1] == key.address)
        {
            return true;
        }
        maps::ADDRESSES.get_ptr(key).is_some()
    }

    #[inline(always)]
    fn trusts(&self, key: &OwnKey) -> bool {
        maps::RESOLVERS.get_ptr(key).is_some()
    }

    #[inline(always)]
    fn binding(&self, key: &OwnKey) -> Option<&Binding> {
        // SAFETY: only the agent writes bindings, and it replaces them whole; this one is freed after the program ends.
        unsafe { maps::BINDINGS.get(key) }
    }

    #[inline(always)]
    fn dest(&self, key: &DestKey) -> Option<Dest> {
        maps::DEST.get(&Key::new(160, *key)).copied()
    }

    #[inline(always)]
    fn rule(&self, key: &RuleKey) -> Option<RuleValue> {
        // SAFETY: only the agent writes rules, and it replaces them whole; copied at once.
        if let Some(exact) = unsafe { maps::EXACT.get(key) } {
            return Some(*exact);
        }
        maps::RULES.get(&Key::new(RuleKey::ALL_BITS, *key)).copied()
    }

    flows!(FLOWS4, Flow4Key, Flow, with_flow4, remember_flow4);
    flows!(FLOWS6, Flow6Key, Flow, with_flow6, remember_flow6);
    flows!(INBOUND4, Flow4Key, Inbound, with_inbound4, remember_inbound4);
    flows!(INBOUND6, Flow6Key, Inbound, with_inbound6, remember_inbound6);
    flows!(CALLS, Flow6Key, Call, with_call, remember_call);

    #[inline(always)]
    fn forget_flow4(&self, workload: WorkloadIndex, key: &Flow4Key) {
        let _ = maps::FLOWS4.get(workload.0).map(|flows| flows.remove(key));
    }

    #[inline(always)]
    fn forget_flow6(&self, workload: WorkloadIndex, key: &Flow6Key) {
        let _ = maps::FLOWS6.get(workload.0).map(|flows| flows.remove(key));
    }

    #[inline(always)]
    fn fragment(&self, workload: WorkloadIndex, key: &FragmentKey) -> Option<Fragment> {
        let fragments = maps::FRAGMENTS.get(workload.0)?;
        // SAFETY: an entry is replaced whole, never written; copied out at once.
        unsafe { fragments.get(key) }.copied()
    }

    #[inline(always)]
    fn remember_fragment(&self, workload: WorkloadIndex, key: &FragmentKey, fragment: &Fragment) -> bool {
        maps::FRAGMENTS.get(workload.0).is_some_and(|fragments| fragments.insert(key, fragment, 0).is_ok())
    }

    #[inline(always)]
    fn remember_query(&self, workload: WorkloadIndex, key: &QueryKey, query: &Query) -> bool {
        maps::QUERIES.get(workload.0).is_some_and(|queries| queries.insert(key, query, 0).is_ok())
    }

    #[inline(always)]
    fn take_query(&self, workload: WorkloadIndex, key: &QueryKey) -> Option<Query> {
        let queries = maps::QUERIES.get(workload.0)?;
        // SAFETY: copied out before anything else can touch the entry.
        let query = unsafe { queries.get(key) }.copied()?;
        let _ = queries.remove(key);
        Some(query)
    }

    #[inline(always)]
    fn with_budget<R>(&self, workload: WorkloadIndex, f: impl FnOnce(&mut Budget) -> R) -> Option<R> {
        let budget = maps::BUDGETS.get_ptr_mut(workload.0)?;
        // SAFETY: a map value of this type; see `decide::budget` on other CPUs.
        Some(f(unsafe { &mut *budget }))
    }

    #[inline(always)]
    fn with_probe<R>(&self, workload: WorkloadIndex, f: impl FnOnce(&mut Probe) -> R) -> Option<R> {
        let probe = maps::PROBES.get_ptr_mut(workload.0)?;
        // SAFETY: a map value of this type; at worst a number is taken twice.
        Some(f(unsafe { &mut *probe }))
    }

    #[inline(always)]
    fn verdict(&self, workload: WorkloadIndex, key: &VerdictKey) -> Option<CachedVerdict> {
        let verdicts = maps::VERDICTS.get(workload.0)?;
        // SAFETY: only the agent writes verdicts, and it replaces them whole; copied at once.
        unsafe { verdicts.get(key) }.copied()
    }

    #[inline(always)]
    fn waiting(&self, workload: WorkloadIndex, key: &Flow6Key) -> Option<Waiting> {
        let waiting = maps::WAITING.get_value_ptr_mut(workload.0, key)?;
        // SAFETY: a map value of this type, of which each field is read whole.
        Some(unsafe { *waiting })
    }

    #[inline(always)]
    fn with_waiting<R>(
        &self,
        workload: WorkloadIndex,
        key: &Flow6Key,
        f: impl FnOnce(&mut Waiting) -> R,
    ) -> Option<R> {
        let waiting = maps::WAITING.get_value_ptr_mut(workload.0, key)?;
        // SAFETY: a map value of this type; what is written of it at once by two processors is written whole.
        Some(f(unsafe { &mut *waiting }))
    }

    #[inline(always)]
    fn wait(&self, workload: WorkloadIndex, key: &Flow6Key, now: Tick, until: Tick) -> u64 {
        let Some(flows) = maps::WAITING.get(workload.0) else { return 1 };
        if let Some(waiting) = maps::WAITING.get_value_ptr_mut(workload.0, key) {
            // SAFETY: a map value of this type; the number is only ever changed as a whole.
            unsafe {
                if now < (*waiting).until {
                    let before = fetch_add(&raw mut (*waiting).last, 1);
                    if before < Waiting::OVER {
                        (*waiting).until = until;
                        return before + 1;
                    }
                }
            }
            let _ = flows.remove(key);
        }
        // Where another processor was first, this packet and its first share a number: one of them ends the wait.
        let _ = flows.insert(key, &Waiting { last: 1, until, ..Waiting::default() }, BPF_NOEXIST);
        1
    }

    #[inline(always)]
    fn end_waiting(&self, workload: WorkloadIndex, key: &Flow6Key, last: u64) -> bool {
        let Some(waiting) = maps::WAITING.get_value_ptr_mut(workload.0, key) else { return true };
        // SAFETY: as above.
        if unsafe { compare_exchange(&raw mut (*waiting).last, last, Waiting::OVER) } != last {
            return false;
        }
        let _ = maps::WAITING.get(workload.0).map(|flows| flows.remove(key));
        true
    }

    #[inline(always)]
    fn count(&self, counter: Counter) {
        if let Some(count) = maps::COUNTERS.get_ptr_mut(counter as u32) {
            // SAFETY: this CPU's own value.
            unsafe { *count += 1 };
        }
    }

    #[inline(always)]
    fn with_findings<R>(&self, f: impl FnOnce(&mut Findings) -> R) -> Option<R> {
        let findings = maps::FINDINGS.get_ptr_mut(0)?;
        // SAFETY: this CPU's own memory; nothing else writes it while the program runs.
        Some(f(unsafe { &mut *findings }))
    }

    #[inline(always)]
    fn report(&self, make: impl FnOnce() -> Event) {
        match maps::EVENTS.reserve(0) {
            Some(mut entry) => {
                entry.write(make());
                entry.submit(0);
            }
            None => self.count(Counter::EventsLost),
        }
    }
}

/// Adds to a word that other processors change too; what it was. The compiler's own atomics have no such thing for BPF.
///
/// # Safety
/// `word` must be aligned, in the value of a map.
#[inline(always)]
pub unsafe fn fetch_add(word: *mut u64, add: u64) -> u64 {
    let mut value = add;
    // SAFETY: as the caller says.
    unsafe {
        asm!("{value} = atomic_fetch_add((u64 *)({word} + 0), {value})", word = in(reg) word, value = inout(reg) value)
    };
    value
}

/// Writes `new` where the word is `expected`; what it was.
///
/// # Safety
/// `word` must be aligned, in the value of a map.
#[inline(always)]
pub unsafe fn compare_exchange(word: *mut u64, expected: u64, new: u64) -> u64 {
    let mut value = expected;
    // SAFETY: as the caller says.
    unsafe {
        asm!("r0 = cmpxchg_64({word} + 0, r0, {new})", word = in(reg) word, new = in(reg) new, inout("r0") value)
    };
    value
}
