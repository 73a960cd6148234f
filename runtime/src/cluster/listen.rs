//! Listens to what the API server tells of one kind of objects. It may be away, for as long as it likes.

use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use kube::ResourceExt;
use kube::core::Resource;
use kube::runtime::watcher::{self, Event};
use tracing::{info, warn};

use super::mirror::{Key, Told};
use super::view::{News, View, Word};

/// How long after a failure it is asked again: twice as long each time, until it tells.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(30);

/// Who hears what changed.
pub type Tell = Arc<dyn Fn(News) + Send + Sync>;

/// Takes in what is told of one kind, for as long as it lives.
pub(super) struct Listener {
    /// What people call it.
    pub what: &'static str,
    /// The API server may not know this kind, now or ever.
    pub may_be_absent: bool,
    pub view: Arc<View>,
    pub tell: Tell,
}

impl Listener {
    /// The API server may be away: what was told stays, and it is asked again, less and less often.
    pub async fn listen<K: Resource, V>(
        self,
        events: impl Stream<Item = watcher::Result<Event<K>>>,
        value: impl Fn(K) -> V,
        word: impl Fn(Told<V>) -> Word,
    ) {
        let mut events = pin!(patient(self.what, self.may_be_absent, events));
        while let Some(event) = events.next().await {
            let told = told(event, &value);
            if let Some(news) = self.view.take(word(told)) {
                (self.tell)(news);
            }
        }
    }
}

/// What is told, for as long as anybody listens; where nobody tells, `what` is asked for again, less and less often. A kind
/// that `may_be_absent` and is counts as told, with no objects, until it is there.
pub(super) fn patient<K>(
    what: &'static str,
    may_be_absent: bool,
    events: impl Stream<Item = watcher::Result<Event<K>>>,
) -> impl Stream<Item = Event<K>> {
    let begun = Patient {
        events: Box::pin(events),
        waits: Waits::default(),
        is_known: false,
        is_absent: false,
        ends: false,
    };
    unfold(begun, move |mut this| async move {
        if std::mem::take(&mut this.ends) {
            return Some((Event::InitDone, this));
        }
        loop {
            match this.events.next().await? {
                Err(error) if may_be_absent && is_absent(&error) => {
                    if !std::mem::replace(&mut this.is_absent, true) {
                        info!("{what} is not defined in this cluster: looked for again now and then");
                    }
                    // What was told stays: had its definition gone, so had its objects before.
                    if !std::mem::replace(&mut this.is_known, true) {
                        this.ends = true;
                        return Some((Event::Init, this));
                    }
                    this.waits.rest().await;
                }
                Err(error) => this.waits.failed(what, &error).await,
                Ok(event) => {
                    // It begins to ask before anybody answers.
                    if !matches!(event, Event::Init) {
                        this.waits.answered(what);
                        (this.is_known, this.is_absent) = (true, false);
                    }
                    return Some((event, this));
                }
            }
        }
    })
}

/// Where [`patient`] is.
struct Patient<S> {
    events: Pin<Box<S>>,
    waits: Waits,
    is_known: bool,
    /// It was said that the kind is not defined.
    is_absent: bool,
    /// A list without objects was begun, and ends next.
    ends: bool,
}

/// Whether the API server does not know the kind.
fn is_absent(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchStartFailed};
    matches!(error, InitialListFailed(kube::Error::Api(status)) | WatchStartFailed(kube::Error::Api(status)) if status.code == 404)
}

/// How long it is waited between two questions that nobody answers.
#[derive(Default)]
pub(super) struct Waits {
    last: Option<Duration>,
}

impl Waits {
    pub async fn failed(&mut self, what: &str, error: &(dyn Display + Sync)) {
        if self.last.is_none() {
            warn!("what is known of {what} stays as it is, for the API server does not tell: {error}");
        }
        self.rest().await;
    }

    async fn rest(&mut self) {
        let wait = self.last.map_or(SOONEST, |last| LATEST.min(last * 2));
        self.last = Some(wait);
        tokio::time::sleep(spread(wait)).await;
    }

    pub fn answered(&mut self, what: &str) {
        if self.last.take().is_some() {
            info!("the API server tells of {what} again");
        }
    }
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
