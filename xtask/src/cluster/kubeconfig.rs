//! How a client finds and convinces the API server: a kubeconfig's text. No I/O.

use std::path::Path;

/// Of the client whose certificate in `pki` is named `client`. It holds within the cluster's network namespace.
pub fn text(pki: &Path, client: &str) -> String {
    let file = |name: &str| format!("{:?}", pki.join(name).display().to_string());
    let (ca, crt, key) = (file("ca.crt"), file(&format!("{client}.crt")), file(&format!("{client}.key")));
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: egret
  cluster:
    server: https://127.0.0.1:6443
    certificate-authority: {ca}
users:
- name: {client}
  user:
    client-certificate: {crt}
    client-key: {key}
contexts:
- name: egret
  context:
    cluster: egret
    user: {client}
current-context: egret
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_names_the_files_of_its_client() {
        let told = text(Path::new("/t/a \"b\""), "scheduler");
        for line in [
            "    certificate-authority: \"/t/a \\\"b\\\"/ca.crt\"",
            "    client-certificate: \"/t/a \\\"b\\\"/scheduler.crt\"",
            "    client-key: \"/t/a \\\"b\\\"/scheduler.key\"",
            "    user: scheduler",
        ] {
            assert!(told.lines().any(|other| other == line), "{line} is not in\n{told}");
        }
    }
}
