//! Policy files for tests, short enough to be read beside what they cause.

/// A policy for the one pod written `namespace/name`. `scope` is `internet` or `all`; `rules` is what else stands
/// under `spec`, as YAML without indentation.
///
/// # Panics
/// `pod` is not of that form.
#[must_use]
pub fn policy(pod: &str, mode: &str, scope: &str, rules: &str) -> String {
    let (namespace, name) = pod.split_once('/').expect("a pod is written namespace/name");
    let rules: String = rules.trim().lines().map(|line| format!("  {}\n", line.trim_end())).collect();
    format!(
        "apiVersion: egret.dev/v1alpha1\n\
         kind: EgressPolicy\n\
         metadata: {{name: {name}, namespace: {namespace}}}\n\
         spec:\n  \
           podSelector: {{matchLabels: {{app: {name}}}}}\n  \
           mode: {mode}\n  \
           scope: {scope}\n\
         {rules}"
    )
}

/// A policy of the cluster, of all pods of the namespaces that `selector` selects, written as YAML in one line.
#[must_use]
pub fn of_cluster(name: &str, mode: &str, selector: &str, rules: &str) -> String {
    let rules: String = rules.trim().lines().map(|line| format!("  {}\n", line.trim_end())).collect();
    format!(
        "apiVersion: egret.dev/v1alpha1\n\
         kind: ClusterEgressPolicy\n\
         metadata: {{name: {name}}}\n\
         spec:\n  \
           namespaceSelector: {selector}\n  \
           podSelector: {{}}\n  \
           mode: {mode}\n  \
           scope: internet\n\
         {rules}"
    )
}

/// [`policy`] in mode Enforce for the internet.
#[must_use]
pub fn enforced(pod: &str, rules: &str) -> String {
    policy(pod, "Enforce", "internet", rules)
}

/// `rules`, which end with a list of what is allowed, and one name more, of a pattern that the programs leave to the agent:
/// all answers under these rules go on hold.
#[must_use]
pub fn held(rules: &str) -> String {
    format!("{rules}\n- to: [{{fqdn: 'held-*.test'}}]")
}

#[cfg(test)]
mod tests {
    use super::enforced;

    #[test]
    fn rules_stand_under_spec() {
        let text =
            enforced("shop/web", "allow:\n- to: [{fqdn: a.example}]\n  ports: [{protocol: TCP, port: 22}]");
        let expected = "metadata: {name: web, namespace: shop}\nspec:\n  podSelector: {matchLabels: {app: web}}\n  \
                        mode: Enforce\n  scope: internet\n  allow:\n  - to: [{fqdn: a.example}]\n    ports:";
        assert!(text.contains(expected), "{text}");
    }
}
