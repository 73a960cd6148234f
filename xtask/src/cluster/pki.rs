//! Keys and certificates of a cluster, made by openssl when it first comes up: two authorities, and a certificate for each
//! who speaks to another. They are for one cluster, which nobody reaches from elsewhere.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::{
    kubeconfig,
    place::{Cluster, NODE_ADDRESS},
};

/// Who signs the rest, and who signs what the API server shows to the server of custom resources.
const AUTHORITIES: [&str; 2] = ["ca", "front-proxy-ca"];
/// Those whose kubeconfig says how to reach the API server.
const CLIENTS: [&str; 5] = ["admin", "controller-manager", "scheduler", "kubelet", "proxy"];

/// No extensions but those that are asked for.
const PLAIN: &str = "[req]\ndistinguished_name = name\n[name]\n";

/// A certificate to be.
struct Wanted {
    name: &'static str,
    authority: &'static str,
    subject: String,
    /// Addresses and names of a server.
    names: Option<String>,
}

/// Makes what is not there yet.
pub fn make(cluster: &Cluster) -> Result<()> {
    let folder = cluster.pki();
    if cluster.kubeconfig().exists() {
        return Ok(());
    }
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    fs::write(folder.join("openssl.cnf"), PLAIN)?;
    for name in AUTHORITIES {
        let extensions =
            ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,digitalSignature"];
        certificate(&folder, name, &format!("/CN={name}"), None, &extensions)?;
    }
    for Wanted { name, authority, subject, names } in wanted(cluster) {
        let names = names.map(|names| format!("subjectAltName={names}"));
        let mut extensions =
            vec!["keyUsage=digitalSignature,keyEncipherment", "extendedKeyUsage=serverAuth,clientAuth"];
        extensions.extend(names.as_deref());
        certificate(&folder, name, &subject, Some(authority), &extensions)?;
    }
    openssl(&folder, &["genrsa", "-out", "service-accounts.key", "2048"])?;
    openssl(&folder, &["rsa", "-in", "service-accounts.key", "-pubout", "-out", "service-accounts.pub"])?;
    // That of the administrator last: it says that all is there.
    for name in CLIENTS.iter().rev() {
        fs::write(folder.join(format!("{name}.kubeconfig")), kubeconfig::text(&folder, name))?;
    }
    Ok(())
}

/// The authority's certificate as objects of the API carry it.
pub fn authority_in_base64(cluster: &Cluster) -> Result<String> {
    openssl(&cluster.pki(), &["base64", "-A", "-in", "ca.crt"])
}

fn wanted(cluster: &Cluster) -> Vec<Wanted> {
    let node = cluster.node();
    let servers = format!(
        "IP:127.0.0.1,IP:{NODE_ADDRESS},IP:10.96.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,\
         DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:crds.kube-system.svc,DNS:{node}"
    );
    let of_node = format!("DNS:{node},IP:{NODE_ADDRESS},IP:127.0.0.1");
    let wanted =
        |name, subject: &str, names| Wanted { name, authority: "ca", subject: subject.into(), names };
    vec![
        wanted("apiserver", "/CN=kube-apiserver", Some(servers)),
        wanted("kubelet", &format!("/O=system:nodes/CN=system:node:{node}"), Some(of_node)),
        wanted("admin", "/O=system:masters/CN=admin", None),
        wanted("apiserver-kubelet", "/O=system:masters/CN=apiserver-kubelet", None),
        wanted("controller-manager", "/CN=system:kube-controller-manager", None),
        wanted("scheduler", "/CN=system:kube-scheduler", None),
        wanted("proxy", "/CN=system:kube-proxy", None),
        Wanted { authority: "front-proxy-ca", ..wanted("front-proxy", "/CN=front-proxy", None) },
    ]
}

/// `NAME.key` and `NAME.crt`, signed by `authority` or by itself.
fn certificate(
    folder: &Path,
    name: &str,
    subject: &str,
    by: Option<&str>,
    extensions: &[&str],
) -> Result<()> {
    let file = |name: &str, kind: &str| format!("{name}.{kind}");
    let (key, crt) = (file(name, "key"), file(name, "crt"));
    let mut arguments = vec!["req", "-x509", "-config", "openssl.cnf", "-days", "3650", "-nodes"];
    arguments.extend(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    arguments.extend(["-subj", subject, "-keyout", &key, "-out", &crt]);
    let signer = by.map(|by| [file(by, "crt"), file(by, "key")]);
    if let Some([crt, key]) = &signer {
        arguments.extend(["-CA", crt, "-CAkey", key]);
    }
    arguments.extend(extensions.iter().flat_map(|extension| ["-addext", extension]));
    openssl(folder, &arguments).map(drop)
}

fn openssl(folder: &Path, arguments: &[&str]) -> Result<String> {
    let mut openssl = Command::new("openssl");
    let output = openssl.args(arguments).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.context("openssl did not start: install openssl, 3.0 or newer")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`openssl {}` failed:\n{told}", arguments.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
