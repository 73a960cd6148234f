//! The hand on bindings: what a workload's look-ups said, in the classes of its policies.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use egret_abi::{Binding, Class, OwnKey, Slot, Tick, WorkloadIndex};
use egret_decide::learn::Taught;

use crate::dns::{self, Answer, Limits, Matched, Matcher, Merge, Names, Quota, merge};
use crate::kernel::clock::{tick, tick_after};
use crate::kernel::maps::{Writer, address, ip};
use crate::kernel::{KernelError, Pins, Teacher};
use crate::model::{Name, NameClass, Pattern};

/// How much longer than `flow_grace` a binding stays after its end, so that a connection under way may use it.
const SLACK: Duration = Duration::from_hours(1);

/// Bindings that one sweep looks at: an application may be waiting for the lock.
const SWEEP: usize = 2048;

struct Bound {
    names: Names,
    matcher: Matcher,
    /// What is in BINDINGS.
    quota: Quota,
}

impl Default for Bound {
    fn default() -> Self {
        Self { names: Names::new(Limits::default()), matcher: Matcher::default(), quota: Quota::default() }
    }
}

/// How answers are learned.
#[derive(Clone, Debug, Default)]
pub struct Learning {
    /// The least time an address is bound.
    pub min_ttl: Duration,
    /// How long after its end a binding still serves connections under way.
    pub flow_grace: Duration,
    /// The domains that a resolver may take off a name.
    pub search_domains: Vec<Pattern>,
}

/// Learns answers and binds addresses. Shared behind a lock; every call is short.
pub struct Binder {
    writer: Writer,
    teacher: Teacher,
    learning: Learning,
    workloads: HashMap<WorkloadIndex, Bound>,
    /// Answers that were learned.
    learned: u64,
    /// Bindings that found no free slot.
    crowded: u64,
    /// Addresses that were unbound because a share was used up.
    over_quota: u64,
}

impl Binder {
    /// Opens the pinned maps, with what an earlier agent bound.
    ///
    /// # Errors
    /// What the kernel said; the same for every method.
    pub fn open(pins: &Pins, learning: Learning, teacher: Teacher) -> Result<Self, KernelError> {
        let writer = Writer::open(pins)?;
        let mut workloads: HashMap<WorkloadIndex, Bound> = HashMap::new();
        let mut over = Vec::new();
        let mut bindings: Vec<_> = writer.bindings().collect();
        // What ended first goes first.
        bindings.sort_unstable_by_key(|(_, binding)| binding.slots.iter().map(|slot| slot.until).max());
        for (key, binding) in bindings {
            // Whether its names are exact is known once they are looked up again.
            let quota = &mut workloads.entry(key.workload).or_default().quota;
            let gone = quota.count(ip(key.address), Some(binding.slots[0].class.0));
            over.extend(gone.map(|gone| self::key(key.workload, gone)));
        }
        let mut binder = Self { writer, teacher, learning, workloads, learned: 0, crowded: 0, over_quota: 0 };
        over.into_iter().try_for_each(|key| binder.writer.remove_binding(key))?;
        Ok(binder)
    }

    /// Learns `answer` for a workload at `now`. When this returns, its bindings are in the map. Of a workload whose
    /// patterns are not known yet the names are kept, and bound when they are.
    pub fn learn(&mut self, index: WorkloadIndex, answer: &Answer, now: Duration) -> Result<(), KernelError> {
        let Answer { question, addresses, searched, .. } = answer;
        self.learned += 1;
        self.learn_name(index, question, addresses, now)?;
        let searched = searched.as_ref().filter(|searched| self.searches(&searched.domain));
        searched.map_or(Ok(()), |searched| self.learn_name(index, &searched.name, &searched.addresses, now))
    }

    fn searches(&self, domain: &Name) -> bool {
        self.learning.search_domains.iter().any(|searched| searched.matches(domain))
    }

    fn learn_name(
        &mut self,
        index: WorkloadIndex,
        name: &Name,
        addresses: &[(IpAddr, u32)],
        now: Duration,
    ) -> Result<(), KernelError> {
        let bound = self.workloads.entry(index).or_default();
        let learned = bound.names.learn(name, addresses, now, self.learning.min_ttl);
        let classes = bound.matcher.classes(name);
        if classes.is_empty() {
            return Ok(());
        }
        for learned in learned {
            let (address, until) = (learned.address, learned.until);
            let bind = bind((&mut self.writer, &self.teacher), bound, index, &classes, address, until, now)?;
            self.crowded += bind.crowded;
            self.over_quota += bind.over_quota;
        }
        Ok(())
    }

    /// Gives a workload the patterns of its new policies, and binds what it looked up before to them. To be called
    /// before the ruleset is in force, so that a name that was looked up is never denied in between.
    pub fn set_patterns(
        &mut self,
        index: WorkloadIndex,
        patterns: &[(NameClass, Class)],
        now: Duration,
    ) -> Result<(), KernelError> {
        let patterns: Vec<_> = patterns.iter().map(|(names, class)| (names.clone(), class.0)).collect();
        let bound = self.workloads.entry(index).or_default();
        bound.matcher = Matcher::new(&patterns);
        let live: Vec<_> = bound
            .names
            .live(now)
            .map(|(name, address, until)| (bound.matcher.classes(name), address, until))
            .filter(|(classes, ..)| !classes.is_empty())
            .collect();
        let mut result = Ok(());
        for (classes, address, until) in live {
            match bind((&mut self.writer, &self.teacher), bound, index, &classes, address, until, now) {
                Ok(bind) => {
                    self.crowded += bind.crowded;
                    self.over_quota += bind.over_quota;
                }
                Err(error) => result = Err(error),
            }
        }
        result
    }

    /// The live names of an address, as the workload looked them up, the latest first; `most` of them.
    #[must_use]
    pub fn names_of(&self, index: WorkloadIndex, address: IpAddr, now: Duration, most: usize) -> Vec<Name> {
        self.workloads.get(&index).map_or_else(Vec::new, |bound| bound.names.names_of(address, now, most))
    }

    /// The latest name that led to an address, even if that has ended.
    #[must_use]
    pub fn last_name_of(&self, index: WorkloadIndex, address: IpAddr) -> Option<Name> {
        self.workloads.get(&index).and_then(|bound| bound.names.last_name_of(address))
    }

    /// The classes that an address was bound to until after `since`, as the programs see them.
    #[must_use]
    pub fn classes_of(&self, index: WorkloadIndex, address: IpAddr, since: Duration) -> Vec<Class> {
        let slots = self.writer.binding(key(index, address)).unwrap_or_default().slots;
        let live = slots.iter().filter(|slot| slot.class != Class::NONE && slot.until > tick(since));
        live.map(|slot| slot.class).collect()
    }

    /// The live addresses of a name, as the workload looked it up.
    #[must_use]
    pub fn addresses_of(&self, index: WorkloadIndex, name: &Name, now: Duration) -> Vec<IpAddr> {
        let live = self.workloads.get(&index).into_iter().flat_map(|bound| bound.names.live(now));
        live.filter(|(live, ..)| *live == name).map(|(_, address, _)| address).collect()
    }

    /// How many live pairs of a name and an address a workload has.
    #[must_use]
    pub fn live(&self, index: WorkloadIndex, now: Duration) -> usize {
        self.workloads.get(&index).map_or(0, |bound| bound.names.live(now).count())
    }

    /// The live pairs of a name and an address of a workload with their ends, the latest looked-up name first, at most
    /// `most` of them; and how many there are.
    #[must_use]
    pub fn pairs(
        &self,
        index: WorkloadIndex,
        now: Duration,
        most: usize,
    ) -> (Vec<(Name, IpAddr, Duration)>, usize) {
        let Some(bound) = self.workloads.get(&index) else { return (Vec::new(), 0) };
        let mut live = bound.names.live(now);
        let pairs: Vec<_> =
            live.by_ref().take(most).map(|(name, address, until)| (name.clone(), address, until)).collect();
        let total = pairs.len() + live.count();
        (pairs, total)
    }

    /// What a workload looked up and has not ended, with how long it lasts, the latest first.
    #[must_use]
    pub fn known(&self, index: WorkloadIndex, now: Duration) -> Vec<(Name, Vec<(IpAddr, Duration)>)> {
        let mut known: Vec<(Name, Vec<(IpAddr, Duration)>)> = Vec::new();
        for (name, address, until) in
            self.workloads.get(&index).into_iter().flat_map(|bound| bound.names.live(now))
        {
            match known.last_mut() {
                Some((last, addresses)) if last == name => addresses.push((address, until - now)),
                _ => known.push((name.clone(), vec![(address, until - now)])),
            }
        }
        known
    }

    /// Knows again what a workload looked up in the time of an earlier agent. It is bound with the next patterns.
    pub fn recall(&mut self, index: WorkloadIndex, name: &Name, addresses: &[(IpAddr, u32)], now: Duration) {
        let bound = self.workloads.entry(index).or_default();
        // What is to be bound is bound by `set_patterns`.
        let _ = bound.names.learn(name, addresses, now, Duration::ZERO);
    }

    /// Answers that were learned.
    #[must_use]
    pub fn learned(&self) -> u64 {
        self.learned
    }

    /// Bindings that found every slot of their address taken.
    #[must_use]
    pub fn crowded(&self) -> u64 {
        self.crowded
    }

    /// Addresses that were unbound because their workload, or one wildcard of its policies, had too many.
    #[must_use]
    pub fn over_quota(&self) -> u64 {
        self.over_quota
    }

    /// Forgets a workload, and all that is bound for it.
    pub fn forget(&mut self, index: WorkloadIndex) -> Result<(), KernelError> {
        let quota = self.workloads.remove(&index).unwrap_or_default().quota;
        quota.addresses().try_for_each(|ip| self.writer.remove_binding(key(index, ip)))?;
        // Also what was bound without a word to the agent, or the next workload of this number would have it.
        self.writer.forget_learned(index)
    }

    /// Takes away the bindings that ended long ago, or some of them: true where more may be left.
    pub fn sweep(&mut self, now: Duration) -> Result<bool, KernelError> {
        let limit = tick(now.saturating_sub(self.learning.flow_grace + SLACK));
        let mut left = SWEEP;
        for (index, bound) in &mut self.workloads {
            let old = bound.quota.take_old(&mut left, |ip| {
                let binding = self.writer.binding(key(*index, ip)).unwrap_or_default();
                binding.slots.iter().all(|slot| slot.until < limit)
            });
            old.into_iter().try_for_each(|ip| self.writer.remove_binding(key(*index, ip)))?;
        }
        Ok(left == 0)
    }
}

fn key(workload: WorkloadIndex, ip: IpAddr) -> OwnKey {
    OwnKey { workload, address: address(ip) }
}

/// What did not fit.
#[derive(Default)]
struct Bind {
    crowded: u64,
    over_quota: u64,
}

/// Puts a class into a slot of an address; false: there is none for it. The programs may write other slots meanwhile.
fn put(
    (writer, teacher): (&mut Writer, &Teacher),
    key: OwnKey,
    slot: Slot,
    now: Tick,
    is_exact: impl Fn(u32) -> bool,
) -> Result<bool, KernelError> {
    let is_there = |own: &Slot| own.class == slot.class && own.until >= slot.until;
    if slot.until <= now || writer.binding(key).is_some_and(|binding| binding.slots.iter().any(is_there)) {
        return Ok(true);
    }
    // Whoever is quicker in binding it first, the other one finds it bound.
    for _ in 0..2 {
        match teacher.teach(key, slot)? {
            Taught::Bound => return Ok(true),
            Taught::Full => break,
            Taught::Absent => {
                let mut binding = Binding::default();
                binding.slots[0] = slot;
                if writer.bind_anew(key, binding)? {
                    return Ok(true);
                }
            }
        }
    }
    // What an exact name pushes out, no program would.
    let mut slots = writer
        .binding(key)
        .unwrap_or_default()
        .slots
        .map(|slot| dns::Slot { class: slot.class.0, until: slot.until.0 });
    match merge(&mut slots, dns::Slot { class: slot.class.0, until: slot.until.0 }, now.0, is_exact) {
        Merge::Unchanged => Ok(true),
        Merge::Full => Ok(false),
        Merge::Written | Merge::Replaced(_) => {
            let slots = slots.map(|slot| Slot { class: Class(slot.class), until: Tick(slot.until) });
            writer.set_binding(key, Binding { slots }).map(|()| true)
        }
    }
}

/// Binds one address to those of some classes that count for it; what found no slot, and what had to go for it.
fn bind(
    hands: (&mut Writer, &Teacher),
    bound: &mut Bound,
    workload: WorkloadIndex,
    classes: &[Matched],
    ip: IpAddr,
    until: Duration,
    now: Duration,
) -> Result<Bind, KernelError> {
    let classes: Vec<_> = classes.iter().filter(|matched| matched.holds(ip)).collect();
    let Some(first) = classes.first() else { return Ok(Bind::default()) };
    let is_exact = classes.iter().any(|matched| bound.matcher.is_exact(matched.class));
    let wildcard = (!is_exact).then_some(first.class);
    let key = key(workload, ip);
    let mut crowded = 0;
    for Matched { class, .. } in classes {
        let slot = Slot { class: Class(*class), until: tick_after(until) };
        let has_room =
            put((&mut *hands.0, hands.1), key, slot, tick(now), |class| bound.matcher.is_exact(class))?;
        crowded += u64::from(!has_room);
    }
    let gone = bound.quota.count(ip, wildcard);
    if let Some(gone) = gone {
        hands.0.remove_binding(self::key(workload, gone))?;
    }
    Ok(Bind { crowded, over_quota: gone.is_some().into() })
}
