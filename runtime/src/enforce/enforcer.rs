//! The hand on rulesets and workloads.
//!
//! A change of policy is: the new ruleset whole under a number of its own, then one word per workload that puts it in
//! force with a new epoch, then the old ruleset away. So no packet is ever judged by half a policy, and one tenant's
//! change touches nothing of another's.

#[path = "arming.rs"]
mod arming;

use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use egret_abi::{Config, Epoch, Generation, Home, RulesetId, WorkloadIndex};

use super::change::only_range;
use super::placement::{Placement, inherited_placement, own};
use super::{Numbers, encode};
use crate::kernel::maps::{Reader, Room, Writer};
use crate::kernel::{Door, KernelError, Pins};
use crate::model::WorkloadId;
use crate::policy::Ruleset;

struct Loaded {
    id: RulesetId,
    users: usize,
}

#[derive(Default)]
struct Placed {
    placement: Placement,
    epoch: Epoch,
    ruleset: Option<Arc<Ruleset>>,
    /// The fingerprint of what an earlier agent left in force, where that is known for certain.
    inherited: Option<u64>,
}

/// Desired state in, map writes out. Owned by one task.
pub struct Enforcer {
    writer: Writer,
    config: Config,
    numbers: Numbers,
    room: Room,
    loaded: HashMap<Arc<Ruleset>, Loaded>,
    placed: HashMap<WorkloadIndex, Placed>,
    /// Rulesets that an earlier agent left in force, until every workload has its new one.
    inherited: Vec<RulesetId>,
}

impl Enforcer {
    /// Opens the pinned maps, with the numbers that an earlier agent used in them.
    ///
    /// # Errors
    /// What the kernel said; the same for every method.
    pub fn open(pins: &Pins, numbers: Numbers, config: Config, room: Room) -> Result<Self, KernelError> {
        let mut writer = Writer::open(pins)?;
        let reader = Reader::open(pins)?;
        writer.set_config(config)?;
        let mut placed = HashMap::new();
        let mut inherited = Vec::new();
        for (_, index, ifindex) in numbers.workloads() {
            let generation = reader.generation(index);
            let placement = inherited_placement(&writer, index, ifindex);
            let epoch = generation.epoch();
            // An agent that was killed in between may have put in force what it could not write down.
            let known =
                numbers.epoch_of(index).filter(|(known, _)| *known == epoch && !generation.is_arming());
            let left = known.map(|(_, fingerprint)| fingerprint);
            placed.insert(index, Placed { placement, epoch, ruleset: None, inherited: left });
            inherited.push(generation.ruleset());
        }
        let mut this = Self { writer, config, numbers, room, loaded: HashMap::new(), placed, inherited };
        this.erase_litter();
        Ok(this)
    }

    /// Which door looks at what comes to workloads.
    #[must_use]
    pub fn door(&self) -> Door {
        [Door::Host, Door::Node]
            .into_iter()
            .find(|door| door.number() == self.config.door)
            .unwrap_or(Door::Pod)
    }

    /// The number of the gate's device.
    #[must_use]
    pub fn gate(&self) -> u32 {
        self.config.gate
    }

    /// Lets this door look, and no other.
    pub fn set_door(&mut self, door: Door) -> Result<(), KernelError> {
        let config = Config { door: door.number(), ..self.config };
        self.writer.set_config(config)?;
        self.config = config;
        Ok(())
    }

    /// The numbers in use.
    #[must_use]
    pub fn numbers(&mut self) -> &mut Numbers {
        &mut self.numbers
    }

    /// The workload's index, and whether it had one already.
    pub fn index_of(&mut self, id: &WorkloadId, ifindex: u32) -> Result<(WorkloadIndex, bool), KernelError> {
        let full = || anyhow::anyhow!("the node has no index left for a workload");
        self.numbers.workload(id, ifindex).ok_or_else(|| KernelError::failed(format!("place {id}"), full()))
    }

    /// Gives a workload its maps: empty ones for a new index, what is there for one that is known.
    pub fn make_room(&mut self, index: WorkloadIndex, known: bool) -> Result<(), KernelError> {
        self.writer.make_room(index, self.room, known)
    }

    /// Writes a workload's addresses and resolvers. Nothing is judged before [`Self::put_in_force`], and no packet
    /// comes before [`Self::open_interface`].
    pub fn place(&mut self, index: WorkloadIndex, placement: Placement) -> Result<(), KernelError> {
        let placed = &mut self.placed.entry(index).or_default().placement;
        let before = placed.clone();
        // Until all is written it has both: where a map is full halfway, nothing is there that nobody knows of.
        placed.addresses.extend(&placement.addresses);
        placed.resolvers.extend(&placement.resolvers);
        self.writer.set_home(index, encode::home(&placement.addresses))?;
        for address in before.addresses.difference(&placement.addresses) {
            self.writer.remove_address(own(index, *address))?;
            self.writer.forget_flows_from(index, *address);
        }
        for resolver in before.resolvers.difference(&placement.resolvers) {
            self.writer.remove_resolver(own(index, *resolver))?;
        }
        for address in &placement.addresses {
            self.writer.add_address(own(index, *address))?;
        }
        for resolver in &placement.resolvers {
            self.writer.add_resolver(own(index, *resolver))?;
        }
        if before.ifindex != placement.ifindex {
            self.close_interface(index, before.ifindex)?;
        }
        self.writer.set_link(index, placement.ifindex)?;
        self.placed.entry(index).or_default().placement = placement;
        Ok(())
    }

    /// Whether a ruleset is in force for a workload, by this agent or an earlier one.
    #[must_use]
    pub fn is_judged(&self, index: WorkloadIndex) -> bool {
        self.placed.get(&index).is_some_and(|placed| placed.epoch != Epoch::default())
    }

    /// Who has an address, of all but `but`.
    #[must_use]
    pub fn owner_of(&self, address: IpAddr, but: &WorkloadId) -> Option<&WorkloadId> {
        let has = |index: &WorkloadIndex| {
            self.placed.get(index).is_some_and(|placed| placed.placement.addresses.contains(&address))
        };
        self.numbers.workloads().find(|(id, index, _)| *id != but && has(index)).map(|(id, ..)| id)
    }

    /// Where a workload is in the maps, whether this agent put it there or an earlier one: its index, and the host
    /// side of its interface pair.
    #[must_use]
    pub fn placed(&self, id: &WorkloadId) -> Option<(WorkloadIndex, u32)> {
        let index = self.numbers.index_of(id)?;
        self.placed.get(&index).map(|placed| (index, placed.placement.ifindex))
    }

    /// Nobody's packets come in at `ifindex` any more, unless the number is in use again: the kernel gives those of
    /// interfaces that are gone to new ones.
    fn close_interface(&mut self, index: WorkloadIndex, ifindex: u32) -> Result<(), KernelError> {
        let reused = |(other, placed): (&WorkloadIndex, &Placed)| {
            *other != index && placed.placement.ifindex == ifindex
        };
        if ifindex == 0 || self.placed.iter().any(reused) {
            return Ok(());
        }
        self.writer.set_interface(ifindex, WorkloadIndex(0))
    }

    /// Lets the packets of the workload's interface be judged.
    pub fn open_interface(&mut self, index: WorkloadIndex) -> Result<(), KernelError> {
        let ifindex = self.placed.get(&index).map_or(0, |placed| placed.placement.ifindex);
        self.writer.set_interface(ifindex, index)
    }

    /// Puts `ruleset` in force for a workload; where it is, under a new epoch. True: every flow is judged again. A new
    /// agent that finds what the last one left in force judges nothing again. `before`: called with the epoch when all is
    /// written but the word that begins it.
    pub fn put_in_force(
        &mut self,
        index: WorkloadIndex,
        ruleset: &Arc<Ruleset>,
        before: impl FnOnce(Epoch),
    ) -> Result<bool, KernelError> {
        if self.is_in_force(index, ruleset) {
            return self.renew(index, before).map(|()| true);
        }
        let amended = self.amend(index, ruleset)?;
        let id = amended.map_or_else(|| self.load(ruleset), Ok)?;
        let placed = self.placed.entry(index).or_default();
        let known = placed.inherited.take() == Some(fingerprint(ruleset));
        if !known {
            placed.epoch = next(placed.epoch);
        }
        before(placed.epoch);
        self.writer.set_generation(index, Generation::new(placed.epoch, id))?;
        let last = placed.ruleset.replace(ruleset.clone());
        self.numbers.note_epoch(index, placed.epoch, fingerprint(ruleset));
        if amended.is_some() {
            return Ok(true);
        }
        if let Some(loaded) = self.loaded.get_mut(ruleset) {
            loaded.users += 1;
        }
        if let Some(last) = last
            && let Some(loaded) = self.loaded.get_mut(&last)
        {
            loaded.users -= 1;
        }
        Ok(!known)
    }

    /// Begins a new epoch with the same ruleset.
    fn renew(&mut self, index: WorkloadIndex, before: impl FnOnce(Epoch)) -> Result<(), KernelError> {
        let placed = self.placed.entry(index).or_default();
        let Some(ruleset) = &placed.ruleset else { return Ok(()) };
        let Some(&Loaded { id, .. }) = self.loaded.get(ruleset) else { return Ok(()) };
        placed.epoch = next(placed.epoch);
        before(placed.epoch);
        self.writer.set_generation(index, Generation::new(placed.epoch, id))?;
        self.numbers.note_epoch(index, placed.epoch, fingerprint(ruleset));
        Ok(())
    }

    /// The resolvers that a workload trusts, as they are written.
    #[must_use]
    pub fn resolvers_of(&self, index: WorkloadIndex) -> BTreeSet<IpAddr> {
        self.placed.get(&index).map(|placed| placed.placement.resolvers.clone()).unwrap_or_default()
    }

    /// Whether this agent put `ruleset` in force for a workload last.
    #[must_use]
    pub fn is_in_force(&self, index: WorkloadIndex, ruleset: &Arc<Ruleset>) -> bool {
        self.placed.get(&index).is_some_and(|placed| placed.ruleset.as_ref() == Some(ruleset))
    }

    /// Where a workload has its ruleset for itself, and the new one differs by one range: that one write, of which no
    /// packet ever sees half.
    fn amend(
        &mut self,
        index: WorkloadIndex,
        after: &Arc<Ruleset>,
    ) -> Result<Option<RulesetId>, KernelError> {
        let before = self.placed.get(&index).and_then(|placed| placed.ruleset.clone());
        let Some(before) = before.filter(|_| !self.loaded.contains_key(after)) else { return Ok(None) };
        let Some(&Loaded { id, users: 1 }) = self.loaded.get(&before) else { return Ok(None) };
        let Some(range) = only_range(&before, after) else { return Ok(None) };
        match after.dest.get(&range) {
            Some(entry) => {
                let (bits, key, dest) = encode::dest(id, &range, entry);
                self.writer.set_dest(bits, key, dest)?;
            }
            None => {
                let (bits, key) = encode::dest_key(id, &range);
                self.writer.remove_dest(bits, key)?;
            }
        }
        self.loaded.remove(&before);
        self.loaded.insert(after.clone(), Loaded { id, users: 1 });
        Ok(Some(id))
    }

    /// Writes the ruleset whole, where it is not there; half a ruleset is taken away again.
    fn load(&mut self, ruleset: &Arc<Ruleset>) -> Result<RulesetId, KernelError> {
        if let Some(loaded) = self.loaded.get(ruleset) {
            return Ok(loaded.id);
        }
        let (loaded, inherited) = (&self.loaded, &self.inherited);
        let taken = |id| loaded.values().any(|loaded| loaded.id == id) || inherited.contains(&id);
        let id = self.numbers.ruleset(taken).ok_or_else(|| {
            KernelError::failed(
                "load a ruleset",
                anyhow::anyhow!("the node has no number left for a ruleset"),
            )
        })?;
        if let Err(error) = self.write(ruleset, id) {
            self.erase(ruleset, id);
            return Err(error);
        }
        self.loaded.insert(ruleset.clone(), Loaded { id, users: 0 });
        Ok(id)
    }

    fn write(&mut self, ruleset: &Ruleset, id: RulesetId) -> Result<(), KernelError> {
        let encoded = encode(ruleset, id, &mut self.numbers);
        self.writer.set_rules(&encoded.rules)?;
        self.writer.set_dests(&encoded.dest)?;
        self.writer.set_names(&encoded.names)?;
        self.writer.set_ruleset(id, encoded.defaults)
    }

    fn erase(&mut self, ruleset: &Ruleset, id: RulesetId) {
        let encoded = encode(ruleset, id, &mut self.numbers);
        let dest: Vec<_> = encoded.dest.into_iter().map(|(bits, key, _)| (bits, key)).collect();
        let rules: Vec<_> = encoded.rules.into_iter().map(|(bits, key, _)| (bits, key)).collect();
        let names: Vec<_> = encoded.names.into_iter().map(|(key, _)| key).collect();
        let _ = self.writer.remove_dests(&dest);
        let _ = self.writer.remove_rules(&rules);
        let _ = self.writer.remove_names(&names);
    }

    fn has_litter(&self) -> bool {
        let all_are_placed = || self.placed.values().all(|placed| placed.ruleset.is_some());
        self.loaded.values().any(|loaded| loaded.users == 0)
            || (!self.inherited.is_empty() && all_are_placed())
    }

    /// Takes away the rulesets that no workload uses, once no program that began before can still be reading them.
    pub fn sweep(&mut self) -> Result<(), KernelError> {
        if !self.has_litter() {
            return Ok(());
        }
        self.writer.wait_for_programs()?;
        let unused: Vec<_> = self
            .loaded
            .iter()
            .filter(|(_, loaded)| loaded.users == 0)
            .map(|(ruleset, loaded)| (ruleset.clone(), loaded.id))
            .collect();
        for (ruleset, id) in unused {
            self.loaded.remove(&ruleset);
            self.erase(&ruleset, id);
        }
        if !self.inherited.is_empty() && self.placed.values().all(|placed| placed.ruleset.is_some()) {
            self.inherited.clear();
            self.erase_litter();
        }
        Ok(())
    }

    /// Everything in DEST, RULES and NAMES that is of no ruleset in force. An agent that was killed while it changed policies
    /// leaves some under a number that the next one gives out again, and its rules would be part of another ruleset.
    fn erase_litter(&mut self) {
        let ours = self.loaded.values().map(|loaded| loaded.id.0);
        let used: BTreeSet<u32> = self.inherited.iter().map(|id| id.0).chain(ours).collect();
        let (mut dest, mut rules, mut names) = self.writer.leftovers();
        names.retain(|key| !used.contains(&key.ruleset.0));
        dest.retain(|(_, key)| !used.contains(&(u32::from_be_bytes(key.tree) >> 1)));
        rules.retain(|(_, key)| !used.contains(&u32::from_be_bytes(key.ruleset)));
        let _ = self.writer.remove_dests(&dest);
        let _ = self.writer.remove_rules(&rules);
        let _ = self.writer.remove_names(&names);
    }

    /// Forgets a workload: its interface, addresses, resolvers, word and index.
    pub fn retire(&mut self, id: &WorkloadId) -> Result<Option<WorkloadIndex>, KernelError> {
        let Some(index) = self.numbers.index_of(id) else { return Ok(None) };
        let placed = self.placed.remove(&index).unwrap_or_default();
        self.close_interface(index, placed.placement.ifindex)?;
        self.writer.set_generation(index, Generation::default())?;
        self.writer.take_room(index)?;
        self.writer.set_home(index, Home::default())?;
        for address in placed.placement.addresses {
            self.writer.remove_address(own(index, address))?;
        }
        for resolver in placed.placement.resolvers {
            self.writer.remove_resolver(own(index, resolver))?;
        }
        if let Some(loaded) = placed.ruleset.and_then(|ruleset| self.loaded.get_mut(&ruleset)) {
            loaded.users -= 1;
        }
        self.numbers.retire(id);
        Ok(Some(index))
    }
}

fn next(epoch: Epoch) -> Epoch {
    Epoch(epoch.0.wrapping_add(1).max(1))
}

/// Tells rulesets apart across a restart. Another version of the agent may see others, and judges once more.
fn fingerprint(ruleset: &Ruleset) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    ruleset.hash(&mut hasher);
    hasher.finish()
}
