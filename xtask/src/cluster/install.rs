//! Egret in a cluster, as its users install it: the image loaded, the chart applied by Helm; and taken out again.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::{place::Cluster, process, up};
use crate::{chart, helm, image};

/// The release, and its namespace.
const NAME: &str = "egret";
/// Its objects: group and version.
const OBJECTS: (&str, &str) = ("egret.dev", "v1alpha1");

/// The image of what is built, as the tests build it.
pub fn image() -> Result<PathBuf> {
    let archive = std::env::current_exe()?.with_file_name("egret-image.tar");
    image::make(&image::default_name(), &archive, true)?;
    Ok(archive)
}

/// Installs the image in `archive`, whose tag is the chart's own; or puts it in the place of one that is installed. Waits
/// until every agent is ready. `values` goes over what this cluster needs.
pub fn install(cluster: &Cluster, archive: &Path, values: Value) -> Result<()> {
    process::told(&mut up::load(cluster, archive), None)?;
    let is_there = process::kubectl(cluster, &["get", "daemonset", "-n", NAME, NAME]).is_ok();
    if process::kubectl(cluster, &["get", "namespace", NAME]).is_err() {
        process::kubectl(cluster, &["create", "namespace", NAME])?;
    }
    let mut all = own_values(cluster);
    merge(&mut all, values);
    let (chart, all) = (chart::path().display().to_string(), all.to_string());
    let verb = if is_there { "upgrade" } else { "install" };
    helm(cluster, &[verb, &chart, NAME, NAME, &all])?;
    if is_there {
        // Another image may have the same name.
        process::kubectl(cluster, &["rollout", "restart", "daemonset", "-n", NAME, NAME])?;
    }
    up::group(cluster, OBJECTS.0, OBJECTS.1)?;
    let waited =
        process::kubectl(cluster, &["rollout", "status", "daemonset", "-n", NAME, NAME, "--timeout=120s"]);
    waited.map(drop)
}

/// Takes it out, the definitions of its objects too, and waits until its agents are gone.
pub fn uninstall(cluster: &Cluster) -> Result<()> {
    helm(cluster, &["uninstall", NAME, NAME])?;
    process::kubectl(cluster, &["delete", "namespace", NAME, "--timeout=120s"])?;
    let crds = chart::path().join("crds").canonicalize()?.display().to_string();
    process::kubectl(cluster, &["delete", "--ignore-not-found", "-f", &crds])?;
    up::forget_group(cluster, OBJECTS.0, OBJECTS.1)
}

/// What a cluster has in other places than others have it.
fn own_values(cluster: &Cluster) -> Value {
    let [state, run, bpffs] = cluster.egret();
    json!({
        "image": {"pullPolicy": "Never"},
        "cni": {
            "binDir": cluster.programs.cni(),
            "confDir": cluster.folder().join("cni/net.d"),
        },
        "hostPaths": {"state": state, "run": run, "bpffs": bpffs},
    })
}

fn merge(into: &mut Value, values: Value) {
    match (into, values) {
        (Value::Object(into), Value::Object(values)) => {
            for (key, value) in values {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, value) => *into = value,
    }
}

/// In the cluster's network, as its administrator.
fn helm(cluster: &Cluster, arguments: &[&str]) -> Result<()> {
    let enter = ["nsenter".to_owned(), process::entering(cluster).to_string_lossy().into_owned()];
    let kubeconfig = cluster.kubeconfig().display().to_string();
    helm::run(&enter, &[arguments, &[&kubeconfig]].concat()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_goes_over_what_is_there_key_by_key() {
        let mut all = json!({"cni": {"enabled": true, "binDir": "/a"}, "log": "info"});
        merge(&mut all, json!({"cni": {"enabled": false}, "metrics": {"port": 1}}));
        let merged =
            json!({"cni": {"enabled": false, "binDir": "/a"}, "log": "info", "metrics": {"port": 1}});
        assert_eq!(all, merged);
    }
}
