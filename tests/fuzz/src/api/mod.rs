//! The HTTP API: whatever a client sends, each answer is whole and says in JSON what it is, and the connection ends.
//!
//! Input: a byte that says over which listener, then what the client sends.

use std::sync::Arc;
use std::time::Duration;

use egret::api::converse;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::timeout;

use answer::Answer;
use source::Fixed;

mod answer;
mod source;

/// More than the time for a request's head, twice over: by then a client that says nothing is gone.
const PATIENCE: Duration = Duration::from_secs(15);
/// More than a few requests can bring about; `metrics` is the longest answer.
const MOST_BYTES: usize = 1 << 20;

/// One connection, on a clock that jumps to where something happens.
pub fn run(data: &[u8]) {
    let Some((listener, sent)) = data.split_first() else { return };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    let received = runtime.block_on(exchange(sent, listener & 1 != 0));
    // What a HEAD brings looks like an answer and has no body.
    if !sent.windows(4).any(|word| word.eq_ignore_ascii_case(b"head")) {
        check(&received);
    }
}

async fn exchange(sent: &[u8], tcp: bool) -> Vec<u8> {
    let (mut client, server) = duplex(64 * 1024);
    let serve = tokio::spawn(converse(server, Arc::new(Fixed::new()), tcp));
    let mut received = Vec::new();
    let talk = async {
        let (mut from, mut to) = tokio::io::split(&mut client);
        let send = async {
            // A server that has hung up takes no more.
            let _ = to.write_all(sent).await;
        };
        tokio::join!(send, from.read_to_end(&mut received)).1.expect("a stream in memory");
    };
    timeout(PATIENCE, talk).await.expect("the server ends what does not go on");
    serve.await.expect("no handler panics");
    received
}

fn check(received: &[u8]) {
    assert!(received.len() < MOST_BYTES);
    let mut rest = received;
    while !rest.is_empty() {
        let (answer, after) =
            Answer::read(rest).unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(rest)));
        rest = after;
        match answer.kind {
            // The server's own refusal of what is no HTTP.
            None => assert!(answer.body.is_empty() && (400..600).contains(&answer.status), "{answer:?}"),
            Some("application/json") => {
                let body: Value = serde_json::from_slice(&answer.body).expect("a body of JSON");
                assert_eq!(answer.status == 200, body.get("error").is_none(), "{answer:?}");
            }
            Some("application/x-ndjson") => {
                for line in answer.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                    serde_json::from_slice::<Value>(line).expect("a line of JSON");
                }
            }
            Some(kind) => assert!(kind.starts_with("application/openmetrics-text"), "{answer:?}"),
        }
    }
}
