use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::*;
use crate::model::{Action, Reason, Verdict};

fn log(capacity: usize) -> FlowLog {
    FlowLog::new(NonZeroUsize::new(capacity).unwrap())
}

/// A first packet of `workload` (`namespace/name`) at `second` to `name` and port, with both verdicts' actions.
fn seen(second: i64, workload: &str, name: &str, port: u16, applied: Action, observed: Action) -> Seen {
    let id: WorkloadId = workload.parse().unwrap();
    let name = Name::parse(name).unwrap();
    Seen {
        time: Timestamp::from_second(second).unwrap(),
        workload: Arc::new(WorkloadRef { namespace: id.namespace, name: id.name, ..WorkloadRef::default() }),
        destination: Destination {
            name: Some(name.clone()),
            names: vec![name],
            address: "192.0.2.1".parse().unwrap(),
            port,
            protocol: Protocol::TCP,
        },
        verdicts: Verdicts {
            applied: Verdict::of(applied, Reason::Rule),
            observed: Verdict::of(observed, Reason::Rule),
        },
        packets: 1,
        bytes: 60,
    }
}

use Action::{Allow, Deny};

fn told(records: &[FlowRecord]) -> Vec<String> {
    let line = |r: &FlowRecord| {
        let name = r.destination.name.as_ref().unwrap();
        format!(
            "{} {name}:{} count {} packets {} bytes {}",
            r.workload.id(),
            r.destination.port,
            r.count,
            r.packets,
            r.bytes
        )
    };
    records.iter().map(line).collect()
}

#[test]
fn first_packets_alike_are_one_record_and_every_part_of_the_key_makes_another() {
    let log = log(100);
    let first = seen(1, "a/b", "x.example", 443, Allow, Allow);
    let key = log.record(first.clone());
    assert_eq!(log.record(Seen { time: Timestamp::from_second(9).unwrap(), ..first.clone() }), key);
    assert!(log.add_traffic(&key, 10, 1000));

    let mut others = vec![
        seen(2, "a/c", "x.example", 443, Allow, Allow),
        seen(3, "a/b", "y.example", 443, Allow, Allow),
        seen(4, "a/b", "x.example", 80, Allow, Allow),
        seen(5, "a/b", "x.example", 443, Deny, Allow),
        seen(6, "a/b", "x.example", 443, Allow, Deny),
        first.clone(),
        first.clone(),
        first.clone(),
    ];
    others[5].destination.address = "192.0.2.2".parse().unwrap();
    others[6].destination.protocol = Protocol::UDP;
    others[7].verdicts.applied.rule = Some("other".into());
    for other in &others {
        assert_ne!(log.record(other.clone()), key);
    }
    let records = log.list(|_| true);
    assert_eq!(records.len(), 1 + others.len());
    let newest = records.last().unwrap();
    assert_eq!(told(std::slice::from_ref(newest)), ["a/b x.example:443 count 2 packets 12 bytes 1120"]);
    assert_eq!(newest.time, Timestamp::from_second(9).unwrap());
    assert!(records.is_sorted_by_key(|record| record.time));
}

#[test]
fn the_latest_names_of_a_destination_are_told_and_their_number_is_bounded() {
    let log = log(100);
    let mut one = seen(1, "a/b", "x.example", 443, Allow, Allow);
    log.record(one.clone());
    one.destination.names = (0..50).map(|n| Name::parse(&format!("n{n}.example")).unwrap()).collect();
    log.record(one.clone());
    assert_eq!(log.list(|_| true)[0].destination.names, one.destination.names[..MAX_NAMES]);
}

#[test]
fn a_full_log_loses_the_record_that_was_least_recently_added_to_and_counts_it() {
    let log = log(2);
    let [a, b, c] = ["a.example", "b.example", "c.example"].map(|n| seen(1, "n/w", n, 443, Allow, Allow));
    let first = log.record(a.clone());
    let second = log.record(b);
    log.record(a);
    log.record(c);
    let names: Vec<String> =
        log.list(|_| true).iter().map(|r| r.destination.name.as_ref().unwrap().to_string()).collect();
    assert_eq!((names.len(), log.evicted()), (2, 1));
    assert!(!names.contains(&"b.example".to_owned()));
    assert!(log.add_traffic(&first, 1, 1) && !log.add_traffic(&second, 1, 1));
}

#[test]
fn only_what_is_wanted_is_listed_the_newest_last_also_within_one_instant() {
    let log = log(100);
    for (second, port) in [(2, 1), (1, 2), (2, 3), (3, 4), (2, 1)] {
        log.record(seen(second, "a/b", "x.example", port, Allow, Allow));
    }
    let ports = |wanted: fn(&FlowRecord) -> bool| -> Vec<u16> {
        log.list(wanted).iter().map(|record| record.destination.port).collect()
    };
    assert_eq!(ports(|_| true), [2, 3, 1, 4]);
    assert_eq!(ports(|record| record.count == 2), [1]);
    assert!(ports(|_| false).is_empty());
}

#[test]
fn records_are_counted_by_workload_as_they_come_and_go() {
    let log = log(3);
    let [b, c] = ["a/b", "a/c"].map(|id| id.parse::<WorkloadId>().unwrap());
    let counts = || (log.count_of(&b), log.count_of(&c));
    assert_eq!(counts(), (0, 0));
    for (workload, port, expected) in
        [("a/b", 1, (1, 0)), ("a/b", 1, (1, 0)), ("a/b", 2, (2, 0)), ("a/c", 1, (2, 1)), ("a/c", 2, (1, 2))]
    {
        log.record(seen(1, workload, "x.example", port, Allow, Allow));
        assert_eq!(counts(), expected, "after {workload} {port}");
    }
    log.record(seen(1, "a/c", "x.example", 3, Allow, Allow));
    assert_eq!(counts(), (0, 3));
    assert!(!log.lock().counts.contains_key(&b), "a workload that has gone leaves nothing behind");
}

#[test]
fn a_follower_gets_each_record_that_is_added_to_with_its_totals_so_far() {
    let log = log(100);
    let first = seen(1, "a/b", "x.example", 443, Deny, Deny);
    let key = log.record(first.clone());
    let mut follow = log.follow();
    log.record(first.clone());
    log.add_traffic(&key, 3, 300);
    log.record(seen(2, "a/b", "y.example", 443, Allow, Allow));
    log.record(first);
    drop(log);
    let mut got = Vec::new();
    let end = loop {
        match follow.try_recv() {
            Ok(record) => got.push(record),
            Err(end) => break end,
        }
    };
    assert_eq!(
        told(&got),
        [
            "a/b x.example:443 count 2 packets 2 bytes 120",
            "a/b y.example:443 count 1 packets 1 bytes 60",
            "a/b x.example:443 count 3 packets 6 bytes 480",
        ]
    );
    assert_eq!(end, TryRecvError::Closed);
}

#[tokio::test]
async fn a_slow_follower_holds_nobody_up_and_is_told_what_it_missed() {
    let log = log(100);
    let mut follow = log.follow();
    let total = FOLLOW_BUFFER as u64 * 3;
    for _ in 0..total {
        log.record(seen(1, "a/b", "x.example", 443, Allow, Allow));
    }
    assert_eq!(log.list(|_| true)[0].count, total);
    let missed = total - FOLLOW_BUFFER as u64;
    assert_eq!(follow.recv().await, Err(RecvError::Lagged(missed)));
    assert_eq!(follow.recv().await.unwrap().count, missed + 1);
}
