//! The agent that leads: it alone watches the objects of nodes, writes the status of policies, and tells of those of
//! Kubernetes' own kinds that cannot be read.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, Resource};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout_at};
use tracing::{debug, info};

use super::Ask;
use super::gather::{Due, Gathered, NodeNow, PolicyNow, Word};
use super::lease::{ACTS, Candidate, RENEW, Turn};
use super::refusals::Refusals;
use super::snapshot::Snapshot;
use super::write::{Attempts, Failure, request};
use crate::cluster::client::Access;
use crate::cluster::listen::{patient, told};
use crate::cluster::objects::{ClusterEgressPolicy, EgressNodeStatus, EgressPolicy, GROUP, VERSION};
use crate::model::PolicyKind;

/// How often is looked whether something is to be written.
const LOOK: Duration = Duration::from_secs(1);
/// How often all of it is looked at, whatever was told: silence is told by nobody.
const LOOK_AT_ALL: Duration = Duration::from_secs(10);
/// Statuses written in one look.
const MOST: usize = 10;
const MANAGER: &str = "egret";

/// Tries to lead, and leads, for as long as the agent runs.
pub async fn serve(client: Client, access: Access, ask: Ask) {
    let api = Api::namespaced(client.clone(), &access.namespace);
    let mut candidate = Candidate::new(api, access.node.clone());
    let mut attempts = Attempts::at("give the lease of who writes the status of policies");
    let mut leading: Option<Leading> = None;
    loop {
        let begun = Instant::now();
        let turn = match &leading {
            Some(leading) => {
                let turn = candidate.turn(leading.nodes());
                timeout_at(leading.until.into(), turn).await.unwrap_or(Err(Failure::Slow))
            }
            None => candidate.turn(None).await,
        };
        let pause = match turn {
            Ok(Turn::Leads) => {
                attempts.worked();
                let until = begun + ACTS;
                match &mut leading {
                    Some(leading) => leading.until = until,
                    None => leading = Some(Leading::begin(&client, &access, &ask, until)),
                }
                RENEW
            }
            Ok(Turn::Follows(pause)) => {
                attempts.worked();
                leading = None;
                pause
            }
            Err(failure) => {
                let pause = attempts.failed(&failure);
                let now = Instant::now();
                leading = leading.filter(|leading| leading.until > now);
                leading.as_ref().map_or(pause, |leading| pause.min(leading.until - now))
            }
        };
        sleep(pause).await;
    }
}

/// The task of the agent that leads; it ends with it.
struct Leading {
    task: JoinHandle<()>,
    /// Until when others leave it alone.
    until: Instant,
    /// How many nodes tell of policies; none: it is not known yet.
    nodes: Arc<AtomicU32>,
}

impl Leading {
    fn begin(client: &Client, access: &Access, ask: &Ask, until: Instant) -> Self {
        info!("this agent writes the status of policies");
        let nodes = Arc::<AtomicU32>::default();
        let lead = lead(client.clone(), access.node.clone(), ask.clone(), nodes.clone());
        Self { task: tokio::spawn(lead), until, nodes }
    }

    fn nodes(&self) -> Option<u32> {
        Some(self.nodes.load(Ordering::Relaxed)).filter(|nodes| *nodes > 0)
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        info!("this agent no longer writes the status of policies");
        self.task.abort();
    }
}

async fn lead(client: Client, me: String, ask: Ask, nodes_told: Arc<AtomicU32>) {
    let api = |kind: &ApiResource| Api::<DynamicObject>::all_with(client.clone(), kind);
    let of_namespaces = api(&resource::<EgressPolicy>());
    let of_cluster = api(&resource::<ClusterEgressPolicy>());
    let mut policies = pin!(watched(PolicyKind::EgressPolicy.word(), &of_namespaces));
    let mut bounds = pin!(watched(PolicyKind::ClusterEgressPolicy.word(), &of_cluster));
    let mut nodes = pin!(watched("EgressNodeStatus", &api(&resource::<EgressNodeStatus>())));
    let mut desk = Desk {
        of_namespaces,
        of_cluster,
        writing: Attempts::at("take the status of policies"),
        rests_until: None,
    };
    let mut refusals = Refusals::new(client.clone(), me.clone());
    let mut gathered = Gathered::default();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut is_news, mut looked_at_all, mut last) = (true, Instant::now(), None);
    loop {
        let word = tokio::select! {
            Some(event) = nodes.next() => Word::Node(told(event, NodeNow::of)),
            Some(event) = policies.next() => {
                Word::Policy(PolicyKind::EgressPolicy, told(event, PolicyNow::of))
            }
            Some(event) = bounds.next() => {
                Word::Policy(PolicyKind::ClusterEgressPolicy, told(event, PolicyNow::of))
            }
            _ = looks.tick() => {
                let own = ask();
                nodes_told.store(gathered.nodes(), Ordering::Relaxed);
                is_news |= own != last || looked_at_all.elapsed() >= LOOK_AT_ALL;
                last = own;
                if let Some(own) = last.as_ref().filter(|_| is_news && gathered.is_whole()) {
                    looked_at_all = Instant::now();
                    is_news = desk.write(&mut gathered, &me, own).await;
                }
                if let Some(own) = &last {
                    refusals.tell(&own.refused_upstream).await;
                }
                continue;
            }
        };
        is_news |= gathered.take(word, Instant::now(), Timestamp::now());
    }
}

fn watched(
    what: &'static str,
    api: &Api<DynamicObject>,
) -> impl Stream<Item = Event<DynamicObject>> + Send + use<> {
    patient(what, false, watcher(api.clone(), watcher::Config::default()))
}

/// Where statuses are written.
struct Desk {
    of_namespaces: Api<DynamicObject>,
    of_cluster: Api<DynamicObject>,
    writing: Attempts,
    /// After a failure.
    rests_until: Option<Instant>,
}

impl Desk {
    /// Writes what is due; whether there is more to write.
    async fn write(&mut self, gathered: &mut Gathered, me: &str, own: &Snapshot) -> bool {
        let now = Instant::now();
        if self.rests_until.is_some_and(|until| now < until) {
            return true;
        }
        let (due, is_more) = gathered.due(me, own, now, Timestamp::now());
        let is_more = is_more || due.len() > MOST;
        for due in due.into_iter().take(MOST) {
            match self.put(&due).await {
                Ok(()) => self.writing.worked(),
                Err(failure) if failure.is_absence() || failure.is_conflict() => {
                    debug!("the policy {:?} is another one now: {failure}", due.key);
                }
                Err(failure) => {
                    self.rests_until = Some(Instant::now() + self.writing.failed(&failure));
                    return true;
                }
            }
            gathered.wrote(due, Instant::now());
        }
        is_more
    }

    async fn put(&self, due: &Due) -> Result<(), Failure> {
        let params = PatchParams::apply(MANAGER).force();
        let patch = Patch::Apply(object(due));
        let name = &due.key.1;
        match due.kind.is_of_cluster() {
            true => request(self.of_cluster.patch_status(name, &params, &patch)).await.map(drop),
            false => {
                let client = self.of_namespaces.clone().into_client();
                let api =
                    Api::<DynamicObject>::namespaced_with(client, &due.key.0, &resource::<EgressPolicy>());
                request(api.patch_status(name, &params, &patch)).await.map(drop)
            }
        }
    }
}

/// With its UID: one of the same name that is new is not meant.
fn object(due: &Due) -> Value {
    let mut metadata = json!({"name": due.key.1, "uid": due.uid});
    if !due.key.0.is_empty() {
        metadata["namespace"] = due.key.0.clone().into();
    }
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": due.kind.word(), "metadata": metadata, "status": due.status,
    })
}

fn resource<K: Resource<DynamicType = ()>>() -> ApiResource {
    ApiResource::erase::<K>(&())
}
