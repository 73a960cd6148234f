//! The objects of a large cluster, made up one by one: nothing of it is kept.

use serde_json::{Value, json};

/// How large it is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub nodes: usize,
    pub pods: usize,
    pub policies: usize,
    pub namespaces: usize,
    pub services: usize,
    /// Of a hundred policies, those that name pods or a service.
    pub naming: usize,
}

/// What an API server has of one kind, each by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Pods,
    /// Those of the agent's own node.
    OwnPods,
    Namespaces,
    Policies,
    ClusterPolicies,
    Services,
    Endpoints,
    /// Of this there is nothing.
    Nothing,
    /// Nobody serves this.
    Other,
}

impl Kind {
    pub fn count(self, size: &Size) -> usize {
        match self {
            Self::Pods => size.pods,
            Self::OwnPods => size.pods / size.nodes,
            Self::Namespaces => size.namespaces,
            Self::Policies => size.policies,
            Self::ClusterPolicies => 10,
            Self::Services | Self::Endpoints => size.services,
            Self::Nothing | Self::Other => 0,
        }
    }

    /// `kind` and `apiVersion` of the list.
    pub fn list(self) -> (&'static str, &'static str) {
        match self {
            Self::Pods | Self::OwnPods => ("PodList", "v1"),
            Self::Namespaces => ("NamespaceList", "v1"),
            Self::Policies => ("EgressPolicyList", "egret.dev/v1alpha1"),
            Self::ClusterPolicies => ("ClusterEgressPolicyList", "egret.dev/v1alpha1"),
            Self::Services => ("ServiceList", "v1"),
            Self::Endpoints => ("EndpointsList", "v1"),
            Self::Nothing | Self::Other => ("List", "v1"),
        }
    }

    pub fn object(self, at: usize, size: &Size, change: u64) -> Value {
        let namespace = format!("team-{}", at % size.namespaces);
        match self {
            Self::Pods => pod(at, &namespace, change, false),
            Self::OwnPods => pod(at, &namespace, change, true),
            Self::Namespaces => {
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(&format!("team-{at}"), None, change)})
            }
            Self::Policies => policy(at, &namespace, size),
            Self::ClusterPolicies => json!({
                "apiVersion": "egret.dev/v1alpha1", "kind": "ClusterEgressPolicy", "metadata": metadata(&format!("all-{at}"), None, change),
                "spec": {"namespaceSelector": {"matchLabels": {"tier": "prod"}}, "podSelector": {}, "mode": "Enforce", "scope": "internet",
                    "deny": [{"to": [{"cidr": "169.254.169.254/32"}]}]},
            }),
            Self::Services => json!({
                "apiVersion": "v1", "kind": "Service", "metadata": metadata(&format!("svc-{at}"), Some(&namespace), change),
                "spec": {"clusterIP": address(100, at), "clusterIPs": [address(100, at)], "selector": {"app": format!("app-{at}")},
                    "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]},
            }),
            Self::Endpoints => {
                let addresses: Vec<_> = (0..size.pods / size.services)
                    .map(|pod| json!({"ip": address(10, at + pod * size.services)}))
                    .collect();
                json!({
                    "apiVersion": "v1", "kind": "Endpoints", "metadata": metadata(&format!("svc-{at}"), Some(&namespace), change),
                    "subsets": [{"addresses": addresses, "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]}],
                })
            }
            Self::Nothing | Self::Other => Value::Null,
        }
    }
}

fn metadata(name: &str, namespace: Option<&str>, change: u64) -> Value {
    let mut metadata = json!({
        "name": name, "uid": format!("{name}-uid"), "resourceVersion": (1000 + change).to_string(), "generation": 1,
        "labels": {"tier": "prod", "change": change.to_string()},
    });
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    metadata
}

/// As large as pods are: most of it is of no use to an agent.
fn pod(at: usize, namespace: &str, change: u64, own: bool) -> Value {
    let container = |name: &str| {
        json!({
            "name": name, "image": "registry.example/team/application:v1.2.3-4-gabcdef0", "imagePullPolicy": "IfNotPresent",
            "env": (0..12).map(|at| json!({"name": format!("SETTING_{at}"), "value": "a value of some length"})).collect::<Vec<_>>(),
            "resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10},
            "volumeMounts": [{"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": "token", "readOnly": true}],
        })
    };
    let mut metadata = metadata(&format!("app-{at}-5d4f8c7b9-x{at}"), Some(namespace), change);
    metadata["labels"]["app"] = format!("app-{}", at % 5000).into();
    metadata["managedFields"] = json!([{"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {}}, "f:spec": {"f:containers": {}}}}]);
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        // Of its own node none is real, so there is no namespace to be found for one.
        "spec": {"nodeName": format!("node-{}", at % 5000), "serviceAccountName": "default", "hostNetwork": own,
            "containers": [container("app"), container("sidecar")], "volumes": [{"name": "token", "projected": {"sources": []}}]},
        "status": {"phase": "Running", "podIP": address(10, at), "podIPs": [{"ip": address(10, at)}],
            "containerStatuses": [{"name": "app", "ready": true, "restartCount": 0, "state": {"running": {}}}]},
    })
}

fn policy(at: usize, namespace: &str, size: &Size) -> Value {
    let to = match at % 100 {
        rest if rest >= size.naming => {
            json!([{"fqdn": format!("api-{}.example.com", at % 500)}, {"cidr": "192.0.2.0/24"}])
        }
        rest if rest % 2 == 0 => {
            json!([{"pods": {"podSelector": {"matchLabels": {"app": format!("app-{}", at % 5000)}}}}])
        }
        _ => json!([{"service": {"name": format!("svc-{}", at % size.namespaces)}}]),
    };
    json!({
        "apiVersion": "egret.dev/v1alpha1", "kind": "EgressPolicy", "metadata": metadata(&format!("policy-{at}"), Some(namespace), 0),
        "spec": {"podSelector": {"matchLabels": {"app": format!("app-{}", at % 5000)}}, "mode": "Enforce", "scope": "all",
            "allow": [{"name": "places", "to": to, "ports": [{"protocol": "TCP", "port": 443}]}]},
    })
}

/// One of `first`.0.0.0/8, or of what follows.
fn address(first: usize, at: usize) -> String {
    format!("{}.{}.{}.{}", first + (at >> 24), (at >> 16) & 255, (at >> 8) & 255, at & 255)
}
