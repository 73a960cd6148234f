//! The way to the API server.

use std::path::PathBuf;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Which API server, and which of its nodes this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The node, as the API server calls it.
    pub node: String,
    /// The namespace of its agents.
    pub namespace: String,
    /// A kubeconfig; `None`: that of the pod which the agent is in, or of the environment.
    pub kubeconfig: Option<PathBuf>,
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
