//! What a runtime asks of the plugin: variables of its environment, and a configuration on standard input.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use crate::Start;
use crate::chain::Settings;

/// What a runtime writes to standard input.
#[derive(Debug, Deserialize)]
pub struct Network {
    /// The version of the specification that it speaks.
    #[serde(rename = "cniVersion", default)]
    pub version: String,
    /// What the plugins before made. It is handed on as it is.
    #[serde(rename = "prevResult")]
    pub made: Option<Value>,
    /// What the agent wrote into the configuration.
    #[serde(flatten)]
    pub settings: Settings,
}

/// The pod that `variables` and the network tell of; `None`: it is no pod of Kubernetes, and none of the agent's business.
///
/// # Errors
/// A variable that must be there is not.
pub fn start(variables: impl Fn(&str) -> Option<String>, made: &Value) -> Result<Option<Start>, String> {
    let arguments = variables("CNI_ARGS").unwrap_or_default();
    let argument = |key: &str| {
        let pair = arguments.split(';').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        pair.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let (Some(namespace), Some(name)) = (argument("K8S_POD_NAMESPACE"), argument("K8S_POD_NAME")) else {
        return Ok(None);
    };
    let uid = argument("K8S_POD_UID").ok_or(
        "CNI_ARGS has no K8S_POD_UID: containerd tells it since 1.5, CRI-O since 1.19; use a newer one",
    )?;
    let netns = variables("CNI_NETNS").filter(|path| !path.is_empty()).ok_or("CNI_NETNS is not set")?;
    Ok(Some(Start { namespace, name, uid, netns: PathBuf::from(netns), addresses: addresses(made) }))
}

fn addresses(made: &Value) -> Vec<IpAddr> {
    let entries = made["ips"].as_array().into_iter().flatten();
    entries.filter_map(|entry| entry["address"].as_str()?.split('/').next()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(arguments: &str, netns: &str) -> Result<Option<Start>, String> {
        let made =
            json!({"ips": [{"address": "10.0.0.5/24"}, {"address": "fd00::5/64"}, {"address": "x"}, {}]});
        let variable = |key: &str| match key {
            "CNI_ARGS" => Some(arguments.to_owned()),
            "CNI_NETNS" => Some(netns.to_owned()),
            _ => None,
        };
        start(variable, &made)
    }

    #[test]
    fn a_pod_is_what_the_runtime_says_of_it() {
        let arguments = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID=u1";
        let told = read(arguments, "/run/netns/a").expect("read").expect("a pod");
        assert_eq!((told.namespace.as_str(), told.name.as_str(), told.uid.as_str()), ("shop", "web", "u1"));
        assert_eq!(
            told.addresses,
            ["10.0.0.5", "fd00::5"].map(|ip| ip.parse::<IpAddr>().expect("an address"))
        );
        assert_eq!(read("", "/run/netns/a"), Ok(None));
        assert_eq!(read("K8S_POD_NAMESPACE=;K8S_POD_NAME=web", "/run/netns/a"), Ok(None));
        let without = read("K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web", "/run/netns/a").expect_err("no UID");
        assert!(without.contains("K8S_POD_UID"), "{without}");
        assert!(read(arguments, "").is_err());
    }
}
