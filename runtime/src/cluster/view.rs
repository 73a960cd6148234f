//! What is known of the cluster, in the words of files: workloads, and policies by the name of their object.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use egret_cni::Start;
use tokio::sync::Notify;

use super::around::{Around, Heard, Part, Round};
use super::mirror::{Key, Mirror, Told};
use super::pods::Pod;
use super::sandbox::{Patience, Sandbox, inode};
use super::written::{Read, Written, read};
use crate::kernel::netns::NetNs;
use crate::kernel::sandboxes;
use crate::model::{Labels, Namespace, Place, PolicyId, PolicyKind, Workload, WorkloadId};
use crate::policy::{Accepted, Outcome};
use crate::workloads::WorkloadsFile;

const NOT_YET: &str = "its network namespace is not there yet";

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Policies.
    Policies,
    /// Pods, their namespaces, or who resolves names for them.
    Workloads,
    /// Services or pods that policies name.
    Destinations,
    /// All of it is known now.
    Everything,
}

/// Something of the cluster that was told.
#[derive(Debug)]
pub(super) enum Word {
    Pod(Told<Pod>),
    Namespace(Told<Labels>),
    Policy(PolicyKind, Told<Written>),
    /// The agent's own DaemonSet: whether it is being deleted.
    DaemonSet(Told<bool>),
    /// Where the resolvers of the cluster are asked, and where they are.
    Resolvers(Resolvers, Told<Vec<IpAddr>>),
    /// Services and pods of the whole cluster.
    Around(Round, Heard),
}

/// Two kinds of objects that tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolvers {
    Services,
    Endpoints,
}

/// A policy of the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which.
    pub id: PolicyId,
    /// What [`View::policies`] calls it.
    pub file: Arc<str>,
    /// Its UID.
    pub uid: String,
    /// Its `metadata.generation`, as it was read.
    pub generation: i64,
}

/// What is known of the cluster. Shared by who follows it and who acts on it.
#[derive(Default)]
pub struct View {
    known: Mutex<Known>,
    complete: Notify,
}

#[derive(Default)]
struct Known {
    pods: Mirror<Pod>,
    namespaces: Mirror<Labels>,
    of_namespaces: Mirror<Read>,
    of_cluster: Mirror<Read>,
    /// Policies of Kubernetes' own kinds, of those that are followed.
    upstream: BTreeMap<PolicyKind, Mirror<Read>>,
    services: Mirror<Vec<IpAddr>>,
    endpoints: Mirror<Vec<IpAddr>>,
    around: Around,
    /// The agent's own DaemonSet, and whether it was ever there.
    daemon_set: Mirror<bool>,
    was_installed: bool,
    /// The network namespaces of pods, by UID.
    sandboxes: HashMap<String, Sandbox>,
    patience: Patience,
    /// Pods that the API server no longer has while their namespaces are there, by UID: what is in them may still run.
    leaving: HashMap<String, (Key, Pod)>,
}

impl View {
    /// Takes in what was told; what changed by it, if anything did.
    pub(super) fn take(&self, word: Word) -> Option<News> {
        let mut known = self.known();
        let was_complete = known.is_complete();
        let (news, is_news) = match word {
            Word::Pod(told) => (News::Workloads, known.take_pod(told)),
            Word::Namespace(told) => {
                known.around.namespaces_changed();
                (News::Workloads, known.namespaces.take(told))
            }
            // Its status changes often, and is written by agents: nothing is to be read again for it.
            Word::Policy(kind, told) if known.has_read(kind, &told) => return None,
            Word::Policy(kind, told) => (News::Policies, known.policies(kind).take(read(kind, told))),
            Word::DaemonSet(told) => {
                known.daemon_set.take(told);
                known.was_installed |= !known.daemon_set.all().is_empty();
                return None;
            }
            Word::Resolvers(Resolvers::Services, told) => (News::Workloads, known.services.take(told)),
            Word::Resolvers(Resolvers::Endpoints, told) => (News::Workloads, known.endpoints.take(told)),
            Word::Around(round, heard) => {
                let Known { around, namespaces, .. } = &mut *known;
                (News::Destinations, around.take(round, heard, namespaces.all()))
            }
        };
        let is_complete = known.is_complete();
        let is_all_around = known.around.is_complete();
        drop(known);
        if is_news && news == News::Destinations && is_all_around {
            self.complete.notify_waiters();
        }
        if is_complete && !was_complete {
            self.complete.notify_waiters();
            return Some(News::Everything);
        }
        (is_news && is_complete).then_some(news)
    }

    /// Whether the agent's DaemonSet was there, and is deleted or about to be.
    #[must_use]
    pub fn is_uninstalled(&self) -> bool {
        let known = self.known();
        let daemon_sets = known.daemon_set.all();
        known.was_installed && daemon_sets.values().all(|is_deleted| *is_deleted)
    }

    /// Takes the CNI plugin's word for where a pod is; nothing runs in it yet.
    pub fn start(&self, start: &Start) {
        let path = start.netns.clone();
        let Some(inode) = inode(&path) else { return };
        let sandbox = Sandbox { path, inode, addresses: start.addresses.clone(), begun: None };
        self.known().sandboxes.insert(start.uid.clone(), sandbox);
    }

    /// How long something runs in a pod already that was not held for its policies.
    #[must_use]
    pub fn unheld(&self, id: &WorkloadId) -> Option<Duration> {
        let known = self.known();
        let pod = known.pods.all().get(&(id.namespace.clone(), id.name.clone()))?;
        known.sandboxes.get(&pod.uid)?.begun.map(|begun| begun.elapsed())
    }

    /// Waits until all of it was told once.
    pub async fn completed(&self) {
        self.until(Known::is_complete).await;
    }

    /// Waits until all services and pods were told that are followed.
    pub async fn completed_around(&self) {
        self.until(|known| known.around.is_complete()).await;
    }

    async fn until(&self, is_so: impl Fn(&Known) -> bool) {
        loop {
            let told = self.complete.notified();
            if is_so(&self.known()) {
                return;
            }
            told.await;
        }
    }

    /// Policies of a kind that is Kubernetes' own are followed: nothing is complete without them.
    pub(super) fn expect(&self, kind: PolicyKind) {
        self.known().policies(kind);
    }

    /// Services or pods of the whole cluster are followed from now on.
    pub(super) fn begin(&self, part: Part) -> Round {
        self.known().around.begin(part)
    }

    /// They are followed no more.
    pub(super) fn end(&self, part: Part) {
        self.known().around.end(part);
    }

    /// Looks up what `accepted` names in the cluster; the policies that lead elsewhere now.
    pub fn look_up(&self, accepted: &mut Accepted) -> BTreeSet<PolicyId> {
        let mut known = self.known();
        let Known { around, namespaces, .. } = &mut *known;
        around.look_up(accepted, namespaces.all())
    }

    /// Every policy, by the name of its object, as a folder of files would give them; `None`: not all of them are known.
    #[must_use]
    pub fn policies(&self) -> Option<Vec<Outcome>> {
        let known = self.known();
        let own = known.of_cluster.all().values().chain(known.of_namespaces.all().values());
        let all = own.chain(known.upstream.values().flat_map(|mirror| mirror.all().values()));
        known.is_complete().then(|| all.map(|read| read.outcome.clone()).collect())
    }

    /// Which policies there are, and in which generation; `None`: not all of them are known. To be asked before
    /// [`Self::policies`], which may be newer then, and never older.
    #[must_use]
    pub fn listed(&self) -> Option<Vec<Listed>> {
        let known = self.known();
        let own = [
            (PolicyKind::ClusterEgressPolicy, &known.of_cluster),
            (PolicyKind::EgressPolicy, &known.of_namespaces),
        ];
        let upstream = known.upstream.iter().map(|(kind, mirror)| (*kind, mirror));
        let all = own.into_iter().chain(upstream).flat_map(|(kind, mirror)| {
            mirror.all().iter().map(move |((namespace, name), read)| Listed {
                id: PolicyId::of(kind, namespace, name),
                file: read.outcome.0.clone(),
                uid: read.version.0.clone(),
                generation: read.version.1,
            })
        });
        known.is_complete().then(|| all.collect())
    }

    /// The UID of a pod of this node, as the node calls it.
    #[must_use]
    pub fn uid_of(&self, pod: &WorkloadId) -> Option<String> {
        let key = (pod.namespace.clone(), pod.name.clone());
        self.known().pods.all().get(&key).map(|pod| pod.uid.clone())
    }

    /// The pods of this node and their namespaces; `None`: not all of them are known. `resolvers`: those that the operator
    /// trusts besides the cluster's own.
    #[must_use]
    pub fn workloads(&self, resolvers: &[IpAddr]) -> Option<WorkloadsFile> {
        let known = self.known();
        if !known.is_complete() {
            return None;
        }
        let mut trusted = resolvers.to_vec();
        for address in known.services.all().values().chain(known.endpoints.all().values()).flatten() {
            if !trusted.contains(address) {
                trusted.push(*address);
            }
        }
        let namespaces = known.namespaces.all().iter();
        let namespaces = namespaces.map(|((_, name), labels)| Namespace::new(name.clone(), labels.clone()));
        let pods = known.pods.all().iter().filter(|(_, pod)| known.may_run(pod));
        let leaving = known.leaving.values().filter(|(key, _)| !known.pods.all().contains_key(key));
        let pods = pods.chain(leaving.map(|(key, pod)| (key, pod)));
        let workload = |((namespace, name), pod): (&Key, &Pod)| Workload {
            id: WorkloadId { namespace: namespace.clone(), name: name.clone() },
            labels: pod.labels.clone(),
            service_account: pod.service_account.clone(),
            place: known.place(pod),
            addresses: known.addresses(pod),
            resolvers: Some(trusted.clone()),
        };
        Some(WorkloadsFile { namespaces: namespaces.collect(), workloads: pods.map(workload).collect() })
    }

    /// Looks for the network namespaces of pods where one is missing, or another one now; whether any was found. `own` is
    /// the node's. Where only time went by, those that stay missing are looked for less and less often.
    pub fn look(&self, own: &NetNs, by_clock: bool) -> bool {
        {
            let mut known = self.known();
            let is_moved = known.sandboxes.values().any(|sandbox| !sandbox.is_there());
            let missing = known.missing();
            let is_missing = !missing.is_empty();
            let is_due = known.patience.is_due(missing, by_clock, Instant::now());
            // Of one that ended or left, only that its namespace is gone is news.
            if !(is_moved || is_missing && is_due) {
                return false;
            }
        }
        let found = sandboxes::of_pods(own);
        let mut known = self.known();
        let before = known.sandboxes.len();
        known.sandboxes.retain(|_, sandbox| sandbox.is_there());
        let mut is_news = known.sandboxes.len() != before;
        let Known { sandboxes, leaving, .. } = &mut *known;
        leaving.retain(|uid, _| sandboxes.contains_key(uid));
        for (uid, sandboxes::Sandbox { path, age }) in found {
            let Some(inode) = inode(&path) else { continue };
            if known.sandboxes.get(&uid).is_some_and(|before| before.inode == inode) {
                continue;
            }
            let begun = Instant::now().checked_sub(age);
            known.sandboxes.insert(uid, Sandbox { path, inode, addresses: Vec::new(), begun });
            is_news = true;
        }
        let living: HashSet<_> = known.pods.all().values().map(|pod| pod.uid.clone()).collect();
        let Known { sandboxes, leaving, .. } = &mut *known;
        sandboxes.retain(|uid, _| living.contains(uid) || leaving.contains_key(uid));
        is_news
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_complete(&self) -> bool {
        self.pods.is_whole()
            && self.namespaces.is_whole()
            && self.of_namespaces.is_whole()
            && self.of_cluster.is_whole()
            && self.upstream.values().all(Mirror::is_whole)
            && self.services.is_whole()
            && self.endpoints.is_whole()
    }

    /// Takes in what was told of pods. One that is gone from the API server leaves only once its namespace is gone as well:
    /// who deletes by force does not wait for what runs.
    fn take_pod(&mut self, told: Told<Pod>) -> bool {
        let before: BTreeMap<Key, Pod> = match &told {
            Told::Gone(key) => {
                self.pods.all().get(key).map(|pod| (key.clone(), pod.clone())).into_iter().collect()
            }
            Told::Whole => self.pods.all().clone(),
            _ => BTreeMap::new(),
        };
        let is_news = self.pods.take(told);
        let living: HashSet<_> = self.pods.all().values().map(|pod| pod.uid.as_str()).collect();
        let gone = before.into_iter().filter(|(_, pod)| !living.contains(pod.uid.as_str()));
        let left = gone.filter(|(_, pod)| self.sandboxes.contains_key(&pod.uid));
        self.leaving.extend(left.map(|(key, pod)| (pod.uid.clone(), (key, pod))));
        is_news
    }

    /// Pods that should be somewhere, and of which it is not known where; their UIDs.
    fn missing(&self) -> Vec<String> {
        let pods = self.pods.all().values().filter(|pod| !pod.has_ended && !pod.is_of_node);
        let missing = pods.filter(|pod| !self.sandboxes.contains_key(&pod.uid));
        missing.map(|pod| pod.uid.clone()).collect()
    }

    /// Whether something of it runs, or will.
    fn may_run(&self, pod: &Pod) -> bool {
        !pod.has_ended || self.sandboxes.contains_key(&pod.uid)
    }

    /// Those that its status says, and until then those that the CNI plugin said.
    fn addresses(&self, pod: &Pod) -> Vec<IpAddr> {
        let told = || self.sandboxes.get(&pod.uid).map(|sandbox| sandbox.addresses.clone());
        if pod.addresses.is_empty() { told().unwrap_or_default() } else { pod.addresses.clone() }
    }

    /// Whether what was told of a policy is the writing that was read last.
    fn has_read(&mut self, kind: PolicyKind, told: &Told<Written>) -> bool {
        let Told::Changed(key, written) = told else { return false };
        self.policies(kind).all().get(key).is_some_and(|read| read.version == written.version)
    }

    fn policies(&mut self, kind: PolicyKind) -> &mut Mirror<Read> {
        match kind {
            PolicyKind::EgressPolicy => &mut self.of_namespaces,
            PolicyKind::ClusterEgressPolicy => &mut self.of_cluster,
            PolicyKind::NetworkPolicy | PolicyKind::ClusterNetworkPolicy => {
                self.upstream.entry(kind).or_default()
            }
        }
    }

    fn place(&self, pod: &Pod) -> Place {
        if pod.is_of_node {
            return Place::Cgroup(pod.uid.clone());
        }
        match self.sandboxes.get(&pod.uid) {
            Some(sandbox) => Place::Netns(sandbox.path.display().to_string()),
            None => Place::Nowhere(NOT_YET.to_owned()),
        }
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
