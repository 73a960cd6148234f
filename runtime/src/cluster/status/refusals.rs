//! Events on policies of Kubernetes' own kinds that cannot be read whole: their status is not Egret's to write.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use kube::api::PostParams;
use kube::{Api, Client};
use lru::LruCache;

use super::event::{Said, warning};
use super::snapshot::RefusedUpstream;
use super::write::{Attempts, Failure, request};
use crate::cluster::follow::CLUSTER_NETWORK_POLICIES;
use crate::model::PolicyKind;

/// Events written in one look.
const MOST: usize = 5;
/// What was told and is still so is told again: the API server keeps events for an hour.
const AGAIN: Duration = Duration::from_secs(1200);
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// What was told, by its number.
pub struct Refusals {
    client: Client,
    node: String,
    told: LruCache<u64, Instant>,
    writing: Attempts,
    /// After a failure.
    rests_until: Option<Instant>,
}

impl Refusals {
    /// Nothing yet.
    pub fn new(client: Client, node: String) -> Self {
        let writing = Attempts::at("take events on policies that cannot be read");
        Self { client, node, told: LruCache::new(REMEMBERED), writing, rests_until: None }
    }

    /// Tells those that were not told lately, some at a time.
    pub async fn tell(&mut self, refused: &[RefusedUpstream]) {
        let now = Instant::now();
        if self.rests_until.is_some_and(|until| now < until) {
            return;
        }
        let is_due = |number: &u64| {
            self.told.peek(number).is_none_or(|told| now.saturating_duration_since(*told) >= AGAIN)
        };
        let numbered = refused.iter().map(|refused| (number(refused), refused));
        let due: Vec<_> = numbered.filter(|(number, _)| is_due(number)).take(MOST).collect();
        for (number, refused) in due {
            match self.write(number, refused).await {
                Ok(()) => self.writing.worked(),
                // It is told already, by this agent or by the one that led before.
                Err(failure) if failure.is_conflict() || failure.is_of_no_namespace() => {}
                Err(failure) => {
                    self.rests_until = Some(Instant::now() + self.writing.failed(&failure));
                    return;
                }
            }
            self.told.put(number, Instant::now());
        }
    }

    async fn write(&self, number: u64, refused: &RefusedUpstream) -> Result<(), Failure> {
        let event = event(number, refused, &self.node, Timestamp::now());
        let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        request(api.create(&PostParams::default(), &event)).await.map(drop)
    }
}

/// The same for the same problem of the same version of a policy, whichever agent leads.
fn number(refused: &RefusedUpstream) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&refused.uid, refused.generation, note(refused)).hash(&mut hasher);
    hasher.finish()
}

fn note(refused: &RefusedUpstream) -> String {
    let refusal = &refused.refusal;
    let path = refusal.path.as_ref().map(|path| format!("{path}: ")).unwrap_or_default();
    let rest = match refusal.has_last_good {
        true => "the last version that could be read stays in force",
        false => "what cannot be read allows nothing",
    };
    format!("{path}{}; {rest}", refusal.reason)
}

fn event(number: u64, refused: &RefusedUpstream, node: &str, now: Timestamp) -> Event {
    let api_version = match refused.id.kind {
        PolicyKind::ClusterNetworkPolicy => CLUSTER_NETWORK_POLICIES,
        _ => "networking.k8s.io/v1",
    };
    let regarding = ObjectReference {
        api_version: Some(api_version.to_owned()),
        kind: Some(refused.id.kind.word().to_owned()),
        namespace: refused.id.namespace.clone(),
        name: Some(refused.id.name.clone()),
        uid: Some(refused.uid.clone()),
        ..ObjectReference::default()
    };
    let said = Said { reason: "EgressRefused", action: "Read", note: &note(refused) };
    warning(regarding, said, number.into(), node, now)
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Refusal;
    use super::*;
    use crate::model::PolicyId;

    fn refused(kind: PolicyKind, generation: i64, has_last_good: bool) -> RefusedUpstream {
        RefusedUpstream {
            id: PolicyId::of(kind, "shop", "web"),
            uid: "u1".into(),
            generation,
            refusal: Refusal {
                path: Some("spec.egress[0]".into()),
                reason: "`x` is not known here; leave it out".into(),
                has_last_good,
            },
        }
    }

    #[test]
    fn an_event_names_the_policy_the_place_and_what_counts_instead() {
        let now = Timestamp::UNIX_EPOCH;
        let written = event(10, &refused(PolicyKind::NetworkPolicy, 1, true), "worker-1", now);
        let note = "spec.egress[0]: `x` is not known here; leave it out; the last version that could be read stays in force";
        assert_eq!(written.note.as_deref(), Some(note));
        assert_eq!(written.metadata.name.as_deref(), Some("web.a"));
        let regarding = written.regarding.expect("a policy");
        assert_eq!(regarding.api_version.as_deref(), Some("networking.k8s.io/v1"));
        assert_eq!((regarding.namespace.as_deref(), regarding.uid.as_deref()), (Some("shop"), Some("u1")));

        let written = event(10, &refused(PolicyKind::ClusterNetworkPolicy, 1, false), "worker-1", now);
        assert!(written.note.is_some_and(|note| note.ends_with("; what cannot be read allows nothing")));
        assert_eq!(written.metadata.namespace.as_deref(), Some("default"));
        let regarding = written.regarding.expect("a policy");
        assert_eq!(regarding.api_version.as_deref(), Some("policy.networking.k8s.io/v1alpha2"));
    }

    #[test]
    fn the_same_problem_has_one_number_and_that_of_another_version_another() {
        let of = |generation| number(&refused(PolicyKind::NetworkPolicy, generation, true));
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}
