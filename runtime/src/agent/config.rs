//! What an agent is told at its start: by flags, by a file with the same words, by defaults, in this order.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::Spanned;

use crate::api::LoopbackAddr;
use crate::cluster::Access;
use crate::kernel::{Doors, Hooks};
use crate::model::Pattern;

/// Where the agent listens and its command line asks, unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/egret/egret.sock";
const DEFAULT_STATE: &str = "/var/lib/egret";
/// Where programs and maps are pinned, unless told otherwise.
pub const DEFAULT_BPFFS: &str = "/sys/fs/bpf/egret";
const DEFAULT_NAMESPACE: &str = "egret";
const DEFAULT_CLUSTER: [&str; 5] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"];
const DEFAULT_MIN_TTL: u32 = 30;
const DEFAULT_FLOW_GRACE: u32 = 3600;
/// A day: beyond it an address outlives its name in earnest.
const LONGEST: u32 = 86_400;

/// An agent's configuration, complete and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where workloads and policies come from.
    pub inputs: Inputs,
    /// The folder of policy modules; `None`: there are none.
    pub modules: Option<PathBuf>,
    /// The resolvers trusted where a workload has none of its own.
    pub resolvers: Vec<IpAddr>,
    /// Where the agent keeps what a restart needs.
    pub state_dir: PathBuf,
    /// Where the API listens besides its socket.
    pub api: Option<LoopbackAddr>,
    /// The API's unix socket.
    pub socket: PathBuf,
    /// Where programs and maps are pinned.
    pub bpffs: PathBuf,
    /// Destinations of kind cluster.
    pub cluster_ranges: Vec<IpNet>,
    /// Destinations of kind node.
    pub node_ranges: Vec<IpNet>,
    /// How long the address of a name is good for at least.
    pub min_ttl: Duration,
    /// How long after its end an address still serves a connection under way whose flow was forgotten.
    pub flow_grace: Duration,
    /// What a resolver may take off a name to complete it.
    pub search_domains: Vec<Pattern>,
    /// What becomes of flows under way that a change of policy denies.
    pub on_tighten: OnTighten,
    /// Whether to take over from an agent that runs.
    pub take_over: bool,
    /// Whether enforcement ends with the agent.
    pub detach_on_exit: bool,
    /// How programs are put on interfaces.
    pub hooks: Hooks,
    /// Where what comes to workloads is looked at.
    pub door: Doors,
}

/// Where an agent learns which workloads and policies there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// From files.
    Files {
        /// The workloads file.
        workloads: PathBuf,
        /// The folder of policy files.
        policies: PathBuf,
    },
    /// From Kubernetes.
    Cluster(Access),
}

/// What becomes of flows under way that a change of policy denies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OnTighten {
    /// Both ends are cut
    #[default]
    Cut,
    /// They go on until they end
    Keep,
}

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

/// Something wrong in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// `file:line:column`; `None` where it is in no file.
    pub place: Option<String>,
    /// What is wrong, and what to write.
    pub reason: String,
}

/// All that is wrong in a configuration, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigProblem>);

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let line = if index == 0 { "" } else { "\n" };
            match &problem.place {
                Some(place) => write!(f, "{line}{place}: {}", problem.reason)?,
                None => write!(f, "{line}{}", problem.reason)?,
            }
        }
        Ok(())
    }
}

impl Config {
    /// From `flags` and, below them, a configuration file given as its name and its text.
    ///
    /// # Errors
    /// [`ConfigErrors`] with everything that is wrong.
    pub fn assemble(flags: Settings, file: Option<(&str, &str)>) -> Result<Self, ConfigErrors> {
        let (below, mut problems) = file.map(|(name, text)| Settings::read(name, text)).unwrap_or_default();
        let settings = flags.over(below);
        let inputs = settings.inputs(&mut problems);
        let min_ttl = settings.min_ttl.unwrap_or(DEFAULT_MIN_TTL);
        let flow_grace = settings.flow_grace.unwrap_or(DEFAULT_FLOW_GRACE);
        for (key, seconds) in [("minTTL", min_ttl), ("flowGrace", flow_grace)] {
            if seconds > LONGEST {
                let reason = format!("{key} of {seconds} s is more than a day ({LONGEST} s)");
                problems.push(ConfigProblem { place: None, reason });
            }
        }
        if !problems.is_empty() {
            return Err(ConfigErrors(problems));
        }
        Ok(Self {
            inputs,
            modules: settings.modules,
            resolvers: settings.resolvers.unwrap_or_default(),
            state_dir: settings.state_dir.unwrap_or_else(|| DEFAULT_STATE.into()),
            api: settings.api,
            socket: settings.socket.unwrap_or_else(|| DEFAULT_SOCKET.into()),
            bpffs: settings.bpffs.unwrap_or_else(|| DEFAULT_BPFFS.into()),
            cluster_ranges: settings.cluster_ranges.unwrap_or_else(default_cluster),
            node_ranges: settings.node_ranges.unwrap_or_default(),
            min_ttl: Duration::from_secs(min_ttl.into()),
            flow_grace: Duration::from_secs(flow_grace.into()),
            search_domains: settings.search_domains.unwrap_or_default(),
            on_tighten: settings.on_tighten.unwrap_or_default(),
            take_over: settings.take_over.unwrap_or(false),
            detach_on_exit: settings.detach_on_exit.unwrap_or(false),
            hooks: settings.hooks.unwrap_or_default(),
            door: settings.door.unwrap_or_default(),
        })
    }
}

impl Settings {
    /// From the text of the file `name`: what could be read, and every problem.
    fn read(name: &str, text: &str) -> (Self, Vec<ConfigProblem>) {
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
            modules: keys.take("modules"),
            resolvers: keys.take("resolvers"),
            state_dir: keys.take("stateDir"),
            api: keys.take("api"),
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
    fn inputs(&self, problems: &mut Vec<ConfigProblem>) -> Inputs {
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
            return Inputs::Cluster(Access { node, namespace, kubeconfig: self.kubeconfig.clone() });
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

    /// What `self` says and, where it is silent, what `below` says.
    fn over(self, below: Self) -> Self {
        Self {
            workloads: self.workloads.or(below.workloads),
            policies: self.policies.or(below.policies),
            kubernetes: self.kubernetes.or(below.kubernetes),
            node_name: self.node_name.or(below.node_name),
            namespace: self.namespace.or(below.namespace),
            kubeconfig: self.kubeconfig.or(below.kubeconfig),
            modules: self.modules.or(below.modules),
            resolvers: self.resolvers.or(below.resolvers),
            state_dir: self.state_dir.or(below.state_dir),
            api: self.api.or(below.api),
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

fn default_cluster() -> Vec<IpNet> {
    DEFAULT_CLUSTER.iter().filter_map(|range| range.parse().ok()).collect()
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
