//! Egret's own programs and maps, loaded as the agent loads them, with one workload behind the loopback device: that
//! is where the kernel's test runs of a program come from.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use egret::dns::Answer;
use egret::enforce::{Binder, Enforcer, Numbers, Placement};
use egret::kernel::maps::Room;
use egret::kernel::{Object, Pins, clock, preflight};
use egret::policy::{Ranges, compile, parse};
use egret_abi::{Config, Tick, WorkloadIndex};

/// The loopback device's index.
const LOOPBACK: u32 = 1;
/// The workload's address.
pub const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// An address that the workload looked up, and may reach.
pub const NAMED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

/// The programs, and the maps of one workload.
pub struct Node {
    /// The programs.
    pub object: Object,
    /// The pins, for a reader of events.
    pub pins: Pins,
    folder: PathBuf,
}

impl Node {
    /// One workload that may reach `github.com` and each of `ranges` (as /24) on TCP 443; `events` first packets are
    /// told per second.
    pub fn load(ranges: &[[u8; 4]], events: u32) -> Result<Self> {
        let folder = PathBuf::from(format!("/sys/fs/bpf/egret-bench-{}-{events}", std::process::id()));
        preflight::check(&folder)?;
        let pins = Pins::open(&folder)?;
        let object = Object::load(&pins)?;
        let config = Config {
            mark: 1,
            flow_grace: Tick::lasting_seconds(60),
            idle: Tick::lasting_seconds(180),
            refusals: u32::MAX,
            events,
            keep: 0,
            answers: 0,
        };
        let room = Room { flows: 4096, inbound: 4096, calls: 1024, queries: 1024 };
        let mut enforcer = Enforcer::open(&pins, Numbers::default(), config, room)?;
        let (index, known) =
            enforcer.index_of(&"bench/client".parse().map_err(anyhow::Error::msg)?, LOOPBACK)?;
        enforcer.make_room(index, known)?;
        let addresses = BTreeSet::from([IpAddr::V4(LOCAL)]);
        enforcer.place(index, Placement { ifindex: LOOPBACK, addresses, resolvers: BTreeSet::new() })?;
        bind(&pins, &mut enforcer, index, ranges)?;
        enforcer.open_interface(index)?;
        Ok(Self { object, pins, folder })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.pins.remove_all();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn bind(pins: &Pins, enforcer: &mut Enforcer, index: WorkloadIndex, ranges: &[[u8; 4]]) -> Result<()> {
    let policies = parse("bench", &policy(ranges)).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let ruleset = Arc::new(compile(&policies.iter().collect::<Vec<_>>(), &Ranges::default())?);
    let mut binder = Binder::open(pins, Duration::from_hours(1))?;
    binder.set_patterns(index, &enforcer.numbers().words_of(&ruleset), clock::now())?;
    let answer = Answer {
        id: 1,
        question: egret::model::Name::parse("github.com")?,
        addresses: vec![(NAMED.into(), 3600)],
        rcode: 0,
        truncated: false,
    };
    binder.learn(index, &answer, clock::now())?;
    enforcer.put_in_force(index, &ruleset)?;
    Ok(())
}

fn policy(ranges: &[[u8; 4]]) -> String {
    let to: Vec<_> = ranges.iter().map(|[a, b, c, _]| format!("{{cidr: {a}.{b}.{c}.0/24}}")).collect();
    format!(
        "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {{name: bench, namespace: bench}}\nspec:\n  \
         podSelector: {{}}\n  mode: Enforce\n  scope: all\n  onDeny: Drop\n  allow:\n  - name: names\n    to: [{{fqdn: github.com}}]\n    \
         ports: [{{protocol: TCP, port: 443}}]\n  - name: ranges\n    to: [{}]\n    ports: [{{protocol: TCP, port: 443}}]\n",
        to.join(", ")
    )
}
