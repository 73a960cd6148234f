//! Where the plugin stands in the configuration of a node's network.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::NAME;

/// What the agent writes of itself into the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// Where it listens.
    pub socket: PathBuf,
    /// Namespaces whose pods start when it does not run.
    pub exempt_namespaces: Vec<String>,
}

/// The text of a network's configuration with the plugin last in its chain; `None`: it is there already, as `settings` say.
///
/// # Errors
/// The text is no list of plugins.
pub fn with(text: &str, settings: &Settings) -> Result<Option<String>, String> {
    let mut entry = json!(settings);
    entry["type"] = NAME.into();
    changed(text, |plugins| {
        plugins.retain(|plugin| !is_ours(plugin));
        plugins.push(entry);
    })
}

/// The text without the plugin; `None`: it is not there.
///
/// # Errors
/// The text is no list of plugins.
pub fn without(text: &str) -> Result<Option<String>, String> {
    changed(text, |plugins| plugins.retain(|plugin| !is_ours(plugin)))
}

fn changed(text: &str, change: impl FnOnce(&mut Vec<Value>)) -> Result<Option<String>, String> {
    let mut network: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    let plugins =
        network.get_mut("plugins").and_then(Value::as_array_mut).ok_or("it has no list of `plugins`")?;
    let before = plugins.clone();
    change(plugins);
    Ok((*plugins != before).then(|| format!("{network:#}\n")))
}

fn is_ours(plugin: &Value) -> bool {
    plugin["type"] == NAME
}

/// Of the files in a folder of networks, the one that runtimes take: the first by name.
#[must_use]
pub fn chosen(names: &[String]) -> Option<&str> {
    let is_network = |name: &&str| {
        [".conflist", ".conf", ".json"].iter().any(|end| name.ends_with(end)) && !name.starts_with('.')
    };
    names.iter().map(String::as_str).filter(is_network).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRIDGE: &str =
        r#"{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "bridge"}, {"type": "portmap"}]}"#;

    fn types(text: &str) -> Vec<String> {
        let network: Value = serde_json::from_str(text).expect("JSON");
        let plugins = network["plugins"].as_array().expect("plugins").iter();
        plugins.map(|plugin| plugin["type"].as_str().expect("a type").to_owned()).collect()
    }

    #[test]
    fn the_plugin_is_put_last_once_and_taken_out_again() {
        let settings =
            Settings { socket: "/run/egret/cni.sock".into(), exempt_namespaces: vec!["kube-system".into()] };
        let chained = with(BRIDGE, &settings).expect("chained").expect("changed");
        assert_eq!(types(&chained), ["bridge", "portmap", "egret-cni"]);
        assert_eq!(with(&chained, &settings), Ok(None));
        // Another agent has other settings.
        let other = with(&chained, &Settings::default()).expect("chained").expect("changed");
        assert_eq!(types(&other), ["bridge", "portmap", "egret-cni"]);
        let bare = without(&other).expect("read").expect("changed");
        assert_eq!(types(&bare), ["bridge", "portmap"]);
        assert_eq!(without(&bare), Ok(None));
        for wrong in ["", "{}", r#"{"plugins": 1}"#, "[]", r#"{"type": "bridge"}"#] {
            assert!(with(wrong, &settings).is_err() && without(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn runtimes_take_the_first_file_by_name() {
        let names = [
            "README",
            "87-podman.conflist",
            "10-flannel.conflist",
            ".05-hidden.conflist",
            "05-x.conflist.bak",
        ];
        assert_eq!(chosen(&names.map(str::to_owned)), Some("10-flannel.conflist"));
        assert_eq!(chosen(&["05-x.bak".to_owned()]), None);
    }
}
