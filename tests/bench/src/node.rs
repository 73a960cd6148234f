//! Egret's own programs and maps, loaded as the agent loads them, with one workload behind the loopback device: that
//! is where the kernel's test runs of a program come from.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, MapData};
use egret::dns::Answer;
use egret::enforce::{Binder, Enforcer, Learning, Numbers, Placement};
use egret::kernel::maps::{Reader, Room};
use egret::kernel::{Hooks, Object, Pins, Teacher, clock, preflight};
use egret::model::{Modules, Name};
use egret::policy::{Ranges, Ruleset, compile, parse};
use egret_abi::{Config, Counter, Tick, WorkloadIndex};

/// The loopback device's index.
const LOOPBACK: u32 = 1;
/// The workload's address.
pub const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// Whom it asks for names.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 53);
/// Destinations of each kind.
pub const DESTINATIONS: u16 = 10_000;
/// Addresses that were looked up, and how many of each kind new flows go to: more of exact names are not kept bound.
const LOOKED_UP: u16 = 8_000;
/// Addresses of one name; more are not kept.
const OF_ONE_NAME: u16 = 250;
/// First byte of the addresses that the workload looked up, and may reach.
pub const NAMED: u8 = 30;
/// First byte of the ranges (/24) that it may reach.
pub const RANGED: u8 = 20;
/// First byte of addresses that no rule speaks of.
pub const STRANGE: u8 = 40;

/// A destination: `FIRST.x.y.1`, where x and y are the two bytes of the number.
pub fn destination(first: u8, number: u16) -> Ipv4Addr {
    let [x, y] = number.to_be_bytes();
    Ipv4Addr::new(first, x, y, 1)
}

/// DEST, as bytes.
type DestBytes = LpmTrie<MapData, [u8; 20], [u8; 8]>;

/// The programs, and the maps of one workload.
pub struct Node {
    /// The programs.
    pub object: Object,
    /// The pins, for a reader of events.
    pub pins: Pins,
    enforcer: Enforcer,
    index: WorkloadIndex,
    folder: PathBuf,
    written: Option<(DestBytes, Array<MapData, u64>)>,
}

impl Node {
    /// One workload that may reach the addresses of some names and each range on TCP 443; `events` first
    /// packets are told per second.
    pub fn load(events: u32) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(format!("/sys/fs/bpf/egret-bench-{}-{number}", std::process::id()));
        let tier = preflight::check(&folder, Hooks::Auto)?;
        let pins = Pins::open(&folder)?;
        let mut object = Object::load(&pins, tier)?;
        let config = Config {
            least: Tick::lasting_seconds(30),
            searches: 0,
            mark: 1,
            flow_grace: Tick::lasting_seconds(60),
            idle: Tick::lasting_seconds(180),
            refusals: u32::MAX,
            events,
            keep: 0,
            answers: 0,
            arming_until: Tick(0),
            door: egret_abi::AT_HOST,
            gate: 0,
            gate_mark: 2,
            holds: 0,
            cuts: 0,
        };
        let room = Room { flows: 4096, inbound: 4096, calls: 1024, fragments: 256, queries: 1024 };
        let mut enforcer = Enforcer::open(&pins, Numbers::default(), config, room)?;
        let (index, known) =
            enforcer.index_of(&"bench/client".parse().map_err(anyhow::Error::msg)?, LOOPBACK)?;
        enforcer.make_room(index, known)?;
        let addresses = BTreeSet::from([IpAddr::V4(LOCAL)]);
        enforcer.place(
            index,
            Placement { ifindex: LOOPBACK, addresses, resolvers: BTreeSet::from([IpAddr::V4(RESOLVER)]) },
        )?;
        let ruleset = ruleset(|_| Some(RANGED))?;
        look_up(&pins, Teacher::of(&mut object)?, &mut enforcer, index, &ruleset)?;
        let mut node = Self { object, pins, enforcer, index, folder, written: None };
        node.put_in_force(&ruleset)?;
        node.enforcer.open_interface(index)?;
        node.object.take_over_answers()?;
        Ok(node)
    }

    /// Answers that the programs have learned.
    pub fn learned(&self) -> Result<u64> {
        Ok(Reader::open(&self.pins)?.counter(Counter::AnswersLearned))
    }

    /// Puts another ruleset in force for the workload.
    pub fn put_in_force(&mut self, ruleset: &Arc<Ruleset>) -> Result<()> {
        self.enforcer.put_in_force(self.index, ruleset, |_| ())?;
        Ok(())
    }

    /// Writes one range, and the workload's word once more: what the kernel's part in the smallest change is.
    pub fn write_one_range(&mut self) -> Result<()> {
        let map = |name| anyhow::Ok(aya::maps::Map::from_map_data(MapData::from_pin(self.pins.map(name))?)?);
        if self.written.is_none() {
            self.written = Some((map("DEST")?.try_into()?, map("WORKLOADS")?.try_into()?));
        }
        let Some((dest, workloads)) = &mut self.written else { return Ok(()) };
        // A range of a ruleset that is not there.
        dest.insert(&Key::new(56, [0xff; 20]), [0; 8], 0)?;
        let word: u64 = workloads.get(&self.index.0, 0)?;
        workloads.set(self.index.0, word, 0)?;
        Ok(())
    }

    /// Takes away what is in force no more; no program may be running.
    pub fn sweep(&mut self) -> Result<()> {
        self.enforcer.sweep()?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.pins.remove_all();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn look_up(
    pins: &Pins,
    teacher: Teacher,
    enforcer: &mut Enforcer,
    index: WorkloadIndex,
    ruleset: &Ruleset,
) -> Result<()> {
    let mut binder =
        Binder::open(pins, Learning { min_ttl: Duration::from_hours(1), ..Learning::default() }, teacher)?;
    binder.set_patterns(index, &enforcer.numbers().words_of(ruleset), clock::now())?;
    for first in (0..LOOKED_UP).step_by(OF_ONE_NAME.into()) {
        let addresses = first..first + OF_ONE_NAME;
        let answer = Answer {
            id: 1,
            question: Name::parse(&name(first))?,
            addresses: addresses.map(|number| (destination(NAMED, number).into(), 3600)).collect(),
            rcode: 0,
            truncated: false,
            searched: None,
        };
        binder.learn(index, &answer, clock::now())?;
    }
    Ok(())
}

/// The name whose addresses begin with that of `number`.
pub fn name(number: u16) -> String {
    format!("n{number}.example.com")
}

/// Names, and 10,000 ranges, `FIRST.x.y.0/24` each, where `first` tells the first byte of a number's; `None`: not that one.
pub fn ruleset(first: impl Fn(u16) -> Option<u8>) -> Result<Arc<Ruleset>> {
    let ranges = (0..DESTINATIONS).filter_map(|number| Some(destination(first(number)?, number).octets()));
    // By their full names: of addresses that a wildcard led to, fewer are kept.
    let names: Vec<_> = (0..LOOKED_UP)
        .step_by(OF_ONE_NAME.into())
        .map(|number| format!("{{fqdn: {}}}", name(number)))
        .collect();
    let to: Vec<_> = ranges.map(|[a, b, c, _]| format!("{{cidr: {a}.{b}.{c}.0/24}}")).collect();
    let text = format!(
        "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {{name: bench, namespace: bench}}\nspec:\n  \
         podSelector: {{}}\n  mode: Enforce\n  scope: all\n  onDeny: Drop\n  allow:\n  - name: names\n    \
         to: [{}]\n    ports: [{{protocol: TCP, port: 443}}]\n  - name: ranges\n    to: [{}]\n    \
         ports: [{{protocol: TCP, port: 443}}]\n",
        names.join(", "),
        to.join(", ")
    );
    let policies = parse("bench", &text).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    Ok(Arc::new(compile(&policies.iter().collect::<Vec<_>>(), &Ranges::default(), &Modules::new())?))
}
