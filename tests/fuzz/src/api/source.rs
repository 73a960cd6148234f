//! An agent that knows one workload, one flow and one policy, and explains by that policy.

use std::net::IpAddr;
use std::sync::LazyLock;

use egret::api::{
    ApiPlaces, Dest, ExplainError, FlowFilter, NameRow, Names, NotReady, Policies, PolicyRow, PolicyStatus,
    Source, Status, UnknownWorkload, WorkloadRow, WorkloadTotals,
};
use egret::flows::FirstPackets;
use egret::model::{
    Action, Destination, FlowRecord, Kind, Name, Policy, Protocol, Reason, Verdict, WorkloadId, WorkloadRef,
};
use egret::policy::{explain, parse};
use serde_json::Value;
use tokio::sync::broadcast;

const POLICY: &str = "
apiVersion: egret.dev/v1alpha1
kind: EgressPolicy
metadata: {name: egress, namespace: shop}
spec:
  podSelector: {}
  mode: Enforce
  scope: internet
  allow:
  - to: [{fqdn: '*.example.com'}]
    ports: [{protocol: TCP, port: 443}]
  deny:
  - to: [{cidr: 169.254.0.0/16}]
";

static POLICIES: LazyLock<Vec<Policy>> = LazyLock::new(|| parse("shop.yaml", POLICY).expect("a good policy"));

/// What it knows never changes.
pub struct Fixed {
    record: FlowRecord,
}

impl Fixed {
    pub fn new() -> Self {
        let verdict = Verdict { rule: Some("allow[0]".into()), ..Verdict::of(Action::Allow, Reason::Rule) };
        let record = FlowRecord {
            time: jiff::Timestamp::UNIX_EPOCH,
            workload: WorkloadRef { namespace: "shop".into(), name: "api".into(), ..WorkloadRef::default() },
            destination: Destination {
                names: vec![name()],
                name: Some(name()),
                address: address(),
                port: 443,
                protocol: Protocol::TCP,
            },
            observed: verdict.clone(),
            applied: verdict,
            packets: 1,
            bytes: 60,
            count: 1,
        };
        Self { record }
    }

    fn know(&self, workload: &WorkloadId) -> Result<(), UnknownWorkload> {
        let known = workload.namespace == "shop" && workload.name == "api";
        if known { Ok(()) } else { Err(UnknownWorkload(workload.clone())) }
    }
}

fn name() -> Name {
    Name::parse("api.example.com").expect("a name")
}

fn address() -> IpAddr {
    IpAddr::from([192, 0, 2, 1])
}

impl Source for Fixed {
    fn status(&self) -> Status {
        Status {
            version: "0".into(),
            node: "node".into(),
            kernel: "6.6".into(),
            ready: true,
            since: jiff::Timestamp::UNIX_EPOCH,
            tier: 1,
            door: egret::kernel::Door::Host,
            policies: PolicyStatus { accepted: 1, problems: vec![] },
            workloads: WorkloadTotals { total: 0, covered: 0, sockets: vec![], not_covered: vec![] },
            counters: [("events_lost".to_owned(), 0)].into(),
            resolvers: vec![address()],
            api: ApiPlaces { socket: "/run/egret.sock".into(), address: None, metrics: None },
        }
    }

    fn workloads(&self) -> Vec<WorkloadRow> {
        Vec::new()
    }

    fn names(&self, workload: Option<&WorkloadId>, most: usize) -> Result<Names, UnknownWorkload> {
        workload.map_or(Ok(()), |workload| self.know(workload))?;
        let workload = WorkloadId { namespace: "shop".into(), name: "api".into() };
        let row = NameRow { workload, name: name(), address: address(), seconds_left: 60 };
        Ok(Names { names: [row].into_iter().take(most).collect(), total: 1 })
    }

    fn policies(&self) -> Policies {
        Policies { policies: vec![PolicyRow::new(&POLICIES[0], Vec::new())], problems: vec![] }
    }

    fn first_packets(&self) -> Vec<FirstPackets> {
        Vec::new()
    }

    fn flows(&self, filter: &FlowFilter) -> Vec<FlowRecord> {
        [&self.record].into_iter().filter(|record| filter.admits(record)).cloned().collect()
    }

    /// Ends at once: nothing comes.
    fn follow(&self) -> broadcast::Receiver<FlowRecord> {
        broadcast::channel(1).1
    }

    fn explain(&self, workload: &WorkloadId, destination: &Dest) -> Result<Value, ExplainError> {
        self.know(workload)?;
        let policies: Vec<_> = POLICIES.iter().collect();
        let explained = explain(&policies, &destination.attempt(), Kind::Internet);
        Ok(serde_json::to_value(explained).expect("an explanation is words"))
    }

    fn ready(&self) -> Result<(), NotReady> {
        Ok(())
    }
}
