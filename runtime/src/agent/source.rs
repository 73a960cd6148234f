//! Where workloads and policies come from: files, or Kubernetes. Both give the same.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use egret_cni::Start;
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;
use tracing::{info, warn};

use super::node::Node;
use super::reconcile::Change;
use super::report;
use super::watch::{self as watching, Watching};
use super::{Config, Inputs};
use crate::cluster::{self, Access, Follower, Listed, News, View};
use crate::kernel::netns::NetNs;
use crate::model::{PolicyId, WorkloadId};
use crate::policy::{self, Accepted, Outcome, Wanted};
use crate::workloads::{self, WorkloadsFile};

/// How long an agent waits at its start for the API server to tell all. Then it goes on with what was in force.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where they come from, followed.
pub enum Source {
    /// From files.
    Files {
        /// The workloads file.
        workloads: PathBuf,
        /// The folder of policy files.
        policies: PathBuf,
        /// Follows them.
        _watching: Watching,
    },
    /// From Kubernetes.
    Cluster {
        /// What it told.
        view: Arc<View>,
        /// The way to it.
        client: cluster::Client,
        /// Which node this is.
        access: Access,
        /// Follows what policies name in it.
        follower: Box<Follower>,
        /// Follows the folder of modules, where there is one.
        _watching: Option<Watching>,
    },
}

impl Source {
    /// Follows what the configuration names: whatever changes from now on is told to `changes`.
    ///
    /// # Errors
    /// What cannot be followed.
    pub async fn open(config: &Config, changes: &Sender<Change>) -> anyhow::Result<Self> {
        let modules = config.modules.as_deref();
        match &config.inputs {
            Inputs::Files { workloads, policies } => {
                let watching = watching::files(policies, workloads, modules, changes).with_context(|| {
                    let missing = if policies.is_dir() { workloads } else { policies };
                    format!("{} cannot be watched; is it there?", missing.display())
                })?;
                Ok(Self::Files {
                    workloads: workloads.clone(),
                    policies: policies.clone(),
                    _watching: watching,
                })
            }
            Inputs::Cluster(access) => {
                let client = cluster::connect(access).await?;
                let view = Arc::new(View::default());
                let policies = watching::tell(|| Change::Policies, changes);
                let workloads = watching::tell(|| Change::Workloads, changes);
                let everything = watching::tell(|| Change::Everything, changes);
                let destinations = watching::tell(|| Change::Destinations, changes);
                let tell = move |news| match news {
                    News::Policies => policies.notify_one(),
                    News::Workloads => workloads.notify_one(),
                    News::Destinations => destinations.notify_one(),
                    News::Everything => everything.notify_one(),
                };
                let mut follower = cluster::follow(client.clone(), access, &view, Arc::new(tell));
                let watching = modules.map(|folder| watching::modules(folder, changes)).transpose()?;
                let told = async {
                    view.completed().await;
                    // An agent that starts again must know them before it puts anything in force, or it would cut what it
                    // allows a moment later.
                    follower.want(wanted(&view));
                    view.completed_around().await;
                };
                if timeout(PATIENCE, told).await.is_ok() {
                    info!("Kubernetes told what is on the node {}", access.node);
                } else {
                    warn!(
                        "Kubernetes did not tell what is on the node {}, or not all that policies name: what was in force stays, and \
                         nothing new is found",
                        access.node
                    );
                }
                Ok(Self::Cluster {
                    view,
                    client,
                    access: access.clone(),
                    follower: Box::new(follower),
                    _watching: watching,
                })
            }
        }
    }

    /// Every policy and what is wrong with it; `None`: it is not known which there are.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn policies(&self) -> Result<Option<Vec<Outcome>>, policy::Problem> {
        match self {
            Self::Files { policies, .. } => {
                let outcomes = policy::load_dir(policies)?;
                Ok(Some(outcomes.into_iter().map(policy::of_files).collect()))
            }
            Self::Cluster { view, .. } => Ok(view.policies()),
        }
    }

    /// Which policies the API server has, to be asked before [`Self::policies`]; `None`: there is none, or it did not tell.
    pub fn listed(&self) -> Option<Arc<[Listed]>> {
        match self {
            Self::Files { .. } => None,
            Self::Cluster { view, .. } => view.listed().map(Into::into),
        }
    }

    /// Where there is Kubernetes, begins to tell it what becomes of its policies and what pods are denied.
    pub fn report(&self, node: &Arc<Node>) {
        if let Self::Cluster { view, client, access, .. } = self {
            cluster::tell(client, access, &report::asking(node));
            node.denials.tell_to(cluster::notify(client, access, view));
        }
    }

    /// Every workload; `None`: it is not known which there are. `own` is the node's namespace, `resolvers` are those that the
    /// operator trusts.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn workloads(&self, own: &NetNs, resolvers: &[IpAddr]) -> anyhow::Result<Option<WorkloadsFile>> {
        match self {
            Self::Files { workloads, .. } => Ok(Some(workloads::read(workloads)?)),
            Self::Cluster { view, .. } => {
                view.look(own, false);
                Ok(view.workloads(resolvers))
            }
        }
    }

    /// Takes the CNI plugin's word for where a pod is.
    pub fn start(&self, start: &Start) {
        if let Self::Cluster { view, .. } = self {
            view.start(start);
        }
    }

    /// How long a workload may have sent before it was found, where nothing held it.
    pub fn unheld(&self, id: &WorkloadId) -> Option<Duration> {
        match self {
            Self::Files { .. } => None,
            Self::Cluster { view, .. } => view.unheld(id),
        }
    }

    /// Whether enforcement is to end with the agent, for it was taken out of the cluster.
    pub fn is_uninstalled(&self) -> bool {
        matches!(self, Self::Cluster { view, .. } if view.is_uninstalled())
    }

    /// Whether workloads may be elsewhere than they were, which nobody tells; `by_clock`: only time went by.
    pub fn has_moved(&self, own: &NetNs, by_clock: bool) -> bool {
        match self {
            Self::Files { .. } => false,
            Self::Cluster { view, .. } => view.look(own, by_clock),
        }
    }

    /// Looks up what `accepted` names in the cluster, and follows that from now on, and nothing else; the policies that lead
    /// elsewhere now.
    pub fn look_up(&mut self, accepted: &mut Accepted) -> BTreeSet<PolicyId> {
        match self {
            Self::Files { .. } => BTreeSet::new(),
            Self::Cluster { view, follower, .. } => {
                follower.want(accepted.wanted());
                view.look_up(accepted)
            }
        }
    }
}

/// What the policies of the cluster name in it.
fn wanted(view: &View) -> Wanted {
    let outcomes = view.policies().unwrap_or_default();
    let policies =
        outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()).flat_map(|good| &good.policies);
    Wanted::by(policies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_policy_file_that_names_a_service_is_refused_and_the_others_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let (workloads, policies) = (folder.path().join("workloads.yaml"), folder.path().join("policies"));
        std::fs::create_dir(&policies).expect("made");
        std::fs::write(&workloads, "").expect("written");
        for (name, to) in [("db", "service: {name: db}"), ("web", "fqdn: example.com")] {
            let text = format!(
                "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {{name: {name}, namespace: shop}}\n\
                 spec: {{podSelector: {{}}, mode: Enforce, scope: all, allow: [{{to: [{{{to}}}]}}]}}\n"
            );
            std::fs::write(policies.join(format!("{name}.yaml")), text).expect("written");
        }
        let (changes, _changed) = tokio::sync::mpsc::channel(1);
        let watching = watching::files(&policies, &workloads, None, &changes).expect("watched");
        let mut source = Source::Files { workloads, policies, _watching: watching };
        let outcomes = source.policies().expect("read").expect("known");
        let (mut accepted, problems) = policy::refresh(&Accepted::default(), outcomes);
        let named: Vec<_> = accepted.policies().map(|policy| policy.id.to_string()).collect();
        assert_eq!(named, ["shop/web"]);
        assert!(matches!(&problems[..], [problem] if problem.fix.contains("--kubernetes")), "{problems:?}");
        assert!(source.look_up(&mut accepted).is_empty());
    }
}
