//! What one source of configuration says: flags, or a file with the same words.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::config::{ConfigProblem, Inputs, OnTighten, PluginConfig};
use crate::api::LoopbackAddr;
use crate::cluster::{Access, ObjectName};
use crate::kernel::{Doors, Hooks};
use crate::model::Pattern;

const DEFAULT_NAMESPACE: &str = "egret";

/// What one source of configuration says. As flags these are the words below with dashes, in a file in camelCase.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Settings {
    /// The workloads of this node, YAML or JSON
    #[arg(long, value_name = "FILE")]
    pub workloads: Option<PathBuf>,
    /// The folder of policy files
    #[arg(long, value_name = "DIR")]
    pub policies: Option<PathBuf>,
    /// Take workloads and policies from Kubernetes, in the place of files
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub kubernetes: Option<bool>,
    /// This node, as Kubernetes calls it [default: the name of this machine]
    #[arg(long, env = "EGRET_NODE", value_name = "NAME")]
    pub node_name: Option<String>,
    /// The namespace of the agents, where they agree on who writes the status of policies [default: egret]
    #[arg(long, env = "EGRET_NAMESPACE", value_name = "NAME")]
    pub namespace: Option<String>,
    /// How to reach the API server [default: the service account of the agent's pod, or KUBECONFIG]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The DaemonSet that the agent is of: once it is deleted, the agent takes its programs away as it ends
    #[arg(long, env = "EGRET_DAEMON_SET", value_name = "NAMESPACE/NAME")]
    pub daemon_set: Option<ObjectName>,
    /// Enforce the egress rules of NetworkPolicy as well; off, for most CNIs enforce them already, and twice is of no use
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub network_policies: Option<bool>,
    /// Enforce the egress rules of ClusterNetworkPolicy (policy.networking.k8s.io) as well; off, as a CNI may do that already
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub cluster_network_policies: Option<bool>,
    /// Have pods wait for their policies by a CNI plugin: the node's folder of these
    #[arg(long, value_name = "DIR")]
    pub cni_bin_dir: Option<PathBuf>,
    /// The node's folder of networks, in the first of which the plugin is chained
    #[arg(long, value_name = "DIR")]
    pub cni_conf_dir: Option<PathBuf>,
    /// Namespaces whose pods may start when the agent does not run [default: none]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub cni_exempt: Option<Vec<String>>,
    /// The folder of policy modules: NAME.wasm, and NAME.yaml where there is something to say about it
    #[arg(long, value_name = "DIR")]
    pub modules: Option<PathBuf>,
    /// Resolvers trusted where a workload has none of its own
    #[arg(long, value_name = "IP,...", value_delimiter = ',')]
    pub resolvers: Option<Vec<IpAddr>>,
    /// Where to keep what a restart needs [default: /var/lib/egret]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Serve the API on this loopback address too, as in 127.0.0.1:9400
    #[arg(long, value_name = "ADDR")]
    pub api: Option<LoopbackAddr>,
    /// Serve metrics and health, and nothing else, on this address too, as in 0.0.0.0:9401
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<SocketAddr>,
    /// The API's unix socket [default: /run/egret/egret.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Where to pin programs and maps [default: /sys/fs/bpf/egret]
    #[arg(long, value_name = "DIR")]
    pub bpffs: Option<PathBuf>,
    /// Destinations in the cluster, which `scope: internet` leaves alone [default: the private ranges]
    #[arg(long, value_name = "CIDR,...", value_delimiter = ',')]
    pub cluster_ranges: Option<Vec<IpNet>>,
    /// Destinations on the node [default: none besides the node's own addresses]
    #[arg(long, value_name = "CIDR,...", value_delimiter = ',')]
    pub node_ranges: Option<Vec<IpNet>>,
    /// How long the address of a name is good for at least [default: 30]
    #[arg(long = "min-ttl", value_name = "SECONDS")]
    pub min_ttl: Option<u32>,
    /// How long the address of a name still serves connections under way after its end [default: 3600]
    #[arg(long, value_name = "SECONDS")]
    pub flow_grace: Option<u32>,
    /// Domains that resolvers search by themselves: an alias `NAME.DOMAIN -> NAME` counts as NAME [default: none]
    #[arg(long, value_name = "PATTERN,...", value_delimiter = ',')]
    pub search_domains: Option<Vec<Pattern>>,
    /// Flows under way that a change of policy denies: cut them at both ends, or keep them [default: cut]
    #[arg(long, value_name = "HOW")]
    pub on_tighten: Option<OnTighten>,
    /// Take over from the agent that runs here, which hands over what is on hold and ends
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub take_over: Option<bool>,
    /// Take the programs away when told to end; without it they go on enforcing
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub detach_on_exit: Option<bool>,
    /// How to put programs on interfaces [default: auto]
    #[arg(long, value_name = "KIND")]
    pub hooks: Option<Hooks>,
    /// Where to look at what comes to workloads: at the host side of their pairs, or inside them [default: auto]
    #[arg(long, value_name = "PLACE")]
    pub door: Option<Doors>,
}

impl Settings {
    /// From the text of the file `name`: what could be read, and every problem.
    pub(super) fn read(name: &str, text: &str) -> (Self, Vec<ConfigProblem>) {
        let mut keys = match Keys::read(name, text) {
            Ok(keys) => keys,
            Err(problem) => return (Self::default(), vec![problem]),
        };
        let settings = Self {
            workloads: keys.take("workloads"),
            policies: keys.take("policies"),
            kubernetes: keys.take("kubernetes"),
            node_name: keys.take("nodeName"),
            namespace: keys.take("namespace"),
            kubeconfig: keys.take("kubeconfig"),
            daemon_set: keys.take("daemonSet"),
            network_policies: keys.take("networkPolicies"),
            cluster_network_policies: keys.take("clusterNetworkPolicies"),
            cni_bin_dir: keys.take("cniBinDir"),
            cni_conf_dir: keys.take("cniConfDir"),
            cni_exempt: keys.take("cniExempt"),
            modules: keys.take("modules"),
            resolvers: keys.take("resolvers"),
            state_dir: keys.take("stateDir"),
            api: keys.take("api"),
            metrics: keys.take("metrics"),
            socket: keys.take("socket"),
            bpffs: keys.take("bpffs"),
            cluster_ranges: keys.take("clusterRanges"),
            node_ranges: keys.take("nodeRanges"),
            min_ttl: keys.take("minTTL"),
            flow_grace: keys.take("flowGrace"),
            search_domains: keys.take("searchDomains"),
            on_tighten: keys.take("onTighten"),
            take_over: keys.take("takeOver"),
            detach_on_exit: keys.take("detachOnExit"),
            hooks: keys.take("hooks"),
            door: keys.take("door"),
        };
        (settings, keys.finish())
    }

    /// Files, or Kubernetes; not some of both.
    pub(super) fn inputs(&self, problems: &mut Vec<ConfigProblem>) -> Inputs {
        if self.kubernetes == Some(true) {
            for (key, is_given) in
                [("workloads", self.workloads.is_some()), ("policies", self.policies.is_some())]
            {
                if is_given {
                    let reason = format!(
                        "`{key}` is of no use with `kubernetes`, which tells them: leave one of both out"
                    );
                    problems.push(ConfigProblem { place: None, reason });
                }
            }
            let node = self.node_name.clone().unwrap_or_else(machine);
            let namespace = self.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
            let (kubeconfig, daemon_set) = (self.kubeconfig.clone(), self.daemon_set.clone());
            return Inputs::Cluster(Access {
                node,
                namespace,
                kubeconfig,
                daemon_set,
                network_policies: self.network_policies.unwrap_or(false),
                cluster_network_policies: self.cluster_network_policies.unwrap_or(false),
            });
        }
        let of_kubernetes = [
            ("networkPolicies", self.network_policies),
            ("clusterNetworkPolicies", self.cluster_network_policies),
        ];
        for (key, _) in of_kubernetes.into_iter().filter(|(_, is_on)| *is_on == Some(true)) {
            let reason =
                format!("`{key}` is for objects of Kubernetes: give `kubernetes` as well, or leave it out");
            problems.push(ConfigProblem { place: None, reason });
        }
        let mut required = |value: &Option<PathBuf>, key: &str, flag: &str| {
            // A key that is there and wrong was told of already.
            if value.is_none() && !problems.iter().any(|problem| problem.reason.starts_with(key)) {
                let reason = format!(
                    "`{key}` is missing: give {flag}, or `{key}:` in the file of --config, or take them from Kubernetes with \
                     --kubernetes"
                );
                problems.push(ConfigProblem { place: None, reason });
            }
            value.clone().unwrap_or_default()
        };
        let workloads = required(&self.workloads, "workloads", "--workloads FILE");
        let policies = required(&self.policies, "policies", "--policies DIR");
        Inputs::Files { workloads, policies }
    }

    /// Where the CNI plugin goes; it waits for an agent that knows pods.
    pub(super) fn plugin(&self, problems: &mut Vec<ConfigProblem>) -> Option<PluginConfig> {
        let mut problem = |reason: &str| {
            problems.push(ConfigProblem { place: None, reason: reason.to_owned() });
            None
        };
        match (&self.cni_bin_dir, &self.cni_conf_dir) {
            (None, None) => None,
            (Some(bin_dir), Some(conf_dir)) if self.kubernetes == Some(true) => Some(PluginConfig {
                bin_dir: bin_dir.clone(),
                conf_dir: conf_dir.clone(),
                exempt: self.cni_exempt.clone().unwrap_or_default(),
            }),
            (Some(_), Some(_)) => {
                problem("`cniBinDir` is for pods: give `kubernetes` as well, or leave it out")
            }
            _ => problem("`cniBinDir` and `cniConfDir` go together: give both"),
        }
    }

    /// What `self` says and, where it is silent, what `below` says.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            workloads: self.workloads.or(below.workloads),
            policies: self.policies.or(below.policies),
            kubernetes: self.kubernetes.or(below.kubernetes),
            node_name: self.node_name.or(below.node_name),
            namespace: self.namespace.or(below.namespace),
            kubeconfig: self.kubeconfig.or(below.kubeconfig),
            daemon_set: self.daemon_set.or(below.daemon_set),
            network_policies: self.network_policies.or(below.network_policies),
            cluster_network_policies: self.cluster_network_policies.or(below.cluster_network_policies),
            cni_bin_dir: self.cni_bin_dir.or(below.cni_bin_dir),
            cni_conf_dir: self.cni_conf_dir.or(below.cni_conf_dir),
            cni_exempt: self.cni_exempt.or(below.cni_exempt),
            modules: self.modules.or(below.modules),
            resolvers: self.resolvers.or(below.resolvers),
            state_dir: self.state_dir.or(below.state_dir),
            api: self.api.or(below.api),
            metrics: self.metrics.or(below.metrics),
            socket: self.socket.or(below.socket),
            bpffs: self.bpffs.or(below.bpffs),
            cluster_ranges: self.cluster_ranges.or(below.cluster_ranges),
            node_ranges: self.node_ranges.or(below.node_ranges),
            min_ttl: self.min_ttl.or(below.min_ttl),
            flow_grace: self.flow_grace.or(below.flow_grace),
            search_domains: self.search_domains.or(below.search_domains),
            on_tighten: self.on_tighten.or(below.on_tighten),
            take_over: self.take_over.or(below.take_over),
            detach_on_exit: self.detach_on_exit.or(below.detach_on_exit),
            hooks: self.hooks.or(below.hooks),
            door: self.door.or(below.door),
        }
    }
}

/// The keys of a file, taken one by one so that each can be wrong on its own.
struct Keys<'a> {
    file: &'a str,
    left: BTreeMap<String, Spanned<Value>>,
    known: Vec<&'static str>,
    problems: Vec<ConfigProblem>,
}

impl<'a> Keys<'a> {
    fn read(file: &'a str, text: &str) -> Result<Self, ConfigProblem> {
        let read: Result<Option<BTreeMap<_, _>>, _> = serde_saphyr::from_str(text);
        match read {
            Ok(left) => {
                let left = left.unwrap_or_default();
                Ok(Self { file, left, known: Vec::new(), problems: Vec::new() })
            }
            Err(error) => Err(ConfigProblem {
                place: Some(file.to_owned()),
                reason: error.without_snippet().to_string(),
            }),
        }
    }

    fn take<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        self.known.push(key);
        let found = self.left.remove(key)?;
        let place = self.place(&found);
        match serde_json::from_value(found.value) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problems.push(ConfigProblem { place: Some(place), reason: format!("{key}: {error}") });
                None
            }
        }
    }

    /// Every problem, with the keys that nobody took.
    fn finish(mut self) -> Vec<ConfigProblem> {
        let known = self.known.join(", ");
        for (key, found) in &self.left {
            let reason = format!("`{key}` is not a setting; there are {known}");
            self.problems.push(ConfigProblem { place: Some(self.place(found)), reason });
        }
        self.problems
    }

    fn place(&self, found: &Spanned<Value>) -> String {
        format!("{}:{}:{}", self.file, found.referenced.line(), found.referenced.column())
    }
}

/// What this machine is called, which is what the kubelet calls its node where nobody says otherwise.
fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase()
}
