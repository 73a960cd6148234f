//! What the agent that leads knows: policies, what nodes tell of them, and how long each was silent. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::Value;

use super::aggregate::{self, OnNode, Policy};
use super::node;
use super::pace::{Change, Pauses};
use super::snapshot::Snapshot;
use crate::cluster::mirror::{Key, Mirror, Told};
use crate::cluster::objects::{EgressNodeStatusSpec, PolicyOnNode, PolicyStatus};
use crate::model::PolicyKind;

/// How long a node may be silent. It tells something once a minute.
const SILENCE: Duration = Duration::from_secs(180);
/// How long a status has been another one before it is written: nodes tell of a change one after the other.
const SETTLE: Duration = Duration::from_secs(1);
const PAUSES: Pauses =
    Pauses { state: Duration::from_secs(1), counts: Duration::from_secs(15), heartbeat: None };

/// A policy as the API server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyNow {
    uid: String,
    generation: i64,
    enforces: bool,
    status: PolicyStatus,
}

impl PolicyNow {
    /// What counts of `object`.
    pub fn of(object: DynamicObject) -> Self {
        let status = object.data.get("status").cloned().unwrap_or(Value::Null);
        Self {
            uid: object.metadata.uid.unwrap_or_default(),
            generation: object.metadata.generation.unwrap_or_default(),
            enforces: object.data["spec"]["mode"] == "Enforce",
            // What cannot be read is written anew.
            status: serde_json::from_value(status).unwrap_or_default(),
        }
    }
}

/// What a node told last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeNow {
    told_at: Timestamp,
    policies: Vec<PolicyOnNode>,
}

impl NodeNow {
    /// What counts of `object`; of one that cannot be read nothing.
    pub fn of(object: DynamicObject) -> Self {
        let spec = object.data.get("spec").cloned().unwrap_or(Value::Null);
        let spec: Option<EgressNodeStatusSpec> = serde_json::from_value(spec).ok();
        spec.map(|spec| Self { told_at: spec.observed_at.0, policies: spec.policies }).unwrap_or_default()
    }
}

/// Something that was told.
pub enum Word {
    /// Of policies.
    Policy(PolicyKind, Told<PolicyNow>),
    /// Of nodes.
    Node(Told<NodeNow>),
}

/// Which policy.
type Which = (PolicyKind, Key);

/// A status that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Of which policy.
    pub kind: PolicyKind,
    /// Its namespace and name.
    pub key: Key,
    /// Its UID.
    pub uid: String,
    /// What is to stand there.
    pub status: PolicyStatus,
    change: Change,
}

/// See the head of this file.
#[derive(Default)]
pub struct Gathered {
    of_namespaces: Mirror<PolicyNow>,
    of_cluster: Mirror<PolicyNow>,
    nodes: Mirror<NodeNow>,
    /// What each node told last, and when that was by the clock of this one.
    heard: HashMap<String, (Timestamp, Instant)>,
    written: BTreeMap<Which, Instant>,
    /// Since when the status that is to be is not the one that is.
    differs: BTreeMap<Which, Instant>,
}

impl Gathered {
    /// Takes in what was told; whether something may be different after it.
    pub fn take(&mut self, word: Word, now: Instant, clock: Timestamp) -> bool {
        match word {
            Word::Policy(kind, told) => self.policies(kind).take(told),
            Word::Node(told) => {
                if let Told::Listed((_, name), node) | Told::Changed((_, name), node) = &told {
                    self.hear(name, node.told_at, now, clock);
                }
                self.nodes.take(told)
            }
        }
    }

    /// How many nodes told of policies so far.
    pub fn nodes(&self) -> u32 {
        u32::try_from(self.nodes.all().len()).unwrap_or(u32::MAX)
    }

    /// Whether all of it was told once.
    pub fn is_whole(&self) -> bool {
        self.of_namespaces.is_whole() && self.of_cluster.is_whole() && self.nodes.is_whole()
    }

    /// What is to be written now, most urgent first; and whether more is to be written soon. `me` is this node, and `own` is
    /// what its agent knows, which is more than it tells.
    pub fn due(&mut self, me: &str, own: &Snapshot, now: Instant, clock: Timestamp) -> (Vec<Due>, bool) {
        let wanted = self.wanted(me, own, now, clock);
        let differing: BTreeSet<Which> = wanted.iter().map(|due| (due.kind, due.key.clone())).collect();
        self.differs.retain(|which, _| differing.contains(which));
        self.forget();
        let (mut due, mut is_more) = (Vec::new(), false);
        for wanted in wanted {
            let which = (wanted.kind, wanted.key.clone());
            let since = *self.differs.entry(which.clone()).or_insert(now);
            let is_settled = now.saturating_duration_since(since) >= SETTLE;
            if is_settled && PAUSES.is_due(self.written.get(&which).copied(), wanted.change, now) {
                due.push((std::cmp::Reverse(wanted.change), since, wanted));
            } else {
                is_more = true;
            }
        }
        due.sort_by_key(|(change, since, _)| (*change, *since));
        (due.into_iter().map(|(.., due)| due).collect(), is_more)
    }

    /// A status was written, or could not be for its policy is another one now.
    pub fn wrote(&mut self, due: Due, now: Instant) {
        let Due { kind, key, uid, status, .. } = due;
        let which = (kind, key.clone());
        self.differs.remove(&which);
        self.written.insert(which, now);
        let before = self.policies(kind).all().get(&key).filter(|policy| policy.uid == uid).cloned();
        if let Some(before) = before {
            // Before it is told by the API server.
            self.policies(kind).take(Told::Changed(key, PolicyNow { status, ..before }));
        }
    }

    /// Every policy whose status is to be another one.
    fn wanted(&self, me: &str, own: &Snapshot, now: Instant, clock: Timestamp) -> Vec<Due> {
        let own: Vec<_> = own.policies.iter().map(node::policy).collect();
        let others = self.nodes.all().iter().filter(|((_, name), _)| name != me);
        let others = others.flat_map(|((_, name), node)| {
            let is_fresh = self.is_fresh(name, now);
            node.policies.iter().map(move |told| OnNode { node: name, is_fresh, told })
        });
        let all = others.chain(own.iter().map(|told| OnNode { node: me, is_fresh: true, told }));
        let mut by_policy: HashMap<(&str, &str, &str), Vec<OnNode<'_>>> = HashMap::new();
        for on in all {
            let namespace = on.told.namespace.as_deref().unwrap_or_default();
            by_policy.entry((&on.told.kind, namespace, &on.told.name)).or_default().push(on);
        }
        let kinds = [
            (PolicyKind::ClusterEgressPolicy, &self.of_cluster),
            (PolicyKind::EgressPolicy, &self.of_namespaces),
        ];
        let policies = kinds
            .into_iter()
            .flat_map(|(kind, mirror)| mirror.all().iter().map(move |(key, policy)| (kind, key, policy)));
        policies
            .filter_map(|(kind, key, policy)| {
                let nodes = by_policy.get(&(kind.word(), key.0.as_str(), key.1.as_str()));
                let facts = Policy { generation: policy.generation, enforces: policy.enforces };
                let nodes = nodes.map_or(&[][..], Vec::as_slice);
                let status = aggregate::status(facts, nodes, &policy.status, clock);
                let change = aggregate::change(&policy.status, &status);
                let uid = policy.uid.clone();
                (change != Change::None).then(|| Due { kind, key: key.clone(), uid, status, change })
            })
            .collect()
    }

    /// By the clock of this node, from when it first saw what the other one told; at first by how old that says it is.
    fn hear(&mut self, node: &str, told_at: Timestamp, now: Instant, clock: Timestamp) {
        let since = match self.heard.get(node) {
            Some((before, _)) if *before == told_at => return,
            Some(_) => now,
            None => {
                let age = Duration::try_from(clock.duration_since(told_at)).unwrap_or_default();
                now.checked_sub(age.min(2 * SILENCE)).unwrap_or(now)
            }
        };
        self.heard.insert(node.to_owned(), (told_at, since));
    }

    fn is_fresh(&self, node: &str, now: Instant) -> bool {
        let heard = self.heard.get(node);
        heard.is_some_and(|(_, at)| now.saturating_duration_since(*at) < SILENCE)
    }

    /// What is gone.
    fn forget(&mut self) {
        let Self { nodes, of_namespaces, of_cluster, heard, written, .. } = self;
        heard.retain(|name, _| nodes.all().contains_key(&(String::new(), name.clone())));
        written.retain(|(kind, key), _| {
            let mirror = if kind.is_of_cluster() { &*of_cluster } else { &*of_namespaces };
            mirror.all().contains_key(key)
        });
    }

    fn policies(&mut self, kind: PolicyKind) -> &mut Mirror<PolicyNow> {
        if kind.is_of_cluster() { &mut self.of_cluster } else { &mut self.of_namespaces }
    }
}

#[cfg(test)]
#[path = "gather_tests.rs"]
mod tests;
