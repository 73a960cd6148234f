//! What of a pod counts. Pure.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod as Object;

use crate::model::Labels;

/// A pod of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// What tells it from another one of the same name.
    pub uid: String,
    /// Its labels.
    pub labels: Labels,
    /// Its service account.
    pub service_account: Option<String>,
    /// It is in the node's own network namespace.
    pub is_of_node: bool,
    /// It has failed or succeeded. Of one that is evicted this is said before its containers end.
    pub has_ended: bool,
    /// Its addresses, once the node told them.
    pub addresses: Vec<IpAddr>,
}

impl Pod {
    /// What counts of `object`.
    pub fn of(object: Object) -> Self {
        let (spec, status) = (object.spec.unwrap_or_default(), object.status.unwrap_or_default());
        let addresses = status.pod_ips.unwrap_or_default().into_iter().map(|ip| ip.ip).chain(status.pod_ip);
        let mut found: Vec<IpAddr> = Vec::new();
        for address in addresses.filter_map(|text| text.parse::<IpAddr>().ok()) {
            if !found.contains(&address) {
                found.push(address);
            }
        }
        Self {
            uid: uid(object.metadata.uid, object.metadata.annotations.as_ref()),
            labels: object.metadata.labels.unwrap_or_default(),
            service_account: spec.service_account_name.filter(|name| !name.is_empty()),
            is_of_node: spec.host_network.unwrap_or_default(),
            has_ended: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            addresses: found,
        }
    }
}

/// What the node calls it. It knows a static pod, of which the API server has a picture only, by the hash of its file. Whoever
/// makes a pod can write that down: it must not be the UID of an ordinary one, which has dashes.
fn uid(uid: Option<String>, annotations: Option<&Labels>) -> String {
    let hash = annotations.and_then(|annotations| annotations.get("kubernetes.io/config.mirror"));
    let hash = hash.filter(|hash| hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hash.cloned().or(uid).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(text: &str) -> Pod {
        Pod::of(serde_json::from_str(text).expect("a pod"))
    }

    #[test]
    fn what_counts_of_a_pod_is_read_whatever_else_it_says() {
        let full = pod(
            r#"{"metadata": {"uid": "u1", "labels": {"app": "web"}}, "spec": {"containers": [], "serviceAccountName": "web"},
            "status": {"phase": "Running", "podIP": "10.0.0.5", "podIPs": [{"ip": "10.0.0.5"}, {"ip": "fd00::5"}]}}"#,
        );
        assert_eq!(
            full.addresses,
            ["10.0.0.5", "fd00::5"].map(|ip| ip.parse::<IpAddr>().expect("an address"))
        );
        assert_eq!((full.uid.as_str(), full.service_account.as_deref()), ("u1", Some("web")));
        assert!(!full.is_of_node && !full.has_ended);

        let bare = pod(r#"{"metadata": {}}"#);
        assert_eq!((bare.uid.as_str(), bare.addresses.len()), ("", 0));
        let ended = pod(r#"{"metadata": {"uid": "u"}, "status": {"phase": "Succeeded"}}"#);
        assert!(ended.has_ended);
        let of_node = pod(r#"{"metadata": {"uid": "u"}, "spec": {"containers": [], "hostNetwork": true}}"#);
        assert!(of_node.is_of_node);
        for (written, expected) in [
            ("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"),
            // Another pod's.
            ("f8c9db82-b968-4b51-bcb6-f586de11f80c", "u"),
            ("", "u"),
        ] {
            let annotations = format!(r#"{{"kubernetes.io/config.mirror": "{written}"}}"#);
            let mirror = pod(&format!(r#"{{"metadata": {{"uid": "u", "annotations": {annotations}}}}}"#));
            assert_eq!(mirror.uid, expected);
        }
        assert_eq!(pod(r#"{"metadata": {}, "status": {"podIP": "no address"}}"#).addresses.len(), 0);
    }
}
