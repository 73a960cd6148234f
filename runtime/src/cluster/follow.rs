//! Follows what the API server tells of this node, for as long as the agent runs.

use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::Stream;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Endpoints, Namespace, Node, Pod as PodObject, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::DynamicObject;
use kube::core::{ApiResource, PartialObjectMeta, Resource};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::task::JoinSet;
use tracing::info;

use super::around::{self, Heard, Part};
use super::behind::{self, Piece};
use super::client::Access;
use super::listen::{Listener, Tell, Waits};
use super::mirror::Told;
use super::objects::{ClusterEgressPolicy, EgressPolicy};
use super::pods::Pod;
use super::view::{Resolvers, View, Word};
use super::written::Written;
use crate::model::PolicyKind;
use crate::policy::Wanted;

/// The service that resolves names for pods: where it is, and the label that it has under every name.
const RESOLVERS: (&str, &str) = ("kube-system", "k8s-app=kube-dns");

/// What is behind services, as today's clusters have it: the group and version, and the resource.
const SLICES: (&str, &str) = ("discovery.k8s.io/v1", "endpointslices");

/// Follows services, pods and nodes of the whole cluster, for as long as policies name such.
pub struct Follower {
    client: Client,
    view: Arc<View>,
    tell: Tell,
    services: Option<JoinSet<()>>,
    /// And whether the names of ports are known.
    pods: Option<(JoinSet<()>, bool)>,
    nodes: Option<JoinSet<()>>,
}

/// The API version of ClusterNetworkPolicy.
pub(super) const CLUSTER_NETWORK_POLICIES: &str = "policy.networking.k8s.io/v1alpha2";

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
                api_version: CLUSTER_NETWORK_POLICIES.to_owned(),
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
    let word = |told| Word::Resolvers(Resolvers::Endpoints, told);
    let which = Which { namespace: Some(RESOLVERS.0), config: all().labels(RESOLVERS.1) };
    let listener =
        Listener { what: "endpoints", may_be_absent: false, view: view.clone(), tell: tell.clone() };
    tasks.spawn(listen_behind(client.clone(), which, behind::answers_at, word, listener));
    tasks.detach_all();
    Follower { client, view: view.clone(), tell, services: None, pods: None, nodes: None }
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
        if wanted.nodes && self.nodes.is_none() {
            info!("policies name nodes: those of the whole cluster are followed");
            self.nodes = Some(self.follow_nodes());
        } else if !wanted.nodes && self.nodes.take().is_some() {
            info!("no policy names nodes any more: what was known of them is forgotten");
            self.view.end(Part::Nodes);
        }
    }

    fn follow_services(&self) -> JoinSet<()> {
        let (round, mut tasks) = (self.view.begin(Part::Services), JoinSet::new());
        let all = watcher::Config::default;
        let services: Api<Service> = Api::all(self.client.clone());
        let word = move |told| Word::Around(round, Heard::Service(told));
        let what = "the services of the cluster";
        spawn(&mut tasks, what, watcher(services, all()), around::service, word, &self.view, &self.tell);
        let word = move |told| Word::Around(round, Heard::Behind(told));
        let what = "the endpoints of the cluster";
        let listener =
            Listener { what, may_be_absent: false, view: self.view.clone(), tell: self.tell.clone() };
        let which = Which { namespace: None, config: all() };
        tasks.spawn(listen_behind(self.client.clone(), which, |piece| piece, word, listener));
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

    fn follow_nodes(&self) -> JoinSet<()> {
        let (round, mut tasks) = (self.view.begin(Part::Nodes), JoinSet::new());
        let nodes: Api<Node> = Api::all(self.client.clone());
        let word = move |told| Word::Around(round, Heard::Node(told));
        let events = watcher(nodes, watcher::Config::default());
        spawn(&mut tasks, "the nodes of the cluster", events, around::node, word, &self.view, &self.tell);
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

/// Follows one kind of objects that is always there.
fn spawn<K, V>(
    tasks: &mut JoinSet<()>,
    what: &'static str,
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
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

/// Follows one kind of objects. One that `may_be_absent` and is counts as known, with no objects, until it is there.
fn spawn_kind<K, V>(
    tasks: &mut JoinSet<()>,
    (what, may_be_absent): (&'static str, bool),
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    value: impl Fn(K) -> V + Send + 'static,
    word: impl Fn(Told<V>) -> Word + Send + 'static,
    view: &Arc<View>,
    tell: &Tell,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    V: Send + 'static,
{
    let listener = Listener { what, may_be_absent, view: view.clone(), tell: tell.clone() };
    tasks.spawn(listener.listen(events, value, word));
}

/// Of which namespace, and which of its objects.
struct Which {
    namespace: Option<&'static str>,
    config: watcher::Config,
}

impl Which {
    fn of<K>(self, client: Client) -> impl Stream<Item = watcher::Result<Event<K>>>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
        K::DynamicType: Default,
    {
        let api = match self.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        watcher(api, self.config)
    }
}

/// Follows what is behind services: by `EndpointSlice`, and where the API server does not have it, by `Endpoints`.
async fn listen_behind<V>(
    client: Client,
    which: Which,
    value: impl Fn(Piece) -> V,
    word: impl Fn(Told<V>) -> Word,
    listener: Listener,
) {
    let mut waits = Waits::default();
    let has_slices = loop {
        match client.list_api_group_resources(SLICES.0).await {
            Ok(served) => break served.resources.iter().any(|resource| resource.name == SLICES.1),
            Err(kube::Error::Api(status)) if status.code == 404 => break false,
            Err(error) => waits.failed(listener.what, &error).await,
        }
    };
    if has_slices {
        listener.listen(which.of(client), |slice: EndpointSlice| value(behind::of_slice(slice)), word).await;
    } else {
        let of_endpoints = |endpoints: Endpoints| value(behind::of_endpoints(endpoints));
        listener.listen(which.of(client), of_endpoints, word).await;
    }
}
