//! The programs that make a cluster: in which order they start, with what arguments, and how each is known to serve. No I/O.

use std::path::PathBuf;

use super::place::{Cluster, NODE_ADDRESS, PODS, SERVICES};

/// A program of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// What all objects are in.
    Etcd,
    /// Of Kubernetes 1.20.
    ApiServer,
    /// Of 1.36: custom resources as today's clusters have them.
    CrdServer,
    /// What runs containers.
    Containerd,
    ControllerManager,
    Scheduler,
    Kubelet,
    Proxy,
}

/// What shows that a component serves.
#[derive(Debug, PartialEq, Eq)]
pub enum Sign {
    /// `kubectl get --raw PATH` of this server succeeds.
    Answers { server: &'static str, path: String },
    /// `kubectl ARGUMENTS` succeeds and says this.
    Says { arguments: Vec<String>, words: &'static str },
    /// `ctr version` succeeds.
    Containers,
}

impl Component {
    /// Those that serve the API, in the order of their start.
    pub const API: [Self; 3] = [Self::Etcd, Self::ApiServer, Self::CrdServer];
    /// Those that make a node and run pods on it.
    pub const NODE: [Self; 5] =
        [Self::Containerd, Self::ControllerManager, Self::Scheduler, Self::Kubelet, Self::Proxy];

    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::CrdServer => "apiextensions-apiserver",
            Self::Containerd => "containerd",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::Proxy => "kube-proxy",
        }
    }

    pub fn program(self, cluster: &Cluster) -> PathBuf {
        let programs = &cluster.programs;
        match self {
            Self::Etcd => programs.etcd(),
            Self::CrdServer => programs.crd_server(),
            Self::Containerd => programs.containerd(),
            _ => programs.core(self.name()),
        }
    }

    /// All that must be there.
    pub fn signs(self, cluster: &Cluster) -> Vec<Sign> {
        let answers = |server, path: &str| Sign::Answers { server, path: path.into() };
        let says = |arguments: &[&str], words| Sign::Says {
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            words,
        };
        let api = "https://127.0.0.1:6443";
        let sign = match self {
            Self::Etcd => answers("http://127.0.0.1:2379", "/health"),
            Self::ApiServer => answers(api, "/readyz"),
            Self::CrdServer => answers("https://127.0.0.1:7443", "/readyz"),
            Self::Containerd => Sign::Containers,
            // Without it no pod is let in.
            Self::ControllerManager => {
                says(&["get", "serviceaccount", "default", "--output=name"], "default")
            }
            Self::Scheduler => answers("http://127.0.0.1:10251", "/healthz"),
            Self::Kubelet => {
                let node = cluster.node();
                let ready = "--output=jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
                // What the node's object says may be of a kubelet that was.
                let answer = answers(api, &format!("/api/v1/nodes/{node}/proxy/healthz"));
                return vec![answer, says(&["get", "node", &node, ready], "True")];
            }
            Self::Proxy => answers("http://127.0.0.1:10256", "/healthz"),
        };
        vec![sign]
    }

    pub fn arguments(self, cluster: &Cluster) -> Vec<String> {
        let folder = cluster.folder().display().to_string();
        let node = cluster.node();
        let pki = cluster.pki().display().to_string();
        match self {
            Self::Etcd => vec![
                format!("--data-dir={folder}/etcd"),
                "--listen-client-urls=http://127.0.0.1:2379".into(),
                "--advertise-client-urls=http://127.0.0.1:2379".into(),
                "--listen-peer-urls=http://127.0.0.1:2380".into(),
                "--initial-advertise-peer-urls=http://127.0.0.1:2380".into(),
                "--initial-cluster=default=http://127.0.0.1:2380".into(),
                // A cluster does not outlive the machine.
                "--unsafe-no-fsync".into(),
            ],
            Self::ApiServer => api_server(&pki),
            Self::CrdServer => crd_server(&pki),
            Self::Containerd => vec![format!("--config={folder}/containerd.toml")],
            Self::ControllerManager => {
                let mut arguments = controller(&folder, "controller-manager");
                arguments.extend([
                    "--use-service-account-credentials".into(),
                    format!("--service-account-private-key-file={pki}/service-accounts.key"),
                    format!("--root-ca-file={pki}/ca.crt"),
                    format!("--flex-volume-plugin-dir={folder}/volume-plugins"),
                    "--port=0".into(),
                ]);
                arguments
            }
            Self::Scheduler => {
                let mut arguments = controller(&folder, "scheduler");
                arguments.push("--address=127.0.0.1".into());
                arguments
            }
            Self::Kubelet => vec![
                format!("--config={folder}/kubelet.json"),
                format!("--kubeconfig={pki}/kubelet.kubeconfig"),
                format!("--hostname-override={node}"),
                format!("--node-ip={NODE_ADDRESS}"),
                "--container-runtime=remote".into(),
                format!("--container-runtime-endpoint=unix://{}", cluster.socket().display()),
                format!("--root-dir={folder}/kubelet"),
                format!("--cert-dir={folder}/kubelet/pki"),
                "--runtime-cgroups=/".into(),
                format!("--volume-plugin-dir={folder}/volume-plugins"),
            ],
            Self::Proxy => vec![
                format!("--kubeconfig={pki}/proxy.kubeconfig"),
                format!("--hostname-override={node}"),
                "--proxy-mode=iptables".into(),
                format!("--cluster-cidr={PODS}"),
                // Numbers of the whole machine, which are none of a cluster's business.
                "--conntrack-max-per-core=0".into(),
                "--conntrack-tcp-timeout-established=0".into(),
                "--conntrack-tcp-timeout-close-wait=0".into(),
            ],
        }
    }
}

fn api_server(pki: &str) -> Vec<String> {
    let issuer = "https://kubernetes.default.svc";
    let mut arguments = vec![
        "--etcd-servers=http://127.0.0.1:2379".into(),
        "--secure-port=6443".into(),
        "--insecure-port=0".into(),
        format!("--advertise-address={NODE_ADDRESS}"),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--allow-privileged=true".into(),
        format!("--service-cluster-ip-range={SERVICES}"),
        format!("--service-account-issuer={issuer}"),
        format!("--api-audiences={issuer}"),
        format!("--service-account-key-file={pki}/service-accounts.pub"),
        format!("--service-account-signing-key-file={pki}/service-accounts.key"),
        format!("--kubelet-client-certificate={pki}/apiserver-kubelet.crt"),
        format!("--kubelet-client-key={pki}/apiserver-kubelet.key"),
        "--kubelet-preferred-address-types=InternalIP".into(),
        format!("--proxy-client-cert-file={pki}/front-proxy.crt"),
        format!("--proxy-client-key-file={pki}/front-proxy.key"),
        // To the endpoints of an APIService: its address is made by kube-proxy, which may not run.
        "--enable-aggregator-routing=true".into(),
    ];
    arguments.extend(server(pki));
    arguments
}

fn crd_server(pki: &str) -> Vec<String> {
    let mut arguments = vec![
        "--etcd-servers=http://127.0.0.1:2379".into(),
        "--etcd-prefix=/registry-of-custom-resources".into(),
        "--secure-port=7443".into(),
        "--bind-address=0.0.0.0".into(),
        // These want resources that 1.20 has not.
        "--enable-priority-and-fairness=false".into(),
        "--disable-admission-plugins=ValidatingAdmissionPolicy,MutatingAdmissionPolicy".into(),
    ];
    for option in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
        arguments.push(format!("--{option}={pki}/admin.kubeconfig"));
    }
    arguments.extend(server(pki));
    arguments
}

/// What both servers are known by, and know others by.
fn server(pki: &str) -> [String; 8] {
    [
        format!("--tls-cert-file={pki}/apiserver.crt"),
        format!("--tls-private-key-file={pki}/apiserver.key"),
        format!("--client-ca-file={pki}/ca.crt"),
        format!("--requestheader-client-ca-file={pki}/front-proxy-ca.crt"),
        "--requestheader-allowed-names=front-proxy".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
    ]
}

fn controller(folder: &str, name: &str) -> Vec<String> {
    let own = format!("{folder}/pki/{name}.kubeconfig");
    vec![
        format!("--kubeconfig={own}"),
        format!("--authentication-kubeconfig={own}"),
        format!("--authorization-kubeconfig={own}"),
        "--leader-elect=false".into(),
        format!("--cert-dir={folder}/{name}"),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cluster::place::Programs;

    #[test]
    fn what_a_component_writes_is_in_the_folder_of_its_cluster() {
        let cluster = Cluster { name: "two".into(), programs: Programs::below(Path::new("/t")) };
        let own = "/t/kubernetes/run/two/";
        for component in Component::API.into_iter().chain(Component::NODE) {
            // In etcd a prefix begins like a path.
            let arguments = component.arguments(&cluster).into_iter();
            for argument in arguments.filter(|argument| !argument.starts_with("--etcd-prefix=")) {
                let path = argument.split_once('=').map_or("", |(_, value)| value);
                let path = path.strip_prefix("unix://").unwrap_or(path);
                // `/` is a cgroup.
                assert!(
                    !path.starts_with('/') || path == "/" || path.starts_with(own),
                    "{component:?}: {argument}"
                );
            }
        }
    }
}
