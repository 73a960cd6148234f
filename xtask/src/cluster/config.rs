//! Files that containerd, its network plugins and the kubelet read. No I/O.

use std::path::PathBuf;

use serde_json::json;

use super::{
    images::PAUSE,
    place::{Cluster, DNS, NODE_ADDRESS, PODS},
};

/// All of them, by path.
pub fn files(cluster: &Cluster) -> Vec<(PathBuf, String)> {
    let folder = cluster.folder();
    vec![
        (folder.join("containerd.toml"), containerd(cluster)),
        (folder.join("cni/net.d/10-egret.conflist"), network(cluster)),
        (folder.join("kubelet.json"), kubelet(cluster)),
        (folder.join("resolv.conf"), format!("nameserver {DNS}\n")),
    ]
}

fn containerd(cluster: &Cluster) -> String {
    let folder = cluster.folder();
    let text = |path: &str| format!("{:?}", folder.join(path).display().to_string());
    let (root, state, opt) = (text("containerd/root"), text("containerd/state"), text("containerd/opt"));
    let (socket, runc, networks) = (text("containerd.sock"), text("containerd/runc"), text("cni/net.d"));
    let plugins = format!("{:?}", cluster.programs.cni().display().to_string());
    format!(
        r#"version = 2
root = {root}
state = {state}

[grpc]
address = {socket}

[plugins."io.containerd.internal.v1.opt"]
path = {opt}

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
# Root in a container may be without CAP_SYS_RESOURCE.
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = {plugins}
conf_dir = {networks}

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = {runc}
"#
    )
}

/// The network's name is the cluster's own: by it `down` finds what the plugins left.
fn network(cluster: &Cluster) -> String {
    let ipam = json!({
        "type": "host-local",
        "dataDir": cluster.folder().join("cni/data"),
        "ranges": [[{"subnet": PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    });
    let bridge = json!({
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": true,
        "ipMasq": true,
        "hairpinMode": true,
        "ipam": ipam,
    });
    let ports = json!({"type": "portmap", "capabilities": {"portMappings": true}});
    let list = json!({"cniVersion": "0.4.0", "name": cluster.scope(), "plugins": [bridge, ports]});
    format!("{list:#}\n")
}

fn kubelet(cluster: &Cluster) -> String {
    let pki = cluster.pki();
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": pki.join("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": pki.join("kubelet.crt"),
        "tlsPrivateKeyFile": pki.join("kubelet.key"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", cluster.scope()),
        "failSwapOn": false,
        "nodeStatusUpdateFrequency": "1s",
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS],
        "resolvConf": cluster.folder().join("resolv.conf"),
        // Images are loaded, and cannot be fetched again.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    });
    format!("{config:#}\n")
}
