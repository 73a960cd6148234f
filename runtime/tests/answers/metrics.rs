//! What Prometheus gets, and what the document says it gets.

use std::collections::BTreeSet;
use std::path::Path;

use crate::api::get;
use crate::memory::Served;

/// A metric as its head and its samples tell it.
#[derive(Debug, Default)]
struct Metric {
    /// As it is queried: with the suffix of its type.
    name: String,
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

fn metrics(text: &str) -> Vec<Metric> {
    let mut all: Vec<Metric> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("# ").map(|head| head.splitn(3, ' ').collect::<Vec<_>>()).as_deref() {
            Some(["HELP", name, help]) => {
                all.push(Metric { name: (*name).into(), help: (*help).into(), ..Metric::default() });
            }
            Some(["TYPE", name, kind]) => {
                let metric = all.last_mut().expect("its help comes first");
                assert_eq!(metric.name, *name);
                metric.kind = (*kind).into();
                metric.name += match *kind {
                    "counter" => "_total",
                    "info" => "_info",
                    _ => "",
                };
            }
            Some(["UNIT", ..] | ["EOF"]) => {}
            Some(other) => panic!("{other:?}"),
            None => sample(all.last_mut().expect("its head comes first"), line),
        }
    }
    all
}

/// Takes the names of the labels, and no sample of another metric.
fn sample(metric: &mut Metric, line: &str) {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    assert!(value.parse::<f64>().is_ok(), "{line}");
    let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap_or((series, ""));
    assert_eq!(name, metric.name, "{line}");
    let keys = labels.split(',').filter_map(|label| label.split_once('=')).map(|(key, _)| key.to_owned());
    metric.labels.extend(keys);
}

#[test]
fn the_document_lists_exactly_what_there_is() {
    let (_, text) = get(&Served::start(), "/metrics");
    let row = |metric: &Metric| {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "-".to_owned() } else { labels.join(", ") };
        format!("| `{}` | {} | {labels} | {} |", metric.name, metric.kind, metric.help)
    };
    let expected: Vec<_> = metrics(&text).iter().map(row).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let document = std::fs::read_to_string(path).expect("docs/metrics.md");
    let listed: Vec<_> = document.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(listed, expected, "docs/metrics.md has to list:\n{}", expected.join("\n"));
}

#[test]
fn numbers_are_those_of_the_other_routes() {
    let served = Served::start();
    let (status, text) = get(&served, "/metrics?format=any");
    assert_eq!(status, 200);
    for line in [
        "egret_build_info{version=\"0.1.0\"} 1",
        "egret_ready 1",
        "egret_start_time_seconds 1767268800",
        "egret_policies 2",
        "egret_policy_problems 0",
        "egret_workloads{namespace=\"edge\",coverage=\"covered\"} 0",
        "egret_workloads{namespace=\"edge\",coverage=\"not-covered\"} 1",
        "egret_workloads{namespace=\"payment\",coverage=\"covered\"} 1",
        "egret_names{namespace=\"payment\"} 4",
        "egret_first_packets_total{namespace=\"payment\",applied=\"deny\",observed=\"deny\"} 1",
        "egret_first_packets_total{namespace=\"updates\",applied=\"deny\",observed=\"deny\"} 0",
        "egret_first_packets_total{namespace=\"updates\",applied=\"allow\",observed=\"allow\"} 1",
        "egret_dns_answers_held_total 12",
        "egret_events_lost_total 0",
    ] {
        assert!(text.lines().any(|given| given == line), "{line} is not in:\n{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn names_follow_the_conventions_of_prometheus() {
    let (_, text) = get(&Served::start(), "/metrics");
    let mut seen = BTreeSet::new();
    for Metric { name, kind, help, labels } in metrics(&text) {
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(name.starts_with("egret_") && plain(&name) && !name.contains("__"), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        assert!(help.ends_with('.') && labels.iter().all(|label| plain(label)), "{name}: {help}");
        assert!(
            !labels.contains("workload") && !labels.contains("pod"),
            "{name} grows with what comes and goes"
        );
        assert!(seen.insert(name.clone()), "{name} is there twice");
    }
}
