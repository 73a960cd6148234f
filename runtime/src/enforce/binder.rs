//! The hand on bindings: what a workload's look-ups said, in the classes of its policies.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use egret_abi::{Binding, Class, OwnKey, Slot, Tick, WorkloadIndex};

use crate::dns::{self, Answer, Limits, Matcher, Merge, Names, merge};
use crate::kernel::clock::{tick, tick_after};
use crate::kernel::maps::{Writer, address};
use crate::kernel::{KernelError, Pins};
use crate::model::{Name, Pattern};

/// How long after its end a binding stays: longer than `flow_grace`, so that a connection under way may use it.
const KEEP: Duration = Duration::from_hours(2);

struct Bound {
    names: Names,
    matcher: Matcher,
}

/// Learns answers and binds addresses. Shared behind a lock; every call is short.
pub struct Binder {
    writer: Writer,
    min_ttl: Duration,
    workloads: HashMap<WorkloadIndex, Bound>,
    /// Bindings that found no free slot.
    crowded: u64,
}

impl Binder {
    /// Opens the pinned maps; `min_ttl` is the least time an address is bound.
    ///
    /// # Errors
    /// What the kernel said; the same for every method.
    pub fn open(pins: &Pins, min_ttl: Duration) -> Result<Self, KernelError> {
        Ok(Self { writer: Writer::open(pins)?, min_ttl, workloads: HashMap::new(), crowded: 0 })
    }

    /// Learns `answer` for a workload at `now`. When this returns, its bindings are in the map.
    pub fn learn(&mut self, index: WorkloadIndex, answer: &Answer, now: Duration) -> Result<(), KernelError> {
        let Some(bound) = self.workloads.get_mut(&index) else { return Ok(()) };
        let learned = bound.names.learn(answer, now, self.min_ttl);
        let classes = bound.matcher.classes(&answer.question);
        if classes.is_empty() {
            return Ok(());
        }
        for learned in learned {
            self.crowded +=
                bind(&mut self.writer, &bound.matcher, index, &classes, learned.address, learned.until, now)?;
        }
        Ok(())
    }

    /// Gives a workload the patterns of its new policies, and binds what it looked up before to them. To be called
    /// before the ruleset is in force, so that a name that was looked up is never denied in between.
    pub fn set_patterns(
        &mut self,
        index: WorkloadIndex,
        patterns: &[(Pattern, Class)],
        now: Duration,
    ) -> Result<(), KernelError> {
        let patterns: Vec<_> = patterns.iter().map(|(pattern, class)| (pattern.clone(), class.0)).collect();
        let matcher = Matcher::new(&patterns);
        let names =
            self.workloads.remove(&index).map_or_else(|| Names::new(Limits::default()), |bound| bound.names);
        let mut result = Ok(());
        for (name, address, until) in names.live(now) {
            let classes = matcher.classes(name);
            match bind(&mut self.writer, &matcher, index, &classes, address, until, now) {
                Ok(crowded) => self.crowded += crowded,
                Err(error) => result = Err(error),
            }
        }
        self.workloads.insert(index, Bound { names, matcher });
        result
    }

    /// The live names of an address, as the workload looked them up, the latest first.
    #[must_use]
    pub fn names_of(&self, index: WorkloadIndex, address: IpAddr, now: Duration) -> Vec<Name> {
        self.workloads.get(&index).map_or_else(Vec::new, |bound| bound.names.names_of(address, now))
    }

    /// The latest name that led to an address, even if that has ended.
    #[must_use]
    pub fn last_name_of(&self, index: WorkloadIndex, address: IpAddr) -> Option<Name> {
        self.workloads.get(&index).and_then(|bound| bound.names.last_name_of(address))
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

    /// Bindings that found every slot of their address taken.
    #[must_use]
    pub fn crowded(&self) -> u64 {
        self.crowded
    }

    /// Forgets a workload, and all that is bound for it.
    pub fn forget(&mut self, index: WorkloadIndex) -> Result<(), KernelError> {
        self.workloads.remove(&index);
        self.remove_where(|key, _| key.workload == index)
    }

    /// Takes away the bindings that ended long ago.
    pub fn sweep(&mut self, now: Duration) -> Result<(), KernelError> {
        let limit = tick(now.saturating_sub(KEEP));
        self.remove_where(|_, binding| binding.slots.iter().all(|slot| slot.until < limit))
    }

    fn remove_where(&mut self, gone: impl Fn(&OwnKey, &Binding) -> bool) -> Result<(), KernelError> {
        let keys: Vec<_> =
            self.writer.bindings().filter(|(key, binding)| gone(key, binding)).map(|(key, _)| key).collect();
        keys.into_iter().try_for_each(|key| self.writer.remove_binding(key))
    }
}

/// Binds one address to some classes; how many found no slot.
fn bind(
    writer: &mut Writer,
    matcher: &Matcher,
    workload: WorkloadIndex,
    classes: &[u32],
    ip: IpAddr,
    until: Duration,
    now: Duration,
) -> Result<u64, KernelError> {
    if classes.is_empty() {
        return Ok(0);
    }
    let key = OwnKey { workload, address: address(ip) };
    let binding = writer.binding(key).unwrap_or_default();
    let mut slots = binding.slots.map(|slot| dns::Slot { class: slot.class.0, until: slot.until.0 });
    let (mut changed, mut crowded) = (false, 0);
    for class in classes {
        let new = dns::Slot { class: *class, until: tick_after(until).0 };
        match merge(&mut slots, new, tick(now).0, |class| matcher.is_exact(class)) {
            Merge::Unchanged => {}
            Merge::Written | Merge::Replaced(_) => changed = true,
            Merge::Full => crowded += 1,
        }
    }
    if changed {
        let slots = slots.map(|slot| Slot { class: Class(slot.class), until: Tick(slot.until) });
        writer.set_binding(key, Binding { slots })?;
    }
    Ok(crowded)
}
