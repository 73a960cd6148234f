//! An agent that knows a few workloads and flows, and its API on sockets in a folder of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use egret::api::{
    ApiPlaces, Dest, EffectiveMode, ExplainError, FlowFilter, NameRow, Names, NotCovered, NotReady, Policies,
    PolicyProblem, PolicyRow, PolicyStatus, Server, Source, Status, UnknownWorkload, WorkloadRow,
    WorkloadTotals,
};
use egret::flows::{DEFAULT_NAMESPACES, FirstPackets, Totals};
use egret::model::{
    Action, Coverage, Destination, FlowRecord, Name, Protocol, Reason, Verdict, Verdicts, WorkloadId,
    WorkloadRef,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{broadcast, oneshot};

pub struct Memory {
    records: Mutex<Vec<FlowRecord>>,
    news: broadcast::Sender<FlowRecord>,
    pub well: AtomicBool,
}

impl Memory {
    pub fn new() -> Arc<Self> {
        let records = vec![record("updates", "update", 2), record("payment", "api", 1)];
        Arc::new(Self {
            records: Mutex::new(records),
            news: broadcast::channel(4).0,
            well: AtomicBool::new(true),
        })
    }

    pub fn happens(&self, record: FlowRecord) {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
        let _ = self.news.send(record);
    }
}

/// A record of `minute` past noon: `payment` is denied the name it dialled, all others are allowed an address.
pub fn record(namespace: &str, name: &str, minute: i64) -> FlowRecord {
    let denied = namespace == "payment";
    let (action, reason) =
        if denied { (Action::Deny, Reason::DefaultDeny) } else { (Action::Allow, Reason::Rule) };
    let policy = Some(format!("{namespace}/egress"));
    let rule = (!denied).then(|| "git-over-ssh".to_owned());
    let applied = Verdict { policy, rule, ..Verdict::of(action, reason) };
    let dialled = denied.then(|| Name::parse("github.com").expect("a name"));
    FlowRecord {
        time: jiff::Timestamp::from_second(1_767_268_800 + minute * 60).expect("a time"),
        workload: WorkloadRef {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            labels: [("app".to_owned(), name.to_owned())].into(),
            service_account: denied.then(|| "default".to_owned()),
            node: "node-1".to_owned(),
        },
        destination: Destination {
            names: dialled.iter().cloned().collect(),
            name: dialled,
            address: if denied { "192.0.2.1" } else { "2001:db8::1" }.parse().expect("an address"),
            port: if denied { 443 } else { 22 },
            protocol: Protocol::TCP,
        },
        observed: applied.clone(),
        applied,
        packets: 12_345,
        bytes: 2_000_000,
        count: 3,
    }
}

/// A refused policy file.
fn problem() -> PolicyProblem {
    PolicyProblem {
        path: None,
        file: "policies/payment.yaml".into(),
        line: 7,
        column: 5,
        reason: "unknown field `alow`".into(),
        fix: Some("write `allow`".into()),
    }
}

/// An address that `pod` of a namespace has by a name.
fn name_row(pod: &str, name: &str, address: &str, seconds_left: u64) -> NameRow {
    NameRow {
        workload: pod.parse().expect("namespace/name"),
        name: Name::parse(name).expect("a name"),
        address: address.parse().expect("an address"),
        seconds_left,
    }
}

const POLICIES: &str = "
apiVersion: egret.dev/v1alpha1
kind: EgressPolicy
metadata: {name: egress, namespace: payment}
spec: {podSelector: {}, mode: Enforce, scope: internet, default: Deny}
---
apiVersion: egret.dev/v1alpha1
kind: EgressPolicy
metadata: {name: no-metadata, namespace: shop}
spec: {podSelector: {}, mode: Observe, scope: all, deny: [{to: [{cidr: 169.254.169.254/32}]}]}
---
apiVersion: egret.dev/v1alpha1
kind: ClusterEgressPolicy
metadata: {name: company}
spec: {namespaceSelector: {}, podSelector: {}, mode: Enforce, scope: internet, ceiling: [{to: [{fqdn: '**.example.com'}]}]}
";

impl Source for Memory {
    fn status(&self) -> Status {
        let well = self.well.load(Ordering::Relaxed);
        let not_covered = NotCovered {
            namespace: "edge".into(),
            name: "proxy".into(),
            reason: "its interface is a macvlan, which has no host side; use a veth".into(),
        };
        Status {
            version: "0.1.0".into(),
            node: "node-1".into(),
            kernel: "6.12.1".into(),
            ready: well,
            since: jiff::Timestamp::from_second(1_767_268_800).expect("a time"),
            tier: 1,
            door: egret::kernel::Door::Host,
            policies: PolicyStatus { accepted: 2, problems: if well { vec![] } else { vec![problem()] } },
            workloads: WorkloadTotals {
                total: 3,
                covered: if well { 3 } else { 2 },
                sockets: vec![],
                not_covered: if well { vec![] } else { vec![not_covered] },
            },
            counters: [("dns_answers_held".to_owned(), 12), ("events_lost".to_owned(), 0)].into(),
            resolvers: vec!["10.96.0.10".parse().expect("an address")],
            api: ApiPlaces { socket: "/run/egret/egret.sock".into(), address: None, metrics: None },
        }
    }

    fn workloads(&self) -> Vec<WorkloadRow> {
        let row = |namespace: &str, mode, coverage| WorkloadRow {
            namespace: namespace.into(),
            name: "api".into(),
            labels: [("app".to_owned(), "api".to_owned())].into(),
            service_account: Some("default".into()),
            mode,
            coverage,
            addresses: vec!["10.0.0.7".parse().expect("an address")],
            resolvers: vec![],
            interface: Some("veth7".into()),
            policies: vec![format!("{namespace}/egress")],
            names: 4,
            flows: 12_345,
        };
        let not = Coverage::NotCovered { reason: "a macvlan".into() };
        vec![
            row("payment", EffectiveMode::Enforce, Coverage::Covered),
            row("edge", EffectiveMode::Unmanaged, not),
        ]
    }

    fn names(&self, workload: Option<&WorkloadId>, most: usize) -> Result<Names, UnknownWorkload> {
        let mut names = vec![
            name_row("payment/api", "db.example.com", "2001:db8::7", 7),
            name_row("payment/api", "db.example.com", "192.0.2.7", 3661),
            name_row("updates/update", "github.com", "192.0.2.1", 60),
        ];
        if let Some(asked) = workload {
            names.retain(|row| row.workload == *asked);
            if asked.namespace == "ghost" {
                return Err(UnknownWorkload(asked.clone()));
            }
        }
        let total = names.len() as u64;
        names.truncate(most);
        Ok(Names { names, total })
    }

    fn policies(&self) -> Policies {
        let policies = egret::policy::parse("policies/all.yaml", POLICIES).expect("good");
        let of_payment = || (0..5).map(|number| format!("payment/api-{number}")).collect();
        Policies {
            policies: vec![
                PolicyRow::new(&policies[0], of_payment()),
                PolicyRow::new(&policies[1], Vec::new()),
                PolicyRow::new(&policies[2], of_payment()),
            ],
            problems: if self.well.load(Ordering::Relaxed) { vec![] } else { vec![problem()] },
        }
    }

    fn first_packets(&self) -> Vec<FirstPackets> {
        let totals = Totals::new(DEFAULT_NAMESPACES);
        for record in self.flows(&FlowFilter::default()) {
            let verdicts = Verdicts { applied: record.applied, observed: record.observed };
            totals.add(&record.workload.namespace, &verdicts);
        }
        totals.list()
    }

    fn flows(&self, filter: &FlowFilter) -> Vec<FlowRecord> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().filter(|record| filter.admits(record)).cloned().collect()
    }

    fn follow(&self) -> broadcast::Receiver<FlowRecord> {
        self.news.subscribe()
    }

    fn explain(&self, workload: &WorkloadId, destination: &Dest) -> Result<Value, ExplainError> {
        if workload.namespace != "payment" {
            return Err(UnknownWorkload(workload.clone()).into());
        }
        let origin = |line| json!({"file": "policies/payment.yaml", "line": line, "column": 3});
        let step = |stage, text, applied, observed, origin| {
            json!({"stage": stage, "finding": "match", "text": text, "decidesApplied": applied,
                "decidesObserved": observed, "policy": null, "rule": null, "origin": origin})
        };
        Ok(json!({
            "destination": destination.to_string(),
            "applied": Verdict::of(Action::Allow, Reason::NotEnforced),
            "observed": Verdict::of(Action::Deny, Reason::DefaultDeny),
            "steps": [
                step("policies", "policy payment/egress selects the workload", false, false, origin(3)),
                step("policies", "policy payment/extra selects the workload", false, false, origin(30)),
                step("deny", "there are no deny rules", false, false, Value::Null),
                step("default", "policy payment/egress denies the internet", false, true, origin(3)),
                step("default", "no policy in mode Enforce denies it", true, false, Value::Null),
            ],
        }))
    }

    fn ready(&self) -> Result<(), NotReady> {
        let well = self.well.load(Ordering::Relaxed);
        if well { Ok(()) } else { Err(NotReady("1 workload is being armed".into())) }
    }
}

/// The API of a [`Memory`], answering on its own threads until it is dropped or drained.
pub struct Served {
    pub memory: Arc<Memory>,
    pub socket: PathBuf,
    pub address: SocketAddr,
    pub metrics: SocketAddr,
    drain: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    _folder: TempDir,
}

impl Served {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("run/egret.sock");
        let (drain, drained) = oneshot::channel();
        let (bound, address) = std::sync::mpsc::channel();
        let memory = Memory::new();
        let (source, path) = (memory.clone(), socket.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async move {
                let any = "127.0.0.1:0".parse().expect("loopback");
                let server =
                    Server::bind(&path, Some(any), Some(([127, 0, 0, 1], 0).into())).await.expect("listens");
                let addresses = server.address().zip(server.metrics());
                bound.send(addresses.expect("bound")).expect("told");
                server.run(source, async { drained.await.unwrap_or_default() }).await;
            });
        });
        let (address, metrics) = address.recv().expect("the server is bound");
        Self { memory, socket, address, metrics, drain: Some(drain), thread: Some(thread), _folder: folder }
    }

    /// Drains, and waits until the server has ended.
    pub fn drain(&mut self) {
        self.drain.take();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends without a panic");
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.drain.take();
    }
}
