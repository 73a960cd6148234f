//! Events on pods that are denied something.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::event::{Said, warning};
use super::limits::Limits;
use super::write::{Attempts, request};
use crate::cluster::view::View;
use crate::model::WorkloadId;

/// Events that wait to be written.
const QUEUE: usize = 64;

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
        let event = event(&notice, &node, Timestamp::now());
        match request(api.create(&PostParams::default(), &event)).await {
            Ok(_) => attempts.worked(),
            Err(failure) if failure.is_of_no_namespace() => {}
            // Meanwhile the queue fills up, and what finds no room is not told.
            Err(failure) => tokio::time::sleep(attempts.failed(&failure)).await,
        }
    }
}

fn event(notice: &Notice, node: &str, now: Timestamp) -> Event {
    let regarding = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(notice.pod.namespace.clone()),
        name: Some(notice.pod.name.clone()),
        uid: Some(notice.uid.clone()),
        ..ObjectReference::default()
    };
    let said = Said { reason: "EgressDenied", action: "Deny", note: &notice.note };
    warning(regarding, said, now.as_nanosecond(), node, now)
}
