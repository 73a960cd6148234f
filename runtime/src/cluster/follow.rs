//! Follows what the API server tells of this node, for as long as the agent runs.

use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Endpoints, Namespace, Pod as PodObject, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::DynamicObject;
use kube::core::{ApiResource, PartialObjectMeta, Resource};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::around::{self, Heard, Part};
use super::client::Access;
use super::mirror::{Key, Told};
use super::objects::{ClusterEgressPolicy, EgressPolicy};
use super::pods::Pod;
use super::view::{News, Resolvers, View, Word};
use super::written::Written;
use crate::model::PolicyKind;
use crate::policy::Wanted;

/// How long after a failure it is asked again: twice as long each time, until it tells.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(30);

/// The service that resolves names for pods: where it is, and the label that it has under every name.
const RESOLVERS: (&str, &str) = ("kube-system", "k8s-app=kube-dns");

/// Who hears what changed.
pub type Tell = Arc<dyn Fn(News) + Send + Sync>;

/// Follows services and pods of the whole cluster, for as long as policies name such.
pub struct Follower {
    client: Client,
    view: Arc<View>,
    tell: Tell,
    services: Option<JoinSet<()>>,
    /// And whether the names of ports are known.
    pods: Option<(JoinSet<()>, bool)>,
}

/// A kind of policies.
struct PolicyResource {
    kind: PolicyKind,
    resource: ApiResource,
    /// Its definition may come later, or never.
    may_be_absent: bool,
}

/// Those of Kubernetes' own that are to be followed.
fn upstream_kinds(access: &Access) -> Vec<PolicyResource> {
    let mut kinds = Vec::new();
    if access.network_policies {
        kinds.push(PolicyResource {
            kind: PolicyKind::NetworkPolicy,
            resource: ApiResource::erase::<NetworkPolicy>(&()),
            may_be_absent: false,
        });
    }
    if access.cluster_network_policies {
        kinds.push(PolicyResource {
            kind: PolicyKind::ClusterNetworkPolicy,
            resource: ApiResource {
                group: "policy.networking.k8s.io".to_owned(),
                version: "v1alpha2".to_owned(),
                api_version: "policy.networking.k8s.io/v1alpha2".to_owned(),
                kind: PolicyKind::ClusterNetworkPolicy.word().to_owned(),
                plural: "clusternetworkpolicies".to_owned(),
            },
            may_be_absent: true,
        });
    }
    kinds
}

/// Begins to follow; `tell` hears what changed, once all is known. To be called within a runtime.
pub fn follow(client: Client, access: &Access, view: &Arc<View>, tell: Tell) -> Follower {
    let mut tasks = JoinSet::new();
    let own = watcher::Config::default().fields(&format!("spec.nodeName={}", access.node));
    let pods: Api<PodObject> = Api::all(client.clone());
    let pod = |pod: PodObject| Pod::of(pod);
    spawn(&mut tasks, "pods", watcher(pods, own), pod, Word::Pod, view, &tell);

    let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
    let labels = |namespace: PartialObjectMeta<Namespace>| namespace.metadata.labels.unwrap_or_default();
    let all = watcher::Config::default;
    spawn(&mut tasks, "namespaces", watcher(namespaces, all()), labels, Word::Namespace, view, &tell);

    let own = [
        (PolicyKind::EgressPolicy, ApiResource::erase::<EgressPolicy>(&())),
        (PolicyKind::ClusterEgressPolicy, ApiResource::erase::<ClusterEgressPolicy>(&())),
    ];
    let own = own.map(|(kind, resource)| PolicyResource { kind, resource, may_be_absent: false });
    for PolicyResource { kind, resource, may_be_absent } in own.into_iter().chain(upstream_kinds(access)) {
        view.expect(kind);
        let policies: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let word = move |told| Word::Policy(kind, told);
        let events = watcher(policies, all());
        spawn_kind(&mut tasks, (kind.word(), may_be_absent), events, written, word, view, &tell);
    }

    if let Some(daemon_set) = &access.daemon_set {
        let own: Api<PartialObjectMeta<DaemonSet>> = Api::namespaced(client.clone(), &daemon_set.namespace);
        let named = all().fields(&format!("metadata.name={}", daemon_set.name));
        let is_deleted =
            |daemon_set: PartialObjectMeta<DaemonSet>| daemon_set.metadata.deletion_timestamp.is_some();
        spawn(&mut tasks, "its DaemonSet", watcher(own, named), is_deleted, Word::DaemonSet, view, &tell);
    }

    let services: Api<Service> = Api::namespaced(client.clone(), RESOLVERS.0);
    let word = |told| Word::Resolvers(Resolvers::Services, told);
    spawn(&mut tasks, "services", watcher(services, all().labels(RESOLVERS.1)), asked_at, word, view, &tell);
    let endpoints: Api<Endpoints> = Api::namespaced(client.clone(), RESOLVERS.0);
    let word = |told| Word::Resolvers(Resolvers::Endpoints, told);
    spawn(
        &mut tasks,
        "endpoints",
        watcher(endpoints, all().labels(RESOLVERS.1)),
        answers_at,
        word,
        view,
        &tell,
    );
    tasks.detach_all();
    Follower { client, view: view.clone(), tell, services: None, pods: None }
}

impl Follower {
    /// What is to be known from now on; of what is not, nothing stays. To be called within a runtime.
    pub fn want(&mut self, wanted: Wanted) {
        if wanted.services && self.services.is_none() {
            info!("policies name services: those of the whole cluster are followed");
            self.services = Some(self.follow_services());
        } else if !wanted.services && self.services.take().is_some() {
            info!("no policy names services any more: what was known of them is forgotten");
            self.view.end(Part::Services);
        }
        let has_ports = self.pods.as_ref().map(|(_, has_ports)| *has_ports);
        if wanted.pods && (has_ports.is_none() || wanted.pod_ports && has_ports == Some(false)) {
            info!("policies name pods: those of the whole cluster are followed");
            self.pods = Some((self.follow_pods(wanted.pod_ports), wanted.pod_ports));
        } else if !wanted.pods && self.pods.take().is_some() {
            info!("no policy names pods any more: what was known of those of other nodes is forgotten");
            self.view.end(Part::Pods);
        }
    }

    fn follow_services(&self) -> JoinSet<()> {
        let (round, mut tasks) = (self.view.begin(Part::Services), JoinSet::new());
        let all = watcher::Config::default;
        let services: Api<Service> = Api::all(self.client.clone());
        let word = move |told| Word::Around(round, Heard::Service(told));
        let what = "the services of the cluster";
        spawn(&mut tasks, what, watcher(services, all()), around::service, word, &self.view, &self.tell);
        let endpoints: Api<Endpoints> = Api::all(self.client.clone());
        let word = move |told| Word::Around(round, Heard::Endpoints(told));
        let what = "the endpoints of the cluster";
        spawn(&mut tasks, what, watcher(endpoints, all()), around::endpoints, word, &self.view, &self.tell);
        tasks
    }

    fn follow_pods(&self, with_ports: bool) -> JoinSet<()> {
        let (round, mut tasks) = (self.view.begin(Part::Pods), JoinSet::new());
        let pods: Api<PodObject> = Api::all(self.client.clone());
        let word = move |told| Word::Around(round, Heard::Pod(told));
        let living = watcher::Config::default().fields("status.phase!=Succeeded,status.phase!=Failed");
        let what = "the pods of the cluster";
        let pod = move |pod| around::pod(pod, with_ports);
        spawn(&mut tasks, what, watcher(pods, living), pod, word, &self.view, &self.tell);
        tasks
    }
}

fn written(object: DynamicObject) -> Written {
    let version = (object.metadata.uid.unwrap_or_default(), object.metadata.generation.unwrap_or_default());
    Written { version, spec: object.data.get("spec").cloned().unwrap_or(Value::Null) }
}

fn asked_at(service: Service) -> Vec<IpAddr> {
    let spec = service.spec.unwrap_or_default();
    let all = spec.cluster_ips.unwrap_or_default().into_iter().chain(spec.cluster_ip);
    all.filter_map(|text| text.parse().ok()).collect()
}

fn answers_at(endpoints: Endpoints) -> Vec<IpAddr> {
    let subsets = endpoints.subsets.unwrap_or_default();
    let ready = subsets.into_iter().flat_map(|subset| subset.addresses.unwrap_or_default());
    ready.filter_map(|address| address.ip.parse().ok()).collect()
}

/// Follows one kind of objects that is always there.
fn spawn<K, V>(
    tasks: &mut JoinSet<()>,
    what: &'static str,
    events: impl futures_util::Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    value: impl Fn(K) -> V + Send + 'static,
    word: impl Fn(Told<V>) -> Word + Send + 'static,
    view: &Arc<View>,
    tell: &Tell,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    V: Send + 'static,
{
    spawn_kind(tasks, (what, false), events, value, word, view, tell);
}

/// Follows one kind of objects. The API server may be away: what was told stays, and it is asked again, less and less often.
/// A kind that may be absent and is counts as known, with no objects, until it is there.
fn spawn_kind<K, V>(
    tasks: &mut JoinSet<()>,
    (what, may_be_absent): (&'static str, bool),
    events: impl futures_util::Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    value: impl Fn(K) -> V + Send + 'static,
    word: impl Fn(Told<V>) -> Word + Send + 'static,
    view: &Arc<View>,
    tell: &Tell,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    V: Send + 'static,
{
    let (view, tell) = (view.clone(), tell.clone());
    tasks.spawn(async move {
        let mut events = pin!(events);
        let (mut is_away, mut wait) = (false, SOONEST);
        let mut is_known = false;
        while let Some(event) = events.next().await {
            let told = match event {
                Ok(event) => told(event, &value),
                Err(error) if may_be_absent && is_absent(&error) => {
                    // What was told stays: had its definition gone, so had its objects before.
                    if !std::mem::replace(&mut is_known, true) {
                        info!("{what} is not defined in this cluster: looked for again now and then");
                        let _ = view.take(word(Told::Begun));
                        view.take(word(Told::Whole)).into_iter().for_each(&*tell);
                    }
                    is_away = true;
                    tokio::time::sleep(spread(wait)).await;
                    wait = LATEST.min(wait * 2);
                    continue;
                }
                Err(error) => {
                    if !is_away {
                        warn!(
                            "what is known of {what} stays as it is, for the API server does not tell: {error}"
                        );
                    }
                    is_away = true;
                    tokio::time::sleep(spread(wait)).await;
                    wait = LATEST.min(wait * 2);
                    continue;
                }
            };
            // It begins to ask before anybody answers.
            if !matches!(told, Told::Begun) {
                (wait, is_known) = (SOONEST, true);
                if std::mem::take(&mut is_away) {
                    info!("the API server tells of {what} again");
                }
            }
            if let Some(news) = view.take(word(told)) {
                tell(news);
            }
        }
    });
}

/// Whether the API server does not know the kind.
fn is_absent(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchStartFailed};
    matches!(error, InitialListFailed(kube::Error::Api(status)) | WatchStartFailed(kube::Error::Api(status)) if status.code == 404)
}

/// Somewhere between half of it and all of it: nodes that lost the API server together do not come back together.
fn spread(wait: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 1000;
    wait / 2 + wait / 2 * u32::try_from(random).unwrap_or(0) / 1000
}

/// What an event says.
pub(super) fn told<K: ResourceExt, V>(event: Event<K>, value: impl Fn(K) -> V) -> Told<V> {
    match event {
        Event::Init => Told::Begun,
        Event::InitDone => Told::Whole,
        Event::InitApply(object) => Told::Listed(key(&object), value(object)),
        Event::Apply(object) => Told::Changed(key(&object), value(object)),
        Event::Delete(object) => Told::Gone(key(&object)),
    }
}

fn key<K: ResourceExt>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_and_no_longer_than_they_should_be() {
        let waits: Vec<_> = (0..100).map(|_| spread(LATEST)).collect();
        assert!(waits.iter().all(|wait| (LATEST / 2..=LATEST).contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait != waits[0]), "all nodes would come back at once");
    }
}
