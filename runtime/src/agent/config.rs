//! What an agent is told at its start: by flags, by a file with the same words, by defaults, in this order.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::settings::Settings;
use crate::api::LoopbackAddr;
use crate::cluster::Access;
use crate::kernel::{Doors, Hooks};
use crate::model::Pattern;

/// Where the agent listens and its command line asks, unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/egret/egret.sock";
const DEFAULT_STATE: &str = "/var/lib/egret";
/// Where programs and maps are pinned, unless told otherwise.
pub const DEFAULT_BPFFS: &str = "/sys/fs/bpf/egret";
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
    /// How pods wait for their policies; `None`: they do not.
    pub plugin: Option<PluginConfig>,
    /// The folder of policy modules; `None`: there are none.
    pub modules: Option<PathBuf>,
    /// The resolvers trusted where a workload has none of its own.
    pub resolvers: Vec<IpAddr>,
    /// Where the agent keeps what a restart needs.
    pub state_dir: PathBuf,
    /// Where the API listens besides its socket.
    pub api: Option<LoopbackAddr>,
    /// Where metrics and health are told besides.
    pub metrics: Option<SocketAddr>,
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

/// Where the CNI plugin is put, and whom it does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginConfig {
    /// The node's folder of plugins.
    pub bin_dir: PathBuf,
    /// The node's folder of networks.
    pub conf_dir: PathBuf,
    /// Namespaces whose pods start when no agent runs.
    pub exempt: Vec<String>,
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
        let plugin = settings.plugin(&mut problems);
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
            plugin,
            modules: settings.modules,
            resolvers: settings.resolvers.unwrap_or_default(),
            state_dir: settings.state_dir.unwrap_or_else(|| DEFAULT_STATE.into()),
            api: settings.api,
            metrics: settings.metrics,
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

fn default_cluster() -> Vec<IpNet> {
    DEFAULT_CLUSTER.iter().filter_map(|range| range.parse().ok()).collect()
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
