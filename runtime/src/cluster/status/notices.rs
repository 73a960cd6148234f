//! Events on pods that are denied something.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::limits::Limits;
use super::node::shortened;
use super::write::{Attempts, request};
use crate::cluster::view::View;
use crate::model::WorkloadId;

/// Events that wait to be written.
const QUEUE: usize = 64;
/// Characters of what an event says: the API server takes 1024 bytes.
const NOTE: usize = 500;
/// Characters of the name of a pod in that of an event.
const NAME: usize = 200;
const NOTE_BYTES: usize = 1024;

/// An attempt that was denied.
#[derive(Clone, Copy, Debug)]
pub struct Denied<'a> {
    /// Who tried.
    pub pod: &'a WorkloadId,
    /// Where to, as in `github.com:443/TCP`.
    pub place: &'a str,
    /// Why not.
    pub why: &'a str,
}

/// Tells pods what they are denied. No call waits.
pub struct Notices {
    limits: Mutex<Limits>,
    view: Arc<View>,
    queue: Sender<Notice>,
}

struct Notice {
    pod: WorkloadId,
    uid: String,
    note: String,
}

impl Notices {
    pub(super) fn begin(client: Client, node: String, view: Arc<View>) -> Self {
        let (queue, notices) = mpsc::channel(QUEUE);
        tokio::spawn(write(client, node, notices));
        Self { limits: Mutex::new(Limits::new(Instant::now())), view, queue }
    }

    /// Tells it, unless that was told in the last hour, or too much was.
    pub fn tell(&self, denied: Denied<'_>) {
        // A place is taken first: what cannot be written counts as told to nobody.
        let Ok(place) = self.queue.try_reserve() else { return };
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if !limits.admit(denied.pod, denied.place, Instant::now()) {
            return;
        }
        drop(limits);
        let Some(uid) = self.view.uid_of(denied.pod) else { return };
        let note = format!("denied {}: {}", denied.place, denied.why);
        place.send(Notice { pod: denied.pod.clone(), uid, note });
    }
}

async fn write(client: Client, node: String, mut notices: Receiver<Notice>) {
    let mut attempts = Attempts::at("take events on pods");
    while let Some(notice) = notices.recv().await {
        let api: Api<Event> = Api::namespaced(client.clone(), &notice.pod.namespace);
        let event = event(notice, &node, Timestamp::now());
        match request(api.create(&PostParams::default(), &event)).await {
            Ok(_) => attempts.worked(),
            Err(failure) if failure.is_of_no_namespace() => {}
            // Meanwhile the queue fills up, and what finds no room is not told.
            Err(failure) => tokio::time::sleep(attempts.failed(&failure)).await,
        }
    }
}

fn event(notice: Notice, node: &str, now: Timestamp) -> Event {
    let Notice { pod, uid, note } = notice;
    let mut note = shortened(&note, NOTE);
    note.truncate(note.floor_char_boundary(NOTE_BYTES));
    let name: String = pod.name.chars().take(NAME).collect();
    let name = name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            namespace: Some(pod.namespace.clone()),
            ..ObjectMeta::default()
        },
        type_: Some("Warning".to_owned()),
        reason: Some("EgressDenied".to_owned()),
        action: Some("Deny".to_owned()),
        note: Some(note),
        event_time: Some(MicroTime(now)),
        reporting_controller: Some("egret.dev/agent".to_owned()),
        reporting_instance: Some(shortened(node, 128)),
        regarding: Some(ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(pod.namespace),
            name: Some(pod.name),
            uid: Some(uid),
            ..ObjectReference::default()
        }),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_what_was_denied_and_is_of_its_pod_whatever_names_say() {
        let pod = WorkloadId { namespace: "shop".into(), name: "w".repeat(253) };
        let note = format!("denied x:443/TCP: {}", "ü".repeat(3000));
        let notice = Notice { pod: pod.clone(), uid: "u1".into(), note };
        let written = event(notice, "worker-1", Timestamp::UNIX_EPOCH);
        let regarding = written.regarding.expect("a pod");
        assert_eq!(
            (regarding.name.as_deref(), regarding.uid.as_deref()),
            (Some(pod.name.as_str()), Some("u1"))
        );
        assert_eq!(written.metadata.namespace.as_deref(), Some("shop"));
        assert!(written.metadata.name.is_some_and(|name| name.len() <= 253));
        assert!(written.note.is_some_and(|note| note.starts_with("denied x:443/TCP") && note.len() <= 1024));
    }
}
