//! What Egret costs who uses it by Kubernetes: how long an edit of a policy takes until it is enforced, and what a pod's start
//! takes longer. On the cluster that `cargo xtask cluster bench` brings up, with Egret installed by its chart.

use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use egret_tests_cluster::installed::Installed;
use egret_tests_cluster::{Cluster, Pod, World};
use k8s_openapi::api::core::v1::Pod as PodObject;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rustix::net::sockopt;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::Effort;
use crate::report::{Group, Row, Target, median};

const NAMESPACE: &str = "shop";
const POLICY: &str = "web";
const ADDRESS: &str = "203.0.113.30";
const PORT: u16 = 443;
/// Every attempt is answered within it, whatever the answer is.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two edits: as much as a person takes at least.
const PAUSE: Duration = Duration::from_millis(250);
/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// From the request that edits a policy until a pod's connections follow it
    Edits,
    /// From the request for a pod until its container runs
    Starts,
}

impl Case {
    pub fn measure(self, effort: Effort) -> Result<Group> {
        let cluster = Cluster::with_namespaces(&[NAMESPACE])?;
        let _world = World::of(&cluster)?;
        let before = if self == Self::Starts { starts(&cluster, effort)? } else { Vec::new() };
        let _egret = Installed::into(&cluster)?;
        cluster.apply(&policy(PORT).to_string())?;
        let (case, title, rows) = match self {
            Self::Edits => ("edits", "An edit of a policy", edits(&cluster, effort)?),
            Self::Starts => ("starts", "A pod's start", started(&before, &starts(&cluster, effort)?)),
        };
        Ok(Group { case, title, rows })
    }
}

/// One port may be reached, and nothing else.
fn policy(port: u16) -> Value {
    json!({
        "apiVersion": "egret.dev/v1alpha1", "kind": "EgressPolicy",
        "metadata": {"name": POLICY, "namespace": NAMESPACE},
        "spec": {
            "podSelector": {"matchLabels": {"app": POLICY}}, "mode": "Enforce", "scope": "internet",
            "allow": [{"to": [{"cidr": format!("{ADDRESS}/32")}], "ports": [{"protocol": "TCP", "port": port}]}],
        },
    })
}

fn edits(cluster: &Cluster, effort: Effort) -> Result<Vec<Row>> {
    let pod = cluster.run(NAMESPACE, "edited", "app=web")?;
    let prober = Prober::start(&pod)?;
    prober.until(true)?;
    let (mut answered, mut wider, mut tighter) = (Vec::new(), Vec::new(), Vec::new());
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("egret.dev", "v1alpha1", "EgressPolicy"));
    cluster.node.run(|| -> Result<()> {
        let ((runtime, client), prober) = (client(cluster)?, prober);
        let policies: Api<DynamicObject> = Api::namespaced_with(client, NAMESPACE, &resource);
        for edit in 0..effort.pick(400, 4) {
            let allows = edit % 2 == 1;
            let patch = Patch::Merge(policy(if allows { PORT } else { PORT + 1 }));
            sleep(PAUSE);
            let start = Instant::now();
            runtime.block_on(policies.patch(POLICY, &PatchParams::default(), &patch))?;
            answered.push(milliseconds(start.elapsed()));
            let enforced = milliseconds(prober.until(allows)? - start);
            if allows { wider.push(enforced) } else { tighter.push(enforced) }
        }
        Ok(())
    })??;
    let all = [&wider[..], &tighter].concat();
    Ok(vec![
        Row::alone("edit to enforced, median", median(&all), "ms"),
        Row::alone("edit to enforced, 99 of 100", percentile(&all, 99), "ms").wanted(Target::AtMost(200.0)),
        Row::alone("the longest", percentile(&all, 100), "ms"),
        Row::alone("of edits that allow more, 99 of 100", percentile(&wider, 99), "ms"),
        Row::alone("of edits that allow less, 99 of 100", percentile(&tighter, 99), "ms"),
        Row::alone("the API server's answer alone, median", median(&answered), "ms"),
    ])
}

/// Whether a pod's connections are made, tried again and again.
struct Prober {
    ask: Sender<bool>,
    seen: Receiver<Instant>,
}

impl Prober {
    fn start(pod: &Pod) -> Result<Self> {
        let (ask, asked) = channel();
        let (tell, seen) = channel();
        let (netns, to) = (pod.netns.clone(), SocketAddr::new(ADDRESS.parse()?, PORT));
        thread::spawn(move || {
            netns.run(|| {
                for wanted in asked {
                    while connects(to) != wanted {
                        sleep(LOOK);
                    }
                    if tell.send(Instant::now()).is_err() {
                        return;
                    }
                }
            })
        });
        Ok(Self { ask, seen })
    }

    /// When connections were first made, where they are `wanted`; or refused.
    fn until(&self, wanted: bool) -> Result<Instant> {
        self.ask.send(wanted)?;
        self.seen.recv_timeout(PATIENCE).with_context(|| format!("not so within {PATIENCE:?}: {wanted}"))
    }
}

/// Closed by a reset: nothing of it stays for the next one.
fn connects(to: SocketAddr) -> bool {
    let connection = TcpStream::connect_timeout(&to, PATIENCE);
    connection.is_ok_and(|stream| sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).is_ok())
}

/// How long each pod took until its container ran, one after the other.
fn starts(cluster: &Cluster, effort: Effort) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    cluster.node.run(|| -> Result<()> {
        let (runtime, client) = client(cluster)?;
        let pods: Api<PodObject> = Api::namespaced(client, NAMESPACE);
        for round in 0..effort.pick(20, 1) {
            let name = format!("starts-{round}");
            times.push(milliseconds(runtime.block_on(start(&pods, &name))?));
            cluster.kubectl(&["delete", "pod", "-n", NAMESPACE, &name, "--grace-period=0", "--force"])?;
        }
        Ok(())
    })??;
    Ok(times)
}

fn started(without: &[f64], with: &[f64]) -> Vec<Row> {
    let against = "the same without Egret";
    vec![
        Row::ratio("until its container runs, median", median(with), "ms", against, median(without)),
        Row::ratio("the longest", percentile(with, 100), "ms", against, percentile(without, 100)),
    ]
}

async fn start(pods: &Api<PodObject>, name: &str) -> Result<Duration> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": POLICY}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [
            {"name": "c", "image": "egret.test/busybox:1", "imagePullPolicy": "Never", "command": ["sleep", "1000"]},
        ]},
    });
    let begun = Instant::now();
    pods.create(&kube::api::PostParams::default(), &serde_json::from_value(pod)?).await?;
    let running = |pod: &PodObject| {
        let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        statuses.filter_map(|status| status.state.as_ref()?.running.as_ref()).count() == 1
    };
    while !running(&pods.get(name).await?) {
        ensure!(begun.elapsed() < PATIENCE * 6, "{name} does not run");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(begun.elapsed())
}

/// As the cluster's administrator; to be called within the network of its node.
fn client(cluster: &Cluster) -> Result<(Runtime, Client)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let client = runtime.block_on(async {
        let file = Kubeconfig::read_from(&cluster.kubeconfig)?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        anyhow::Ok(Client::try_from(config)?)
    })?;
    Ok((runtime, client))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The smallest that `share` of a hundred are not above.
fn percentile(values: &[f64], share: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * share).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}
