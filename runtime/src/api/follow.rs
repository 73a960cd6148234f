//! The body of `/v1/flows`: JSON lines, of what is there and, where asked for, of what comes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::stream;
use jiff::Timestamp;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::watch;

use crate::model::FlowRecord;

use super::query::FlowQuery;
use super::serve::until;
use super::{FlowFilter, Source};

/// The records of one request, pulled as fast as its client reads. Memory is bounded by the source: a client that
/// falls behind misses steps in between, and is then told where each record stands.
struct Lines {
    source: Arc<dyn Source>,
    filter: FlowFilter,
    waiting: VecDeque<FlowRecord>,
    coming: Option<Receiver<FlowRecord>>,
    /// The latest record received or sent.
    latest: Timestamp,
    draining: watch::Receiver<bool>,
}

/// What is there, oldest first; with `follow` also each record that comes or changes, until the agent drains.
pub(super) fn lines(source: Arc<dyn Source>, query: FlowQuery, draining: watch::Receiver<bool>) -> Body {
    // Before the records are read, so that none falls between.
    let coming = query.follow.then(|| source.follow());
    let mut lines = Lines {
        source,
        filter: query.filter,
        waiting: VecDeque::new(),
        coming,
        latest: Timestamp::MIN,
        draining,
    };
    lines.read_again();
    Body::from_stream(stream::unfold(lines, |mut lines| async {
        lines.next().await.map(|record| (Ok::<_, Infallible>(line(&record)), lines))
    }))
}

impl Lines {
    async fn next(&mut self) -> Option<FlowRecord> {
        loop {
            if let Some(record) = self.waiting.pop_front() {
                return Some(record);
            }
            let coming = self.coming.as_mut()?;
            let received = tokio::select! {
                biased;
                () = until(&mut self.draining) => return None,
                received = coming.recv() => received,
            };
            match received {
                Ok(record) => {
                    self.latest = self.latest.max(record.time);
                    if self.filter.admits(&record) {
                        return Some(record);
                    }
                }
                Err(RecvError::Lagged(_)) => self.read_again(),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Takes what changed since the latest record known.
    fn read_again(&mut self) {
        let mut records = self.source.flows(&self.filter);
        records.retain(|record| record.time >= self.latest && self.filter.admits(record));
        records.sort_by_key(|record| record.time);
        if let Some(last) = records.last() {
            self.latest = last.time;
        }
        self.waiting = records.into();
    }
}

fn line(record: &FlowRecord) -> Bytes {
    // A record is numbers, words and names: it always has a JSON form.
    let mut line = serde_json::to_vec(record).unwrap_or_default();
    line.push(b'\n');
    line.into()
}
