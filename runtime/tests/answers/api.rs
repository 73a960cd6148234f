//! What the API answers, whatever is sent to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use egret::api::{ListenError, LoopbackAddr, Names, Policies, Server, Status, WorkloadRow};
use egret::model::FlowRecord;
use serde_json::Value;

use crate::memory::{Served, record};

const PATIENCE: Option<Duration> = Some(Duration::from_secs(10));

fn connect(served: &Served) -> UnixStream {
    let stream = UnixStream::connect(&served.socket).expect("the socket answers");
    stream.set_read_timeout(PATIENCE).expect("a limit");
    stream
}

/// What comes back for `bytes` until the other side closes or says no more.
fn exchange(served: &Served, bytes: &[u8]) -> String {
    let mut stream = connect(served);
    // The server may have refused before all was written.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

pub fn get(served: &Served, target: &str) -> (u16, String) {
    split(&exchange(
        served,
        format!("GET {target} HTTP/1.1\r\nhost: egret\r\nconnection: close\r\n\r\n").as_bytes(),
    ))
}

fn get_over_tcp(served: &Served, target: &str, host: &str) -> (u16, String) {
    get_at(served.address, target, host)
}

fn get_at(address: SocketAddr, target: &str, host: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the address answers");
    stream.set_read_timeout(PATIENCE).expect("a limit");
    write!(stream, "GET {target} HTTP/1.1\r\n{host}connection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    split(&answer)
}

fn split(answer: &str) -> (u16, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    if head.contains("transfer-encoding: chunked") {
        (status, unchunk(body))
    } else {
        (status, body.to_owned())
    }
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

fn records(body: &str) -> Vec<FlowRecord> {
    body.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
}

#[test]
fn every_route_answers_in_its_shape() {
    let served = Served::start();
    let (status, body) = get(&served, "/v1/status");
    let read: Status = serde_json::from_str(&body).expect("a status");
    assert_eq!((status, read.workloads.total), (200, 3));
    assert!(
        body.contains("\"notCovered\":[]") && body.contains("\"since\":\"2026-01-01T12:00:00Z\""),
        "{body}"
    );

    let (status, body) = get(&served, "/v1/workloads");
    let read: Vec<WorkloadRow> = serde_json::from_str(&body).expect("rows");
    assert_eq!((status, read.len()), (200, 2));
    assert!(body.contains("\"mode\":\"unmanaged\"") && body.contains("\"state\":\"not-covered\""), "{body}");

    let (status, body) = get(&served, "/v1/names?workload=payment%2Fapi&limit=1");
    let read: Names = serde_json::from_str(&body).expect("names");
    assert_eq!((status, read.names.len(), read.total), (200, 1, 2));
    assert!(body.contains("\"secondsLeft\":7"), "{body}");

    let (status, body) = get(&served, "/v1/policies");
    let read: Policies = serde_json::from_str(&body).expect("policies");
    assert_eq!((status, read.policies.len(), read.policies[0].workloads.len()), (200, 3, 5));
    assert_eq!((read.policies[2].id().to_string().as_str(), read.policies[2].ceiling), ("company", Some(1)));
    assert!(body.contains("\"kind\":\"ClusterEgressPolicy\",\"namespace\":null"), "{body}");
    assert!(body.contains("\"deniesByDefault\":true") && body.contains("\"line\":2"), "{body}");

    let (status, body) = get(&served, "/v1/explain?workload=payment/api&destination=%5B2001:db8::1%5D:443");
    let read: Value = serde_json::from_str(&body).expect("an explanation");
    assert_eq!((status, read["destination"].as_str()), (200, Some("[2001:db8::1]:443/TCP")));

    assert_eq!(get(&served, "/healthz").0, 200);
    assert_eq!(get(&served, "/readyz").0, 200);
    served.memory.well.store(false, Ordering::Relaxed);
    let (status, body) = get(&served, "/readyz");
    assert_eq!((status, body.as_str()), (503, r#"{"error":"not ready: 1 workload is being armed"}"#));
    assert_eq!(get(&served, "/healthz").0, 200, "an agent that is not ready is alive");
}

#[test]
fn flows_come_oldest_first_and_as_asked_for() {
    let served = Served::start();
    for (query, expected) in [
        ("", &["payment", "updates"][..]),
        ("?denied=true", &["payment"]),
        ("?denied=false&follow=false", &["payment", "updates"]),
        ("?wouldDeny=true", &["payment"]),
        ("?denied=true&wouldDeny=true", &["payment"]),
        ("?workload=updates/update", &["updates"]),
        ("?workload=updates%2Fupdate&denied=true", &[]),
    ] {
        let (status, body) = get(&served, &format!("/v1/flows{query}"));
        let found: Vec<_> = records(&body).into_iter().map(|record| record.workload.namespace).collect();
        assert_eq!(status, 200, "{query}");
        assert_eq!(found, expected, "{query}");
    }
}

#[test]
fn a_request_that_means_nothing_is_refused_with_what_to_ask() {
    let served = Served::start();
    for (target, expected, part) in [
        ("/", 404, "/v1/status"),
        ("/v1/flows/", 404, "/v1/flows"),
        ("/v2/status", 404, "nothing is at `/v2/status`"),
        ("/v1/status?verbose", 400, "`verbose` is not asked here"),
        ("/v1/names?denied=true", 400, "use workload=namespace/name, limit=NUMBER"),
        ("/v1/names?limit=-1", 400, "limit: "),
        ("/v1/names?limit=20001", 400, "between 1 and 20000"),
        ("/v1/names?workload=ghost/x", 404, "no workload `ghost/x`"),
        ("/v1/policies?mode=Enforce", 400, "leave the query out"),
        ("/v1/flows?denied=yes", 400, "denied: "),
        ("/v1/flows?denied", 400, "denied: "),
        ("/v1/flows?workload=payment", 400, "write it as namespace/name"),
        ("/v1/flows?limit=1", 400, "use follow=true, denied=true"),
        ("/v1/flows?%ff=%", 400, "is not asked here"),
        ("/v1/explain", 400, "`workload` is missing"),
        ("/v1/explain?workload=payment/api", 400, "`destination` is missing"),
        ("/v1/explain?workload=payment/api&destination=10.0.0.0/8", 400, "a range cannot be explained"),
        ("/v1/explain?workload=ghost/x&destination=a.example", 404, "no workload `ghost/x`"),
    ] {
        let (status, body) = get(&served, target);
        let error: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{target}: {body:?}"));
        assert!(error["error"].is_string(), "{target}: {body}");
        assert_eq!(status, expected, "{target}");
        assert!(body.contains(part), "{target}: {body}");
    }
}

#[test]
fn only_get_is_answered() {
    let served = Served::start();
    for method in ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"] {
        let request = format!("{method} /v1/status HTTP/1.1\r\nhost: egret\r\nconnection: close\r\n\r\n");
        let answer = exchange(&served, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 405"), "{method}: {answer}");
        assert!(answer.contains("allow: GET"), "{method}: {answer}");
    }
}

#[test]
fn what_is_not_http_is_cut_off_and_harms_nobody() {
    let served = Served::start();
    let long_path = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    let long_header = format!("GET /healthz HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(100_000));
    let many_headers = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(1_000));
    for garbage in [
        b"\0\x01\x02\xff\xfe\r\n\r\n".as_slice(),
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\nzzz",
        b"GET / HTTP/1.1\r\n: \r\n\r\n",
        long_path.as_bytes(),
        long_header.as_bytes(),
        many_headers.as_bytes(),
        b"",
    ] {
        let mut stream = connect(&served);
        let _ = stream.write_all(garbage);
        stream.shutdown(std::net::Shutdown::Write).ok();
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        let timed_out = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(
            !timed_out,
            "{:?} is not cut off",
            String::from_utf8_lossy(&garbage[..garbage.len().min(40)])
        );
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(get(&served, "/healthz").0, 200, "others are still answered");
}

#[test]
fn a_client_that_sends_half_a_head_or_nothing_is_let_go() {
    let served = Served::start();
    let whole = &b"GET /healthz HTTP/1.1\r\nhost: egret\r\n\r\n"[..];
    let let_go = |sent: &[u8]| {
        let mut stream = connect(&served);
        stream.write_all(sent).expect("sent");
        let ended = stream.read_to_end(&mut Vec::new());
        assert!(ended.is_ok(), "{:?} holds its connection", String::from_utf8_lossy(sent));
    };
    std::thread::scope(|scope| {
        for sent in [&whole[..20], b"", whole] {
            let let_go = &let_go;
            scope.spawn(move || let_go(sent));
        }
    });
}

#[test]
fn a_follower_is_told_what_was_what_comes_and_where_it_stands_after_falling_behind() {
    let mut served = Served::start();
    let mut stream = connect(&served);
    write!(stream, "GET /v1/flows?follow=true HTTP/1.0\r\nhost: egret\r\n\r\n").expect("sent");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let head: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    assert!(head.iter().any(|line| line == "content-type: application/x-ndjson"), "{head:?}");
    let mut next = || lines.next().map(|line| serde_json::from_str::<FlowRecord>(&line).expect("a record"));
    assert_eq!(next().expect("what was").workload.namespace, "payment");
    assert_eq!(next().expect("what was").workload.namespace, "updates");

    served.memory.happens(record("alerts", "alert", 3));
    assert_eq!(next().expect("what comes").workload.namespace, "alerts");

    // Far more at once than the channel holds: what was missed in the channel is read from the source.
    for minute in 4..40 {
        served.memory.happens(record("burst", &format!("pod-{minute}"), minute));
    }
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 36 {
        let record = next().expect("no record is lost");
        if record.workload.namespace == "burst" {
            seen.insert(record.workload.name);
        }
    }

    let begun = Instant::now();
    served.drain();
    while next().is_some() {}
    assert!(begun.elapsed() < Duration::from_secs(2), "the stream ends when the agent drains");
    assert!(!served.socket.exists(), "and its socket file goes away");
}

#[test]
fn tcp_answers_loopback_names_only() {
    let served = Served::start();
    for (target, host, expected) in [
        ("/healthz", "host: 127.0.0.1:9400\r\n", 200),
        ("/healthz", "host: localhost\r\n", 200),
        ("/healthz", "host: [::1]:9400\r\n", 200),
        ("/healthz", "host: evil.example:9400\r\n", 403),
        ("/healthz", "host: \r\n", 403),
        ("/healthz", "", 403),
        ("http://evil.example/healthz", "host: localhost\r\n", 403),
        ("http://localhost/healthz", "host: evil.example\r\n", 403),
        ("http://localhost/healthz", "host: localhost\r\n", 200),
    ] {
        let (status, body) = get_over_tcp(&served, target, host);
        assert_eq!(status, expected, "{target} {host}: {body}");
    }
    assert!("0.0.0.0:9400".parse::<LoopbackAddr>().is_err());
}

#[test]
fn connections_beyond_the_bound_wait_and_tcp_cannot_starve_the_socket() {
    let served = Served::start();
    let idle: Vec<_> =
        (0..64).map(|_| TcpStream::connect(served.address).expect("the kernel accepts")).collect();
    let mut late = TcpStream::connect(served.address).expect("the kernel accepts");
    write!(late, "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("sent");
    late.set_read_timeout(Some(Duration::from_millis(300))).expect("a limit");
    assert!(late.read(&mut [0; 64]).is_err(), "the 65th waits");
    assert_eq!(get(&served, "/healthz").0, 200, "the socket has a bound of its own");
    drop(idle);
    late.set_read_timeout(PATIENCE).expect("a limit");
    let mut answer = String::new();
    late.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn where_metrics_are_told_nothing_else_is() {
    let served = Served::start();
    for (target, expected) in [
        ("/metrics", 200),
        ("/healthz", 200),
        ("/readyz", 200),
        ("/v1/status", 404),
        ("/v1/flows", 404),
        ("/v1/workloads", 404),
        ("/", 404),
    ] {
        // By whatever name the node is called.
        let (status, body) = get_at(served.metrics, target, "host: worker-1.example:9401\r\n");
        assert_eq!(status, expected, "{target}: {body}");
        assert!(status == 200 || body.contains("/healthz, /readyz and /metrics"), "{body}");
    }
}

#[tokio::test]
async fn the_socket_is_for_root_alone_and_replaced_only_where_nobody_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("made/egret.sock");
    let mode = |path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;

    let first = Server::bind(&socket, None, None).await.expect("listens");
    assert_eq!((mode(&socket), mode(&folder.path().join("made"))), (0o600, 0o700));
    let second = Server::bind(&socket, None, None).await.expect_err("taken");
    assert!(matches!(second, ListenError::Taken(_)), "{second}");
    drop(first);
    assert!(!socket.exists(), "it goes away with its server");

    drop(UnixListener::bind(&socket).expect("a stale socket"));
    let third = Server::bind(&socket, None, None).await.expect("replaces what is stale");
    std::fs::remove_file(&socket).expect("removed");
    std::fs::write(&socket, "somebody's file").expect("written");
    drop(third);
    assert!(socket.exists(), "what is not ours stays");
    let fourth = Server::bind(&socket, None, None).await.expect_err("no socket");
    assert!(matches!(fourth, ListenError::NotASocket(_)), "{fourth}");
}
