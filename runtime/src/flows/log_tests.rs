#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::*;
use crate::model::{Labels, Reason, Verdict};

fn log(capacity: usize) -> FlowLog {
    FlowLog::new(NonZeroUsize::new(capacity).unwrap())
}

/// A first packet of `workload` (`namespace/name`) at `second` to `name` and port, with both verdicts' actions.
fn seen(second: i64, workload: &str, name: &str, port: u16, applied: Action, observed: Action) -> Seen {
    let id: WorkloadId = workload.parse().unwrap();
    let name = Name::parse(name).unwrap();
    Seen {
        time: Timestamp::from_second(second).unwrap(),
        workload: Arc::new(WorkloadRef { namespace: id.namespace, name: id.name, labels: Labels::new() }),
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
    let records = log.list(&Filter::default());
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
    assert_eq!(log.list(&Filter::default())[0].destination.names, one.destination.names[..MAX_NAMES]);
}

#[test]
fn a_full_log_loses_the_record_that_was_least_recently_added_to_and_counts_it() {
    let log = log(2);
    let [a, b, c] = ["a.example", "b.example", "c.example"].map(|n| seen(1, "n/w", n, 443, Allow, Allow));
    let first = log.record(a.clone());
    let second = log.record(b);
    log.record(a);
    log.record(c);
    let names: Vec<String> = log
        .list(&Filter::default())
        .iter()
        .map(|r| r.destination.name.as_ref().unwrap().to_string())
        .collect();
    assert_eq!((names.len(), log.evicted()), (2, 1));
    assert!(!names.contains(&"b.example".to_owned()));
    assert!(log.add_traffic(&first, 1, 1) && !log.add_traffic(&second, 1, 1));
}

#[test]
fn a_filter_keeps_what_it_says() {
    let log = log(100);
    for (port, applied, observed) in [(1, Allow, Allow), (2, Allow, Deny), (3, Deny, Deny), (4, Deny, Allow)]
    {
        log.record(seen(1, "a/b", "x.example", port, applied, observed));
        log.record(seen(1, "a/c", "x.example", port + 10, applied, observed));
    }
    let of_b = || Some("a/b".parse().unwrap());
    for (workload, denied, would_be_denied, expected) in [
        (None, false, false, &[1, 2, 3, 4, 11, 12, 13, 14][..]),
        (of_b(), false, false, &[1, 2, 3, 4]),
        (of_b(), true, false, &[3, 4]),
        (of_b(), false, true, &[2, 3]),
        (of_b(), true, true, &[2, 3, 4]),
        (Some("a/x".parse().unwrap()), false, false, &[]),
    ] {
        let filter = Filter { workload, denied, would_be_denied };
        let mut ports: Vec<u16> = log.list(&filter).iter().map(|record| record.destination.port).collect();
        ports.sort_unstable();
        assert_eq!(ports, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_follower_gets_each_first_packet_that_it_wants() {
    let log = log(100);
    log.record(seen(1, "a/b", "before.example", 443, Deny, Deny));
    let mut follow = log.follow(Filter { denied: true, ..Filter::default() });
    for (name, applied) in [("x.example", Deny), ("y.example", Allow), ("x.example", Deny)] {
        log.record(seen(2, "a/b", name, 443, applied, Deny));
    }
    drop(log);
    for _ in 0..2 {
        let Some(Followed::Record(record)) = follow.next().await else { panic!("a record") };
        assert_eq!(told(&[FlowRecord::clone(&record)]), ["a/b x.example:443 count 1 packets 1 bytes 60"]);
    }
    assert_eq!(follow.next().await, None);
}

#[tokio::test]
async fn a_slow_follower_holds_nobody_up_and_is_told_what_it_missed() {
    let log = log(100);
    let mut follow = log.follow(Filter { workload: Some("a/b".parse().unwrap()), ..Filter::default() });
    let total = FOLLOW_BUFFER as u64 * 3;
    for _ in 0..total {
        log.record(seen(1, "a/b", "x.example", 443, Allow, Allow));
    }
    assert_eq!(log.list(&Filter::default())[0].count, total);
    drop(log);
    let Some(Followed::Missed(missed)) = follow.next().await else { panic!("what was missed") };
    let got = follow.filter(|next| matches!(next, Followed::Record(_))).fold(0, |count, _| count + 1).await;
    assert_eq!(missed + got, total);
    assert!(missed > 0 && got > 0);
}
