//! The maps, typed: a [`Writer`] for `enforce` alone, a [`Reader`] for all who ask.

mod flows;
mod learned;
mod many;
mod outer;
mod verdicts;

use aya::maps::lpm_trie::Key;
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray};
use egret_abi::{
    Address, Binding, Call, Config, Counter, Dest, DestKey, Flow, Flow4Key, Flow6Key, Fragment, FragmentKey,
    Generation, Home, IFACES_MAX, Inbound, LearnedKey, NameKey, Named, OwnKey, Query, QueryKey, RuleKey,
    RuleValue, Ruleset, RulesetId, WorkloadIndex,
};

use super::plain::Plain;
use super::{Doing, KernelError, Pins};

pub use super::tuple::{FlowTuple, address, ip};
pub use flows::Seeds;
use outer::{Outer, at_once};
pub use verdicts::Verdicts;

type Own = HashMap<MapData, Plain<OwnKey>, u32>;

pub(super) fn open<T: TryFrom<Map, Error = MapError>>(pins: &Pins, name: &str) -> Result<T, KernelError> {
    let doing = || format!("open the map {name}");
    let data = MapData::from_pin(pins.map(name)).doing(doing)?;
    Map::from_map_data(data).and_then(TryInto::try_into).doing(doing)
}

/// How many entries the maps of one workload have.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Flows that it began, each family.
    pub flows: u32,
    /// Established connections that others began, each family.
    pub inbound: u32,
    /// Flows that others began and that are not established.
    pub calls: u32,
    /// Packets in pieces on their way.
    pub fragments: u32,
    /// DNS queries on their way.
    pub queries: u32,
}

/// A key of a longest-prefix map, behind the bits of it that count.
pub type Prefixed<K> = (u32, K);

/// The hand that writes. Every method is one or two system calls; a full map is an error that says which.
pub struct Writer {
    ifaces: Array<MapData, u32>,
    ifaces_far: HashMap<MapData, u32, u32>,
    workloads: Array<MapData, Plain<Generation>>,
    links: Array<MapData, u32>,
    rulesets: Array<MapData, Plain<Ruleset>>,
    homes: Array<MapData, Plain<Home>>,
    addresses: Own,
    resolvers: Own,
    bindings: HashMap<MapData, Plain<OwnKey>, Plain<Binding>>,
    dest: LpmTrie<MapData, Plain<DestKey>, Plain<Dest>>,
    exact: HashMap<MapData, Plain<RuleKey>, Plain<RuleValue>>,
    rules: LpmTrie<MapData, Plain<RuleKey>, Plain<RuleValue>>,
    names: HashMap<MapData, Plain<NameKey>, Plain<Named>>,
    learned: HashMap<MapData, Plain<LearnedKey>, Plain<Address>>,
    turns: Array<MapData, u64>,
    flows4: Outer,
    flows6: Outer,
    inbound4: Outer,
    inbound6: Outer,
    calls: Outer,
    fragments: Outer,
    queries: Outer,
    config: Array<MapData, Plain<Config>>,
}

impl Writer {
    /// Opens the pinned maps.
    ///
    /// # Errors
    /// Where one is not there.
    pub fn open(pins: &Pins) -> Result<Self, KernelError> {
        Ok(Self {
            ifaces: open(pins, "IFACES")?,
            ifaces_far: open(pins, "IFACES_FAR")?,
            workloads: open(pins, "WORKLOADS")?,
            links: open(pins, "LINKS")?,
            rulesets: open(pins, "RULESETS")?,
            homes: open(pins, "HOMES")?,
            addresses: open(pins, "ADDRESSES")?,
            resolvers: open(pins, "RESOLVERS")?,
            bindings: open(pins, "BINDINGS")?,
            dest: open(pins, "DEST")?,
            exact: open(pins, "EXACT")?,
            rules: open(pins, "RULES")?,
            names: open(pins, "NAMES")?,
            learned: open(pins, "LEARNED")?,
            turns: open(pins, "TURNS")?,
            flows4: Outer::open(pins, "FLOWS4")?,
            flows6: Outer::open(pins, "FLOWS6")?,
            inbound4: Outer::open(pins, "INBOUND4")?,
            inbound6: Outer::open(pins, "INBOUND6")?,
            calls: Outer::open(pins, "CALLS")?,
            fragments: Outer::open(pins, "FRAGMENTS")?,
            queries: Outer::open(pins, "QUERIES")?,
            config: open(pins, "CONFIG")?,
        })
    }

    /// Tells the programs what all share.
    ///
    /// # Errors
    /// What the kernel said; the same for all that follow.
    pub fn set_config(&mut self, config: Config) -> Result<(), KernelError> {
        self.config.set(0, Plain(config), 0).doing(|| "write CONFIG".to_owned())
    }

    /// Says whose packets come in at an interface; index 0: nobody's.
    pub fn set_interface(&mut self, ifindex: u32, workload: WorkloadIndex) -> Result<(), KernelError> {
        if ifindex < IFACES_MAX {
            return self.ifaces.set(ifindex, workload.0, 0).doing(|| "write IFACES".to_owned());
        }
        if workload == WorkloadIndex(0) {
            return absent_is_fine(self.ifaces_far.remove(&ifindex)).doing(|| "write IFACES_FAR".to_owned());
        }
        self.ifaces_far.insert(ifindex, workload.0, 0).doing(|| "write IFACES_FAR".to_owned())
    }

    /// Says at which interface of the node a workload's answers are released.
    pub fn set_link(&mut self, workload: WorkloadIndex, ifindex: u32) -> Result<(), KernelError> {
        self.links.set(workload.0, ifindex, 0).doing(|| "write LINKS".to_owned())
    }

    /// Puts an epoch and a ruleset in force for a workload: the one write that every change ends with.
    pub fn set_generation(
        &mut self,
        workload: WorkloadIndex,
        generation: Generation,
    ) -> Result<(), KernelError> {
        self.workloads.set(workload.0, Plain(generation), 0).doing(|| "write WORKLOADS".to_owned())
    }

    /// Writes a ruleset's defaults.
    pub fn set_ruleset(&mut self, id: RulesetId, ruleset: Ruleset) -> Result<(), KernelError> {
        self.rulesets.set(id.0, Plain(ruleset), 0).doing(|| "write RULESETS".to_owned())
    }

    /// Says which of a workload's own addresses are found first.
    pub fn set_home(&mut self, workload: WorkloadIndex, home: Home) -> Result<(), KernelError> {
        self.homes.set(workload.0, Plain(home), 0).doing(|| "write HOMES".to_owned())
    }

    /// Makes an address a workload's own.
    pub fn add_address(&mut self, key: OwnKey) -> Result<(), KernelError> {
        self.addresses.insert(Plain(key), 1, 0).doing(|| "write ADDRESSES".to_owned())
    }

    /// Takes an address away.
    pub fn remove_address(&mut self, key: OwnKey) -> Result<(), KernelError> {
        absent_is_fine(self.addresses.remove(&Plain(key))).doing(|| "write ADDRESSES".to_owned())
    }

    /// Makes a resolver trusted.
    pub fn add_resolver(&mut self, key: OwnKey) -> Result<(), KernelError> {
        self.resolvers.insert(Plain(key), 1, 0).doing(|| "write RESOLVERS".to_owned())
    }

    /// Takes the trust away.
    pub fn remove_resolver(&mut self, key: OwnKey) -> Result<(), KernelError> {
        absent_is_fine(self.resolvers.remove(&Plain(key))).doing(|| "write RESOLVERS".to_owned())
    }

    /// What is bound to an address now.
    #[must_use]
    pub fn binding(&self, key: OwnKey) -> Option<Binding> {
        self.bindings.get(&Plain(key), 0).ok().map(|binding| binding.0)
    }

    /// Binds an address to names.
    pub fn set_binding(&mut self, key: OwnKey, binding: Binding) -> Result<(), KernelError> {
        self.bindings.insert(Plain(key), Plain(binding), 0).doing(|| "write BINDINGS".to_owned())
    }

    /// Binds an address that is not bound; false: it is.
    pub fn bind_anew(&mut self, key: OwnKey, binding: Binding) -> Result<bool, KernelError> {
        const NOEXIST: u64 = 1;
        match self.bindings.insert(Plain(key), Plain(binding), NOEXIST) {
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::EEXIST) => {
                Ok(false)
            }
            done => done.map(|()| true).doing(|| "write BINDINGS".to_owned()),
        }
    }

    /// Forgets an address.
    pub fn remove_binding(&mut self, key: OwnKey) -> Result<(), KernelError> {
        absent_is_fine(self.bindings.remove(&Plain(key))).doing(|| "write BINDINGS".to_owned())
    }

    /// Every binding, with its key.
    pub fn bindings(&self) -> impl Iterator<Item = (OwnKey, Binding)> + '_ {
        self.bindings.iter().filter_map(|entry| entry.ok().map(|(key, binding)| (key.0, binding.0)))
    }

    /// Every own address that is written.
    pub fn addresses(&self) -> Vec<OwnKey> {
        self.addresses.keys().filter_map(|key| key.ok().map(|key| key.0)).collect()
    }

    /// Every trusted resolver that is written.
    pub fn resolvers(&self) -> Vec<OwnKey> {
        self.resolvers.keys().filter_map(|key| key.ok().map(|key| key.0)).collect()
    }

    /// Writes an address range; `bits` of the key count.
    pub fn set_dest(&mut self, bits: u32, key: DestKey, dest: Dest) -> Result<(), KernelError> {
        self.dest.insert(&Key::new(bits, Plain(key)), Plain(dest), 0).doing(|| "write DEST".to_owned())
    }

    /// Removes an address range.
    pub fn remove_dest(&mut self, bits: u32, key: DestKey) -> Result<(), KernelError> {
        absent_is_fine(self.dest.remove(&Key::new(bits, Plain(key)))).doing(|| "write DEST".to_owned())
    }

    /// Every rule and range that an earlier agent left: their prefix lengths and keys.
    #[must_use]
    pub fn leftovers(&self) -> (Vec<Prefixed<DestKey>>, Vec<Prefixed<RuleKey>>, Vec<NameKey>) {
        let dest = self.dest.keys().filter_map(|key| key.ok().map(|key| (key.prefix_len(), key.data().0)));
        let rules = self.rules.keys().filter_map(|key| key.ok().map(|key| (key.prefix_len(), key.data().0)));
        let exact = self.exact.keys().filter_map(|key| key.ok().map(|key| (RuleKey::ALL_BITS, key.0)));
        let names = self.names.keys().filter_map(|key| key.ok().map(|key| key.0));
        (dest.collect(), rules.chain(exact).collect(), names.collect())
    }

    /// Gives a workload its flow and query maps: new, empty ones, or where it is `known` those that it may have.
    pub fn make_room(&mut self, workload: WorkloadIndex, room: Room, known: bool) -> Result<(), KernelError> {
        at_once(vec![
            Box::new(|| self.flows4.give::<Flow4Key, Flow>(workload, room.flows, known)),
            Box::new(|| self.flows6.give::<Flow6Key, Flow>(workload, room.flows, known)),
            Box::new(|| self.inbound4.give::<Flow4Key, Inbound>(workload, room.inbound, known)),
            Box::new(|| self.inbound6.give::<Flow6Key, Inbound>(workload, room.inbound, known)),
            Box::new(|| self.calls.give::<Flow6Key, Call>(workload, room.calls, known)),
            Box::new(|| self.fragments.give::<FragmentKey, Fragment>(workload, room.fragments, known)),
            Box::new(|| self.queries.give::<QueryKey, Query>(workload, room.queries, known)),
        ])
    }

    /// Takes a workload's flow and query maps away.
    pub fn take_room(&mut self, workload: WorkloadIndex) -> Result<(), KernelError> {
        at_once(vec![
            Box::new(|| self.flows4.take(workload)),
            Box::new(|| self.flows6.take(workload)),
            Box::new(|| self.inbound4.take(workload)),
            Box::new(|| self.inbound6.take(workload)),
            Box::new(|| self.calls.take(workload)),
            Box::new(|| self.fragments.take(workload)),
            Box::new(|| self.queries.take(workload)),
        ])
    }

    /// Returns when every program that runs now has ended, about 10 ms from now. A change of a map of maps promises so
    /// (`maybe_wait_bpf_programs` in the kernel: one RCU grace period), and a program reads under RCU from its first to
    /// its last step. A pause of any length would promise nothing: a virtual machine's CPU can stand still in between.
    pub fn wait_for_programs(&mut self) -> Result<(), KernelError> {
        let nobody = WorkloadIndex(0);
        self.queries.replace::<QueryKey, Query>(nobody, 1)
    }
}

pub(super) fn absent_is_fine(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

/// The eye that reads: counters, flows, generations.
pub struct Reader {
    config: Array<MapData, Plain<Config>>,
    counters: PerCpuArray<MapData, u64>,
    workloads: Array<MapData, Plain<Generation>>,
    flows4: Outer,
    flows6: Outer,
}

impl Reader {
    /// Opens the pinned maps.
    ///
    /// # Errors
    /// Where one is not there.
    pub fn open(pins: &Pins) -> Result<Self, KernelError> {
        Ok(Self {
            config: open(pins, "CONFIG")?,
            counters: open(pins, "COUNTERS")?,
            workloads: open(pins, "WORKLOADS")?,
            flows4: Outer::open(pins, "FLOWS4")?,
            flows6: Outer::open(pins, "FLOWS6")?,
        })
    }

    /// What the programs are told; all zero where nobody wrote it yet.
    #[must_use]
    pub fn config(&self) -> Config {
        self.config.get(&0, 0).map_or(Config::default(), |config| config.0)
    }

    /// A counter, over all CPUs.
    #[must_use]
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters.get(&(counter as u32), 0).map_or(0, |values| values.iter().sum())
    }

    /// What is in force for a workload.
    #[must_use]
    pub fn generation(&self, workload: WorkloadIndex) -> Generation {
        self.workloads.get(&workload.0, 0).map_or(Generation::default(), |generation| generation.0)
    }
}
