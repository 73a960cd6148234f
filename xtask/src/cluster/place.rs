//! Where everything of a cluster is: the programs, which all clusters share, and what one cluster alone has. No I/O.

use std::path::{Path, PathBuf};

/// The node, in its own network namespace: the same for every cluster.
pub const NODE_ADDRESS: &str = "10.9.9.1";
/// Who forwards what leaves the node, if a test puts somebody there.
pub const GATEWAY: &str = "10.9.9.254";
/// Addresses of Services.
pub const SERVICES: &str = "10.96.0.0/16";
/// Addresses of pods.
pub const PODS: &str = "10.244.0.0/24";
/// The Service that pods ask for names.
pub const DNS: &str = "10.96.0.10";

/// Of Kubernetes itself, built from Debian 12's source.
const CORE: [&str; 5] =
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"];

/// The programs, in the layout of `tests/cluster/programs`.
#[derive(Clone, Debug)]
pub struct Programs(PathBuf);

impl Programs {
    /// Those of the folder of tools.
    pub fn below(tools: &Path) -> Self {
        Self(tools.join("kubernetes"))
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Whether each is there.
    pub fn are_there(&self) -> bool {
        let single = [self.kubectl(), self.crd_server(), self.etcd(), self.containerd(), self.ctr()];
        CORE.iter().map(|name| self.core(name)).chain(single).all(|program| program.is_file())
    }

    pub fn core(&self, name: &str) -> PathBuf {
        self.0.join("bin/1.20").join(name)
    }

    pub fn crd_server(&self) -> PathBuf {
        self.0.join("bin/1.36/apiextensions-apiserver")
    }

    pub fn kubectl(&self) -> PathBuf {
        self.0.join("bin/kubectl")
    }

    pub fn etcd(&self) -> PathBuf {
        self.0.join("ctr/usr/bin/etcd")
    }

    pub fn containerd(&self) -> PathBuf {
        self.0.join("ctr/usr/bin/containerd")
    }

    pub fn ctr(&self) -> PathBuf {
        self.0.join("ctr/usr/bin/ctr")
    }

    pub fn cni(&self) -> PathBuf {
        self.0.join("ctr/usr/lib/cni")
    }

    /// It moved from one to the other.
    pub fn busybox(&self) -> [PathBuf; 2] {
        ["ctr/usr/bin/busybox", "ctr/bin/busybox"].map(|path| self.0.join(path))
    }

    /// Libraries that came with them.
    pub fn libraries(&self) -> PathBuf {
        self.0.join(format!("ctr/usr/lib/{}-linux-gnu", std::env::consts::ARCH))
    }

    /// What they find each other and the machine's own tools by.
    pub fn search_path(&self) -> String {
        let own = self.0.join("ctr/usr");
        let own = own.display();
        format!("{own}/bin:{own}/sbin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    }

    pub fn images(&self) -> PathBuf {
        self.0.join("img")
    }

    /// Folders of clusters.
    pub fn clusters(&self) -> PathBuf {
        self.0.join("run")
    }
}

/// One cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// What it is called.
    pub name: String,
    pub programs: Programs,
}

impl Cluster {
    /// All of its files.
    pub fn folder(&self) -> PathBuf {
        self.programs.clusters().join(&self.name)
    }

    /// Its network namespace, and its folder in each hierarchy of cgroups.
    pub fn scope(&self) -> String {
        format!("{}-k8s", self.name)
    }

    pub fn netns(&self) -> PathBuf {
        Path::new("/run/netns").join(self.scope())
    }

    pub fn node(&self) -> String {
        format!("{}-node", self.name)
    }

    pub fn log(&self, of: &str) -> PathBuf {
        self.folder().join("log").join(format!("{of}.log"))
    }

    pub fn pki(&self) -> PathBuf {
        self.folder().join("pki")
    }

    /// Of the administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.pki().join("admin.kubeconfig")
    }

    /// Where Egret keeps its state, what runs, and its programs and maps, if it is installed in it.
    pub fn egret(&self) -> [PathBuf; 3] {
        ["/var/lib", "/run", "/sys/fs/bpf"]
            .map(|folder| Path::new(folder).join(format!("egret-{}", self.name)))
    }

    pub fn socket(&self) -> PathBuf {
        self.folder().join("containerd.sock")
    }
}

/// A name that can be part of a path, of a network namespace's name, and of a node's.
///
/// # Errors
/// What a name has to be like.
pub fn name(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_name = text.bytes().all(fits) && (1..=20).contains(&text.len());
    if is_name && !text.starts_with('-') && !text.ends_with('-') {
        Ok(text.to_owned())
    } else {
        Err("a name is 1 to 20 lower-case letters, digits and `-`, with a letter or digit at both ends"
            .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_wherever_it_is_used() {
        for fine in ["egret", "two", "a", "b-2"] {
            assert_eq!(name(fine).as_deref(), Ok(fine));
        }
        for refused in ["", "-a", "a-", "../x", "A", "a b", "a-name-that-is-far-too-long"] {
            assert!(name(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn two_clusters_share_the_programs_alone() {
        let programs = Programs::below(Path::new("/t"));
        let [one, two] = ["one", "two"].map(|name| Cluster { name: name.into(), programs: programs.clone() });
        assert_eq!(one.folder(), Path::new("/t/kubernetes/run/one"));
        assert_eq!(one.netns(), Path::new("/run/netns/one-k8s"));
        assert_ne!((one.folder(), one.netns(), one.node()), (two.folder(), two.netns(), two.node()));
    }
}
