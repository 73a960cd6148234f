//! `/metrics`: what the other routes say, as numbers for Prometheus, in the text form of OpenMetrics 1.0.
//!
//! Labels name namespaces and never single workloads: the number of series must not grow with what comes and goes.
//! `docs/metrics.md` lists all of it; a test holds it to what is said here.

use std::collections::BTreeMap;
use std::fmt;

use egret_abi::Counter;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::flows::FirstPackets;
use crate::model::Coverage;

use super::{Source, Status, WorkloadRow};

/// The media type of [`text`].
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The counters that the agent keeps beside the kernel's: their names in status, and what they count.
pub const AGENT_COUNTERS: [(&str, &str); 21] = [
    (
        "bindings_crowded",
        "Bindings of a name to an address that found no room; what only they allow stays denied.",
    ),
    (
        "bindings_over_quota",
        "Addresses no longer bound because their workload, or one wildcard, has too many; they are denied.",
    ),
    ("flow_records_evicted", "Flow records that went because the log was full."),
    (
        "dns_answers_malformed",
        "DNS answers that taught nothing: they cannot be read, or are not of the kind that teaches.",
    ),
    (
        "dns_answers_stray",
        "TCP segments, messages and fragments from trusted resolvers that belong to no question a workload asked.",
    ),
    (
        "dns_answers_contradictory",
        "DNS connections and fragmented answers that taught nothing more, for they contradict themselves.",
    ),
    (
        "dns_answers_over_memory",
        "Parts of DNS answers that taught nothing, for more waits than is remembered.",
    ),
    ("probes_unseen", "Probes of workloads that a hook did not see, or that could not be sent."),
    ("flows_armed", "Flows that were there before their workload was covered, and go on."),
    (
        "flows_not_armed",
        "Flows that were there before their workload was covered, and were left out for the lack of room.",
    ),
    ("sockets_ended", "Sockets ended because a change of policy denied their connection."),
    ("pod_starts_held", "Pods whose start the CNI plugin held, and that were let go or told why not."),
    (
        "pod_starts_unheld",
        "Pods that were found running: nothing held them until their policies were in force.",
    ),
    ("module_decisions", "Packets on hold that policy modules were asked about."),
    (
        "module_decisions_by_name",
        "Packets on hold that were decided by what modules had said of the same names.",
    ),
    ("module_faults", "Policy modules that did not decide; their failure policy counted."),
    ("holds_timed_out", "Packets on hold that nobody was asked about in time; the failure policy counted."),
    ("dns_answers_told", "DNS answers that policy modules were told of."),
    (
        "dns_answers_untold",
        "DNS answers that policy modules were not told of, for too many of the workload waited.",
    ),
    ("dns_answers_refused", "DNS answers refused, for a policy module was against their domain."),
    ("dns_answer_faults", "Policy modules that said nothing of a DNS answer, for they failed; it went on."),
];

/// All metrics of `source`, now.
pub(super) fn text(source: &dyn Source) -> String {
    let mut registry = Registry::with_prefix("egret");
    registry.register_collector(Box::new(Numbers {
        status: source.status(),
        namespaces: by_namespace(&source.workloads()),
        first_packets: source.first_packets(),
    }));
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &registry);
    text
}

/// All numbers of one scrape.
#[derive(Debug)]
struct Numbers {
    status: Status,
    namespaces: BTreeMap<String, OfNamespace>,
    first_packets: Vec<FirstPackets>,
}

#[derive(Debug, Default)]
struct OfNamespace {
    covered: u64,
    sockets: u64,
    not_covered: u64,
    names: u64,
}

fn by_namespace(rows: &[WorkloadRow]) -> BTreeMap<String, OfNamespace> {
    let mut namespaces: BTreeMap<String, OfNamespace> = BTreeMap::new();
    for row in rows {
        let of_namespace = namespaces.entry(row.namespace.clone()).or_default();
        match row.coverage {
            Coverage::Covered => of_namespace.covered += 1,
            Coverage::Sockets { .. } => of_namespace.sockets += 1,
            Coverage::NotCovered { .. } => of_namespace.not_covered += 1,
        }
        of_namespace.names += row.names;
    }
    namespaces
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.agent(&mut encoder)?;
        self.policies(&mut encoder)?;
        self.workloads(&mut encoder)?;
        self.first_packets(&mut encoder)?;
        self.counters(&mut encoder)
    }
}

impl Numbers {
    fn agent(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let build = Info::new([("version", self.status.version.clone())]);
        let help = "The version of the agent.";
        build.encode(encoder.encode_descriptor("build", help, None, MetricType::Info)?)?;
        let help = "1 once every covered workload has its rules in force.";
        gauge(encoder, "ready", help, self.status.ready.into())?;
        let since = ConstGauge::new(self.status.since.as_second());
        let help = "When the agent started, in seconds since 1970.";
        since.encode(encoder.encode_descriptor(
            "start_time",
            help,
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?)
    }

    fn policies(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let policies = &self.status.policies;
        gauge(encoder, "policies", "Policies in force.", policies.accepted)?;
        let problems = policies.problems.len() as u64;
        gauge(encoder, "policy_problems", "Problems of policy files: what was refused.", problems)
    }

    fn workloads(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Workloads of this node; what one that is not covered sends may pass unfiltered.";
        let mut family = encoder.encode_descriptor("workloads", help, None, MetricType::Gauge)?;
        for (namespace, OfNamespace { covered, sockets, not_covered, .. }) in &self.namespaces {
            for (coverage, count) in
                [("covered", covered), ("sockets", sockets), ("not-covered", not_covered)]
            {
                let labels = [("namespace", namespace.as_str()), ("coverage", coverage)];
                ConstGauge::new(*count).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Live pairs of a name and an address that workloads looked up.";
        let mut family = encoder.encode_descriptor("names", help, None, MetricType::Gauge)?;
        for (namespace, OfNamespace { names, .. }) in &self.namespaces {
            let labels = [("namespace", namespace.as_str())];
            ConstGauge::new(*names).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn first_packets(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "First packets told by the kernel: by what happened (applied), and by what would have happened with \
                    every policy in mode Enforce (observed).";
        let mut family = encoder.encode_descriptor("first_packets", help, None, MetricType::Counter)?;
        for FirstPackets { namespace, applied, observed, count } in &self.first_packets {
            let labels = [
                ("namespace", namespace.clone()),
                ("applied", applied.to_string()),
                ("observed", observed.to_string()),
            ];
            ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counters(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let of_kernel = Counter::ALL.iter().map(|counter| (counter.word(), counter.meaning()));
        for (word, meaning) in of_kernel.chain(AGENT_COUNTERS) {
            let count = self.status.counters.get(word).copied().unwrap_or(0);
            let metric = encoder.encode_descriptor(word, meaning, None, MetricType::Counter)?;
            ConstCounter::new(count).encode(metric)?;
        }
        Ok(())
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}
