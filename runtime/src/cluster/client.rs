//! The way to the API server.

use std::path::PathBuf;
use std::str::FromStr;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::Deserialize;

/// Which API server, and which of its nodes this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The node, as the API server calls it.
    pub node: String,
    /// The namespace of its agents.
    pub namespace: String,
    /// A kubeconfig; `None`: that of the pod which the agent is in, or of the environment.
    pub kubeconfig: Option<PathBuf>,
    /// The DaemonSet that the agent is of; `None`: nobody says.
    pub daemon_set: Option<ObjectName>,
    /// NetworkPolicies are followed.
    pub network_policies: bool,
    /// ClusterNetworkPolicies are followed, once their definition is there.
    pub cluster_network_policies: bool,
}

/// An object of a namespace, written `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ObjectName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl FromStr for ObjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (namespace, name) = text.split_once('/').unwrap_or_default();
        if namespace.is_empty() || name.is_empty() || name.contains('/') {
            return Err(format!("`{text}` is not NAMESPACE/NAME, as in egret/egret"));
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl TryFrom<String> for ObjectName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Why there is no way to the API server.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// What says where it is cannot be used.
    #[error(
        "nothing says how to reach the API server: {0}; run the agent in a pod with a service account, or give --kubeconfig FILE"
    )]
    Unknown(String),
    /// What it says makes no client.
    #[error("the API server cannot be reached as configured: {0}")]
    Unusable(String),
}

/// A client; nothing is sent yet.
///
/// # Errors
/// [`ClusterError`].
pub async fn connect(access: &Access) -> Result<Client, ClusterError> {
    let unknown = |error: &dyn std::error::Error| ClusterError::Unknown(error.to_string());
    let config = match &access.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(|error| unknown(&error))?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| unknown(&error))?
        }
        None => Config::infer().await.map_err(|error| unknown(&error))?,
    };
    Client::try_from(config).map_err(|error| ClusterError::Unusable(error.to_string()))
}
