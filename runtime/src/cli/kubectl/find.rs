//! What of the API server's answers says which agent is to be asked. Pure.

use serde_json::Value;

/// A pod, and where it runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub namespace: String,
    pub name: String,
    pub node: String,
}

/// The pod of an agent.
pub(super) type Agent = Found;

/// Takes a flag of ours and its value out of what goes to the agent's command, which has none of that name: people write it
/// behind as well.
pub(super) fn take(words: &mut Vec<String>, names: [&str; 2], into: &mut Option<String>) {
    let Some(at) = words.iter().position(|word| names.contains(&word.as_str())) else { return };
    if at + 1 < words.len() {
        *into = words.drain(at..at + 2).nth(1);
    }
}

/// How what has pods selects them, as `kubectl -l` takes it; `None`: it is a pod itself.
pub(super) fn selector(object: &Value) -> Option<String> {
    if object["kind"] == "Pod" {
        return None;
    }
    let selector = &object["spec"]["selector"];
    let plain = if selector["matchLabels"].is_object() { &selector["matchLabels"] } else { selector };
    let labels = plain.as_object().into_iter().flatten();
    let labels = labels.filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    let asked = selector["matchExpressions"].as_array().into_iter().flatten().filter_map(expression);
    let all: Vec<_> = labels.chain(asked).collect();
    // Nothing is selected by nothing.
    Some(if all.is_empty() { "egret.dev/none".to_owned() } else { all.join(",") })
}

fn expression(expression: &Value) -> Option<String> {
    let key = expression["key"].as_str()?;
    let values: Vec<_> =
        expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let values = values.join(",");
    match expression["operator"].as_str()? {
        "In" => Some(format!("{key} in ({values})")),
        "NotIn" => Some(format!("{key} notin ({values})")),
        "Exists" => Some(key.to_owned()),
        "DoesNotExist" => Some(format!("!{key}")),
        _ => None,
    }
}

/// A pod that is on a node.
pub(super) fn pod(object: &Value) -> Option<Found> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let metadata = &object["metadata"];
    Some(Found {
        namespace: text(&metadata["namespace"])?,
        name: text(&metadata["name"])?,
        node: text(&object["spec"]["nodeName"])?,
    })
}

/// The first of a list that runs and stays.
pub(super) fn running(list: &Value) -> Option<Found> {
    runs(list).find_map(pod)
}

/// Those that run, by node.
pub(super) fn agents(list: &Value) -> Vec<Agent> {
    let mut agents: Vec<_> = runs(list).filter_map(pod).collect();
    agents.sort_by(|one, other| one.node.cmp(&other.node));
    agents
}

fn runs(list: &Value) -> impl Iterator<Item = &Value> {
    let items = list["items"].as_array().into_iter().flatten();
    items.filter(|pod| pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_flag_of_ours_is_found_behind_as_well() {
        let read = |words: &[&str]| {
            let (mut words, mut namespace) = (words.iter().map(|&word| word.to_owned()).collect(), None);
            take(&mut words, ["-n", "--namespace"], &mut namespace);
            (words.join(" "), namespace)
        };
        assert_eq!(
            read(&["github.com:443", "-n", "updates"]),
            ("github.com:443".into(), Some("updates".into()))
        );
        assert_eq!(read(&["--namespace", "a", "-o", "json"]), ("-o json".into(), Some("a".into())));
        assert_eq!(read(&["--denied", "-n"]), ("--denied -n".into(), None));
    }

    #[test]
    fn what_has_pods_is_asked_which() {
        for (object, expected) in [
            (json!({"kind": "Pod"}), None),
            (json!({"kind": "Service", "spec": {"selector": {"app": "web"}}}), Some("app=web")),
            (
                json!({"kind": "Deployment", "spec": {"selector": {"matchLabels": {"a": "b", "c": "d"}}}}),
                Some("a=b,c=d"),
            ),
            (
                json!({"kind": "DaemonSet", "spec": {"selector": {"matchLabels": {"a": "b"}, "matchExpressions": [
                    {"key": "k", "operator": "In", "values": ["x", "y"]}, {"key": "l", "operator": "NotIn", "values": ["z"]},
                    {"key": "m", "operator": "Exists"}, {"key": "n", "operator": "DoesNotExist"},
                ]}}}),
                Some("a=b,k in (x,y),l notin (z),m,!n"),
            ),
            // Or every pod of the namespace would be meant.
            (json!({"kind": "ConfigMap"}), Some("egret.dev/none")),
        ] {
            assert_eq!(selector(&object).as_deref(), expected, "{object}");
        }
    }

    #[test]
    fn only_what_runs_and_stays_is_asked() {
        let pod = |name: &str, node: &str, phase: &str| json!({"metadata": {"name": name, "namespace": "egret"}, "spec": {"nodeName": node}, "status": {"phase": phase}});
        let mut leaving = pod("c", "n3", "Running");
        leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let list = json!({"items": [leaving, pod("d", "n4", "Pending"), pod("b", "n2", "Running"), pod("a", "n1", "Running")]});
        let nodes: Vec<_> = agents(&list).into_iter().map(|agent| agent.node).collect();
        assert_eq!(nodes, ["n1", "n2"]);
        assert_eq!(running(&list).map(|pod| pod.name).as_deref(), Some("b"));
        assert_eq!(running(&json!({})), None);
    }
}
