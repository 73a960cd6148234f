//! The one task that owns what changes: workloads, policies, and what they come to in the kernel.
//!
//! In: [`Change`]s from watchers, signals and the clock. Out: map writes through `enforce`, programs on links, and what
//! the API shows. `place`: where workloads are; `arm`: what they had before; `cover`: whether all of their packets are
//! seen; `enforce`: what they may; `sockets`: those in the node's own network;
//! `show`: what is told of all; `starts`: pods that wait for their
//! policies; `tick`: what nobody tells of; `life`: how it begins and ends.

mod arm;
mod cover;
mod enforce;
mod life;
mod modules;
mod place;
mod shelf;
mod show;
mod sockets;
mod starts;
mod tick;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use egret_abi::WorkloadIndex;
use egret_cni::{Answer, Start};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};
use tracing::warn;

use self::enforce::Compiled;
pub use self::life::policies;
use self::shelf::Loaded;
pub use self::shelf::Shelf;
use self::sockets::{Absent, AtSockets};
use self::starts::Waiting;
use super::Config;
use super::addresses::Own;
use super::coverage::Evidence;
use super::holds::Judge;
use super::lookups::LookUps;
use super::node::Node;
use super::plugin::Plugin;
use super::probes::{Errand, Probed};
use super::remembered::Remembered;
use super::source::Source;
use super::tighten::Ender;
use crate::cluster::Listed;
use crate::enforce::Enforcer;
use crate::kernel::netns::{Device, NetNs, Survey};
use crate::kernel::{Delivery, Noting, Object, Pins};
use crate::model::{Namespace, Policy, Workload, WorkloadId};
use crate::policy::{self, Accepted, Good, Problem, Ranges, Ruleset};
use crate::state::PolicyText;

/// How long changes gather before they are acted on: editors and mounts change a file in several steps.
const GATHER: Duration = Duration::from_millis(20);
/// How long a namespace that was looked at is left alone: its workload may change it in a loop.
const REST: Duration = Duration::from_millis(200);

/// What may have changed.
#[derive(Debug)]
pub enum Change {
    /// Policies.
    Policies,
    /// Policy modules.
    Modules,
    /// Modules were loaded.
    Loaded(Loaded),
    /// Workloads.
    Workloads,
    /// What policies name in the cluster.
    Destinations,
    /// Policies, modules and workloads.
    Everything,
    /// A workload's namespace.
    Workload(WorkloadId, Survey),
    /// A workload's namespace cannot be watched any more.
    Unwatched(WorkloadId),
    /// The node's own devices and addresses.
    Node(Survey),
    /// Probes passed, or did not.
    Probed(Vec<Probed>),
    /// A pod waits for its policies; the plugin that holds it is to be told when they are in force.
    Start(Start, oneshot::Sender<Answer>),
    /// Time went by.
    Tick,
}

/// A workload that is placed in the maps.
struct Placed {
    index: WorkloadIndex,
    netns: Arc<NetNs>,
    device: Device,
    host: Device,
    /// The addresses of its device.
    found: Vec<IpAddr>,
    own: Own,
    gap: Option<String>,
    watching: AbortHandle,
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// The inode of no namespace. That of one that is gone is soon another's.
const GONE: u64 = 0;

struct Worker {
    workload: Workload,
    namespace: Namespace,
    resolvers: Vec<IpAddr>,
    /// Why the file that should name its resolvers does not count.
    resolvers_problem: Option<String>,
    /// The namespace that it was last placed in, by its inode; [`GONE`] once nothing leads there.
    netns: Option<u64>,
    /// The policies that what was last chosen for it came from.
    policies: Vec<Policy>,
    /// The policies of the cluster that what this agent last put in force for it came from.
    bounds: Option<Vec<Policy>>,
    state: Result<Placed, String>,
}

/// What the task was given at its start.
pub struct Parts {
    /// The configuration.
    pub config: Config,
    /// Where workloads and policies come from.
    pub source: Source,
    /// Where things are pinned.
    pub pins: Pins,
    /// The programs.
    pub object: Object,
    /// Who may deliver past them.
    pub delivery: Delivery,
    /// The maps.
    pub enforcer: Enforcer,
    /// The modules; `None`: the agent has no folder of them.
    pub shelf: Option<Shelf>,
    /// Who decides what rules do not.
    pub judge: Arc<Judge>,
    /// The modules that are told of DNS answers.
    pub lookups: Arc<LookUps>,
    /// What is shared.
    pub node: Arc<Node>,
    /// What has pods wait for their policies; `None`: nothing does.
    pub plugin: Option<Plugin>,
    /// Who ends what a change of policy denies; `None`: nobody does.
    pub ender: Option<Arc<Ender>>,
    /// The namespace of the node.
    pub own: NetNs,
    /// This boot.
    pub boot_id: String,
    /// Where the snapshot lies.
    pub snapshot: PathBuf,
    /// What workloads looked up before.
    pub remembered: Remembered,
    /// To send changes to itself.
    pub changes: Sender<Change>,
    /// Work for the thread that probes.
    pub errands: std::sync::mpsc::Sender<Vec<Errand>>,
}

/// See the head of this file.
pub struct Reconciler {
    parts: Parts,
    workers: BTreeMap<WorkloadId, Worker>,
    /// Workloads whose programs are on their control groups.
    at_sockets: BTreeMap<WorkloadId, AtSockets>,
    /// Workloads whose control groups are not there.
    absent: BTreeMap<WorkloadId, Absent>,
    /// What is known of the hooks of workloads.
    evidence: BTreeMap<WorkloadId, Evidence>,
    accepted: Accepted,
    problems: Vec<Problem>,
    /// The policies of the API server that both were read from.
    listed: Option<Arc<[Listed]>>,
    /// Workloads for which what is in force is not what their policies come to.
    lacking: BTreeSet<WorkloadId>,
    /// What was told of workloads when policies were last put in force.
    told: BTreeSet<String>,
    ranges: Ranges,
    compiled: Compiled,
    node_survey: Survey,
    ticks: u64,
    /// Workloads whose hook on the node's side was put first again, and has a double in its place.
    doubled: BTreeSet<WorkloadId>,
    /// The devices of the node that note what comes in.
    noting: Noting,
    /// At the last look nobody could deliver past the host side of pairs.
    is_free: bool,
    /// At the last look another program was before a hook.
    is_contested: bool,
    /// When the folder of names was last changed.
    named_at: Option<SystemTime>,
    /// The last sweep of bindings did not come to its end.
    has_expired: bool,
    /// Workloads whose rules have changed, and whose flows nobody looked at yet.
    changed: Vec<(WorkloadIndex, Arc<Ruleset>)>,
    /// All that was there at the start is covered.
    has_started: bool,
    /// When it began: what ran before was not its to hold.
    since: Instant,
    /// Pods that wait for their policies.
    starting: Vec<Waiting>,
    collecting: Option<JoinHandle<()>>,
    remembering: Option<JoinHandle<()>>,
}

impl Reconciler {
    /// Starts from the policies that an earlier agent accepted.
    pub fn new(parts: Parts, last: &[PolicyText], node_survey: Survey) -> Self {
        let last = last.iter().map(|PolicyText { file, text }| {
            let file: Arc<str> = file.as_str().into();
            (file.clone(), Good::parse_again(&file, text.as_str().into()))
        });
        let (accepted, _) = policy::refresh(&Accepted::default(), last.collect());
        let mut this = Self {
            parts,
            workers: BTreeMap::new(),
            at_sockets: BTreeMap::new(),
            absent: BTreeMap::new(),
            evidence: BTreeMap::new(),
            accepted,
            problems: Vec::new(),
            listed: None,
            lacking: BTreeSet::new(),
            told: BTreeSet::new(),
            ranges: Ranges::default(),
            compiled: Compiled::default(),
            node_survey,
            ticks: 0,
            doubled: BTreeSet::new(),
            noting: Noting::default(),
            is_free: false,
            is_contested: false,
            named_at: None,
            has_expired: false,
            changed: Vec::new(),
            has_started: false,
            since: Instant::now(),
            starting: Vec::new(),
            collecting: None,
            remembering: None,
        };
        this.ranges = this.ranges_now();
        this
    }

    /// Acts on changes until there are no more to come.
    pub async fn serve(&mut self, changes: &mut Receiver<Change>) {
        while let Some(change) = changes.recv().await {
            let is_news = self.act_on(change).await;
            if is_news {
                self.note_at_devices(false);
                self.probe_due();
            }
            self.settle();
            self.answer_starts();
            self.sweep();
            // Most of the time nothing happens, and telling so of every workload is most of what that costs.
            if is_news {
                self.publish(true);
            }
        }
    }

    /// Whether what is told of workloads may be different after it.
    async fn act_on(&mut self, change: Change) -> bool {
        match change {
            Change::Modules => return self.load_modules_aside(),
            Change::Loaded(loaded) => self.modules_loaded(loaded),
            Change::Policies | Change::Everything => {
                tokio::time::sleep(GATHER).await;
                self.read_again(matches!(change, Change::Everything)).await;
            }
            Change::Workloads => self.read_workloads().await,
            Change::Destinations => return self.follow_destinations(),
            Change::Workload(id, survey) => self.workload_changed(&id, &survey).await,
            Change::Unwatched(id) => self.cover(&id).await,
            Change::Node(survey) => self.node_changed(survey).await,
            Change::Probed(outcomes) => return self.probed(outcomes),
            Change::Start(start, reply) => self.hold_start(start, reply).await,
            Change::Tick => return self.tick().await,
        }
        true
    }

    /// Ends what is denied now, and writes down what is in force.
    fn settle(&mut self) {
        let changed = !self.changed.is_empty();
        self.end_denied();
        if changed && let Err(error) = self.save(true) {
            warn!("a restart would judge every flow again: {error:#}");
        }
    }

    fn sweep(&mut self) {
        if let Err(error) = self.parts.enforcer.sweep() {
            warn!("rulesets that nobody uses stay until the next sweep: {error}");
        }
    }

    async fn read_again(&mut self, workloads_too: bool) {
        self.listed = self.parts.source.listed();
        match self.parts.source.policies() {
            Ok(Some(outcomes)) => self.accept(outcomes),
            Ok(None) => {}
            Err(problem) => {
                warn!("the policies stay as they were: {}: {}", problem.place(), problem.reason);
                self.problems = vec![problem];
            }
        }
        if workloads_too {
            let _ = self.load_modules_aside();
            match self.parts.source.workloads(&self.parts.own, &self.parts.config.resolvers) {
                Ok(Some(workloads)) => {
                    self.name_workloads(workloads);
                    self.cover_all().await;
                }
                Ok(None) => {}
                Err(error) => warn!("the workloads stay as they were: {error:#}"),
            }
        }
        self.enforce_all();
    }

    /// Takes in which workloads there are, and covers those that are new.
    async fn read_workloads(&mut self) {
        self.tell_of_starts();
        match self.parts.source.workloads(&self.parts.own, &self.parts.config.resolvers) {
            Ok(Some(workloads)) => self.name_workloads(workloads),
            Ok(None) => return,
            Err(error) => return warn!("the workloads stay as they were: {error:#}"),
        }
        self.cover_new().await;
        self.enforce_all();
    }

    async fn node_changed(&mut self, survey: Survey) {
        self.follow_host_sides(&survey);
        self.node_survey = survey;
        self.follow_door();
        let ranges = self.ranges_now();
        if ranges != self.ranges {
            self.ranges = ranges;
            self.enforce_all();
        }
        if self.parts.source.has_moved(&self.parts.own, false) {
            self.read_workloads().await;
        }
    }
}
