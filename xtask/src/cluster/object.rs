//! Objects that a cluster has from its start, and those that say who serves a group of custom resources. No I/O.

use serde_json::{Value, json};

use super::place::{DNS, NODE_ADDRESS};

/// Where names are asked for: a Service whose endpoint is port 53 of the node. Who answers there is up to the tests.
pub fn dns() -> Value {
    let ports = |key: &str| {
        let port = |name, protocol| json!({"name": name, "protocol": protocol, key: 53});
        json!([port("dns", "UDP"), port("dns-tcp", "TCP")])
    };
    let labels = json!({"k8s-app": "kube-dns", "kubernetes.io/name": "KubeDNS"});
    let metadata = json!({"name": "kube-dns", "namespace": "kube-system", "labels": labels});
    list(&[
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"clusterIP": DNS, "ports": ports("port")},
        }),
        endpoints("kube-dns", &ports("port")),
    ])
}

/// The server of custom resources, as the API server finds it.
pub fn crd_server() -> Value {
    list(&[
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "crds", "namespace": "kube-system"},
            "spec": {"ports": [{"port": 443, "targetPort": 7443}]},
        }),
        endpoints("crds", &json!([{"port": 7443}])),
    ])
}

/// A patch of the APIService that says who serves definitions of custom resources: in 1.20 the API server itself.
pub fn definitions_from_crd_server(authority: &str) -> Value {
    json!({"spec": {"caBundle": authority, "service": service()}})
}

/// That `version` of `group` is asked of the server of custom resources.
pub fn group(group: &str, version: &str, authority: &str) -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        // Where the API server registered it first, by the definition, it would go on putting it right.
        "metadata": {
            "name": group_name(group, version),
            "labels": {"kube-aggregator.kubernetes.io/automanaged": "false"},
        },
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": 1000,
            "versionPriority": 10,
            "caBundle": authority,
            "service": service(),
        },
    })
}

/// What its APIService is called.
pub fn group_name(group: &str, version: &str) -> String {
    format!("{version}.{group}")
}

/// Whether one of these definitions is of the group, and serves the version.
pub fn defines(definitions: &Value, group: &str, version: &str) -> bool {
    let serves = |definition: &Value| {
        let mut versions = definition["spec"]["versions"].as_array().into_iter().flatten();
        versions.any(|other| other["name"] == version && other["served"] == true)
    };
    let mut items = definitions["items"].as_array().into_iter().flatten();
    items.any(|definition| definition["spec"]["group"] == group && serves(definition))
}

fn service() -> Value {
    json!({"name": "crds", "namespace": "kube-system", "port": 443})
}

fn endpoints(name: &str, ports: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": name, "namespace": "kube-system"},
        "subsets": [{"addresses": [{"ip": NODE_ADDRESS}], "ports": ports}],
    })
}

fn list(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_defined_in_the_versions_that_are_served() {
        let versions = json!([{"name": "v1", "served": true}, {"name": "v2", "served": false}]);
        let definitions = json!({"items": [{"spec": {"group": "egret.dev", "versions": versions}}]});
        for (group, version, expected) in
            [("egret.dev", "v1", true), ("egret.dev", "v2", false), ("other.dev", "v1", false)]
        {
            assert_eq!(defines(&definitions, group, version), expected, "{group} {version}");
        }
        assert!(!defines(&json!({}), "egret.dev", "v1"));
    }

    #[test]
    fn names_are_asked_for_at_the_address_that_pods_are_told() {
        let dns = dns();
        let (service, endpoints) = (&dns["items"][0], &dns["items"][1]);
        assert_eq!(service["spec"]["clusterIP"], "10.96.0.10");
        assert_eq!(service["metadata"]["name"], endpoints["metadata"]["name"]);
        let protocols = |ports: &Value| {
            ports.as_array().expect("ports").iter().map(|p| p["protocol"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(protocols(&service["spec"]["ports"]), ["UDP", "TCP"]);
        assert_eq!(service["spec"]["ports"], endpoints["subsets"][0]["ports"]);
    }
}
