//! The composition root: from a configuration to a running agent, and to its end.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use egret_abi::{
    CALLS_PER_WORKLOAD, Config as Shared, FLOWS_PER_WORKLOAD, FRAGMENTS_PER_WORKLOAD, INBOUND_PER_WORKLOAD,
    QUERIES_PER_WORKLOAD, Tick,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tracing::{info, warn};

use super::config::OnTighten;
use super::holds::{Holds, Judge};
use super::lessons::Lessons;
use super::lookups::LookUps;
use super::node::{Node, Sources};
use super::plugin::Plugin;
use super::reconcile::{self, Change, Parts, Reconciler, Shelf};
use super::remembered::Remembered;
use super::source::Source;
use super::succession::{self, Offer};
use super::threads::{Answering, thread};
use super::tighten::Ender;
use super::{AgentError, Config, Inputs, answers, events, memory, probes, starts, watch as watching};
use crate::api::{ApiPlaces, Server};
use crate::enforce::{Binder, Enforcer, Learning, Numbers, Prober, Rulings};
use crate::flows::{DEFAULT_CAPACITY, FlowLog};
use crate::kernel::maps::{Reader, Room};
use crate::kernel::netns::{NetNs, Watch};
use crate::kernel::rings::{Ring, Stop};
use crate::kernel::{
    Delivery, Door, Gate, KernelError, Object, Pins, Pulse, Teacher, Tier, clock, door, preflight,
};
use crate::state::{self, Snapshot};
use crate::wasm::Engine;

/// How long a flow of a protocol without connections lives without a packet.
pub(super) const IDLE_SECONDS: u32 = 180;
/// ICMP errors and events of one workload per second.
const PER_SECOND: u32 = 1000;
/// Bytes of answers of one workload per second that go on hold where it is busy.
const ANSWERS_PER_SECOND: u32 = 1 << 20;
/// Packets of one workload per second that go on hold.
const HOLDS_PER_SECOND: u32 = 1 << 15;
/// Changes that wait to be acted on.
const QUEUE: usize = 256;
const TICK: Duration = Duration::from_secs(1);
/// How long answers that are held already may take to go on, once the hold is closed.
const LAST_ANSWERS: Duration = Duration::from_millis(50);

/// Runs an agent until SIGTERM or SIGINT.
///
/// # Errors
/// Why it could not start, or what broke.
pub fn run(config: Config) -> Result<(), AgentError> {
    memory::share_arenas();
    let tier = preflight::check(&config.bpffs, config.hooks).map_err(|error| agent_error(error.into()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| AgentError::Failed(error.into()))?;
    runtime.block_on(serve(config, tier)).map_err(agent_error)
}

fn agent_error(error: anyhow::Error) -> AgentError {
    match error.downcast::<KernelError>() {
        Ok(KernelError::Missing { what, fix }) => AgentError::Unsupported { missing: what, fix },
        Ok(error @ KernelError::NotPermitted { .. }) => {
            AgentError::Unsupported { missing: error.to_string(), fix: preflight::not_permitted() }
        }
        Ok(other) => AgentError::Failed(other.into()),
        Err(other) => AgentError::Failed(other.into()),
    }
}

async fn serve(config: Config, tier: Tier) -> anyhow::Result<()> {
    let (changes, mut changed) = mpsc::channel(QUEUE);
    // Before anything is read for the first time, or a change in between would be missed.
    let source = Source::open(&config, &changes).await?;
    let (mut locks, before) = succession::begin(&config, tier)?;
    let pins = Pins::open(&config.bpffs)?;
    let mut shelf = config.modules.clone().map(|folder| shelf(&config, folder)).transpose()?;
    // Beside an agent that runs: what goes wrong here changes nothing, and what takes long keeps nobody waiting.
    let prepared =
        before.runs().then(|| prepare(&source, &config, &pins, tier, shelf.as_mut())).transpose()?;
    let mut before = before.hand(&mut locks)?;
    let gate = Arc::new(before.gate()?);
    let boot_id = boot_id()?;
    let snapshot_file = config.state_dir.join("snapshot");
    let last = last_snapshot(&snapshot_file);
    let remembered = Remembered::read(&config.state_dir.join("names"), &boot_id);
    // Before anything is set aside.
    locks.lock_pins(&config.bpffs)?;
    let numbers = adopt_or_set_aside(&pins, &last, &boot_id)?;
    let rules = numbers.rule_names();

    let mut object = match prepared.filter(|_| pins.have_maps()) {
        Some(object) => object,
        None => Object::prepare(&pins, tier)?,
    };
    if before.has_handed() {
        object.open_hold()?;
    }
    object.put_steps()?;
    let room = Room {
        flows: FLOWS_PER_WORKLOAD,
        inbound: INBOUND_PER_WORKLOAD,
        calls: CALLS_PER_WORKLOAD,
        fragments: FRAGMENTS_PER_WORKLOAD,
        queries: QUERIES_PER_WORKLOAD,
    };
    let own = NetNs::own().context("open the node's network namespace")?;
    let mut node_watch = Watch::open(&own)?;
    let node_survey = node_watch.survey().await?;
    let mut delivery = Delivery::new();
    let deliverer = door::deliverer(&mut delivery, &node_survey.devices);
    let door = Door::choose(tier, config.door, deliverer.as_ref());
    let reader = Reader::open(&pins)?;
    let enforcer = Enforcer::open(&pins, numbers, shared(&config, door, &gate, reader.config()), room)?;
    let binder = Arc::new(Mutex::new(Binder::open(&pins, learning(&config), Teacher::of(&mut object)?)?));
    gate.open(&mut object)?;
    before.may_end();
    let offer = Offer::listen(&config.state_dir, tier)?;

    let server = Server::bind(&config.socket, config.api, config.metrics).await?;
    let socket = config.socket.display().to_string();
    let places = ApiPlaces { socket, address: server.address(), metrics: server.metrics() };
    let log = FlowLog::new(DEFAULT_CAPACITY);
    let lessons = Arc::new(Lessons::default());
    let judge = Arc::new(Judge::new(binder.clone(), Rulings::open(&pins, rules.clone())?));
    let lookups = Arc::new(LookUps::default());
    let sources = Sources {
        binder: binder.clone(),
        lessons: lessons.clone(),
        judge: judge.clone(),
        lookups: lookups.clone(),
        reader,
    };
    let node = Arc::new(Node::new(log, sources, config.resolvers.clone(), places, tier));

    source.report(&node);
    let (ended, mut broken) = mpsc::unbounded_channel();
    let stop = Stop::new()?;
    let (errands, errands_sent) = std::sync::mpsc::channel();
    // Not waited for at the end: it may be waiting for packets.
    let _probes_thread = {
        let (mut prober, broken, changes) = (Prober::open(&pins)?, ended.clone(), changes.clone());
        let gate = gate.clone();
        thread("probes", broken, move || probes::serve(&errands_sent, &gate, &mut prober, &changes))?
    };
    let events_thread = {
        let (stop, broken, node) = (stop.clone(), ended.clone(), node.clone());
        let ring = Ring::open(&pins, "EVENTS")?;
        let judge = judge.clone();
        thread("events", broken, move || events::serve(ring, &node, &rules, &judge, &stop))?
    };

    let detach = config.detach_on_exit;
    let grace = config.flow_grace;
    let ender = (config.on_tighten == OnTighten::Cut).then(|| Ender::new(node.clone(), grace));
    let answering = Answering {
        ring: Ring::open(&pins, "ANSWERS")?,
        pulse: Pulse::open(&pins)?,
        hands: answers::Hands { binder, lessons, lookups: lookups.clone(), node: node.clone() },
        holds: Arc::new(Holds::new(gate.clone(), judge.clone(), stop.clone())),
        gate: gate.clone(),
    };
    let plugin = config.plugin.clone().map(|plugin| Plugin::new(plugin, &config.socket));
    let is_in_cluster = matches!(config.inputs, Inputs::Cluster(_));
    let starts = is_in_cluster.then(|| starts::listen(&starts::socket(&config.socket), changes.clone()));
    let starts = starts.transpose()?;
    let parts = Parts {
        config,
        source,
        pins,
        object,
        delivery,
        enforcer,
        shelf,
        judge,
        lookups: lookups.clone(),
        node: node.clone(),
        plugin,
        ender,
        own,
        boot_id,
        snapshot: snapshot_file,
        remembered,
        changes: changes.clone(),
        errands,
    };
    let mut reconciler = Reconciler::new(parts, &last.unwrap_or_default().policies, node_survey);
    watching::hang_up(changes.clone())?;
    watch_node(node_watch, NetNs::own()?, changes.clone());
    tick(changes);
    // What is on hold waits for policies: by none, no name would be learned.
    reconciler.read()?;
    let mut threads = answering.begin(&stop, &ended)?;
    threads.push(events_thread);
    let (draining, drained) = watch::channel(false);
    let api = tokio::spawn(server.run(node, until_true(drained)));
    let is_ready = Notify::new();
    let work = async {
        reconciler.start().await?;
        // Nothing is left that goes by the hold of the agent before.
        drop(before);
        memory::give_back();
        info!("ready");
        is_ready.notify_one();
        reconciler.serve(&mut changed).await;
        anyhow::Ok(None)
    };
    let asked = async {
        is_ready.notified().await;
        Some(offer.asked().await)
    };
    let ended = tokio::select! {
        result = work => result,
        successor = asked => Ok(successor),
        Some(part) = broken.recv() => {
            Err(anyhow::anyhow!("the thread `{part}` ended; without it names would not be learned, or coverage not proven"))
        }
        result = terminated() => result.map(|()| None),
    };

    let _ = draining.send(true);
    let successor = ended.as_ref().ok().and_then(Option::as_ref);
    let is_handed = successor.is_some_and(|successor| successor.is_alike);
    info!("{}", if is_handed { "handing over" } else { "draining" });
    let drained = if is_handed { Ok(()) } else { reconciler.drain() };
    if !is_handed {
        tokio::time::sleep(LAST_ANSWERS).await;
    }
    stop.call();
    lookups.wake();
    let joined =
        tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
    let _ = joined.await;
    let _ = api.await;
    // The next agent listens in its place.
    drop((offer, starts));
    match ended? {
        Some(successor) if is_handed => successor.hand(locks, gate.as_fd(), reconciler.hand_over()?),
        Some(successor) => drained.and(successor.end(locks)),
        // Only where it was told to end: an agent that failed leaves what an earlier one, or itself, put in force.
        None if detach || reconciler.is_uninstalled() => reconciler.detach().and(drained),
        None => drained,
    }
}

/// Loads all that takes long, and reads what may be wrong.
fn prepare(
    source: &Source,
    config: &Config,
    pins: &Pins,
    tier: Tier,
    shelf: Option<&mut Shelf>,
) -> anyhow::Result<Object> {
    source.workloads(&NetNs::own()?, &config.resolvers)?;
    reconcile::policies(source)?;
    if let Some(shelf) = shelf {
        shelf.fill();
    }
    Ok(Object::prepare(pins, tier)?)
}

/// Where modules are kept, and what was compiled of them.
fn shelf(config: &Config, folder: PathBuf) -> anyhow::Result<Shelf> {
    let engine =
        Engine::new(Some(&config.state_dir.join("modules"))).context("make the engine of modules")?;
    Ok(Shelf::new(engine, folder))
}

fn learning(config: &Config) -> Learning {
    Learning {
        min_ttl: config.min_ttl,
        flow_grace: config.flow_grace,
        search_domains: config.search_domains.clone(),
    }
}

/// `last`: what is in CONFIG; its marks stay, for what is on its way carries them.
fn shared(config: &Config, door: Door, gate: &Gate, last: Shared) -> Shared {
    let mark = |last| if last == 0 { random_mark() } else { last };
    Shared {
        mark: mark(last.mark),
        flow_grace: clock::tick(config.flow_grace),
        least: clock::tick_after(config.min_ttl),
        searches: (!config.search_domains.is_empty()).into(),
        idle: Tick::lasting_seconds(IDLE_SECONDS),
        refusals: PER_SECOND,
        events: PER_SECOND,
        keep: (config.on_tighten == OnTighten::Keep).into(),
        answers: ANSWERS_PER_SECOND,
        arming_until: Tick::default(),
        door: door.number(),
        gate: gate.index(),
        gate_mark: mark(last.gate_mark),
        holds: HOLDS_PER_SECOND,
        cuts: gate.cuts().into(),
    }
}

fn random_mark() -> u32 {
    let mut bytes = [0; 4];
    // Fails only where the buffer is no buffer; a mark of one boot's clock would still be nobody's to guess.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u32::from_ne_bytes(bytes) | 1
}

fn boot_id() -> anyhow::Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    Ok(fs::read_to_string(path).with_context(|| format!("read {path}"))?.trim().to_owned())
}

fn last_snapshot(path: &Path) -> Option<Snapshot> {
    state::read(path).unwrap_or_else(|error| {
        warn!("starting without what was known before: {error}");
        None
    })
}

/// The numbers that the pinned maps use. Maps whose numbers are unknown are of no use, for nobody can say what they mean;
/// but what judges by them goes on until this agent has placed its workloads. So does what judges by maps of another
/// version; what it learns meanwhile is learned for this agent too, which takes over the numbers.
fn adopt_or_set_aside(pins: &Pins, last: &Option<Snapshot>, boot_id: &str) -> anyhow::Result<Numbers> {
    let (have_maps, have_learned) = (pins.have_maps(), pins.have_learned());
    let snapshot = last.as_ref().filter(|snapshot| snapshot.boot_id == boot_id && have_learned);
    if let Some(snapshot) = snapshot {
        let workloads = snapshot.workloads.len();
        if have_maps {
            info!("adopting the maps of an earlier agent: {workloads} workloads");
        } else {
            info!("adopting what was looked up under an agent with other maps: {workloads} workloads");
        }
        return Ok(Numbers::restore(snapshot));
    }
    if have_maps || have_learned {
        warn!("the pinned maps are of an unknown agent: its rules stay in force until this one's are");
        pins.set_aside()?;
    }
    Ok(Numbers::default())
}

fn watch_node(mut watch: Watch, own: NetNs, changes: mpsc::Sender<Change>) {
    tokio::spawn(async move {
        loop {
            while watch.changed().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let Ok(survey) = watch.survey().await else { continue };
                if changes.send(Change::Node(survey)).await.is_err() {
                    return;
                }
            }
            // Without it no new workload would ever be found.
            warn!("the node's interfaces cannot be watched any more; trying again");
            tokio::time::sleep(TICK).await;
            if let Ok(again) = Watch::open(&own) {
                watch = again;
            }
        }
    });
}

fn tick(changes: mpsc::Sender<Change>) {
    tokio::spawn(async move {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            if changes.send(Change::Tick).await.is_err() {
                return;
            }
        }
    });
}

async fn until_true(mut flag: watch::Receiver<bool>) {
    let _ = flag.wait_for(|flag| *flag).await;
}

async fn terminated() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
