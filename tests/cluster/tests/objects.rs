//! What the API server says of policies: good ones it takes, bad ones it refuses with what to write instead.

#![allow(missing_docs, reason = "a test file has no reader of its documentation")]

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use egret_tests_cluster::Cluster;

/// Bad policies, and what is said of each: by the API server, or after `|` by `kubectl` itself, once it knows the schema.
const REFUSED: [(&str, &str); 34] = [
    ("address-for-a-name", "this is an address: write `cidr: RANGE`"),
    ("address-without-length", "a single address with `/32` or `/128`"),
    ("cluster-does-nothing", "the policy does nothing: add rules"),
    ("deep-wildcard-inside", "write `**.example.com` for any depth"),
    ("default-allow", "supported values: \"Deny\""),
    ("deny-of-no-namespace", "of which one a service is"),
    ("deny-by-name", "deny its addresses with `cidr`"),
    ("does-nothing", "write `default: Deny`"),
    ("empty-target", "write `fqdn: NAME`, `cidr: RANGE`"),
    ("empty-to", "at least 1 items"),
    ("end-port-alone", "add `port`, the first port of the range"),
    ("host-bits", "write the first address of the range"),
    ("modules-without-a-default", "add `default: Deny`"),
    ("name-and-range", "write two entries"),
    ("name-for-a-range", "this is no range"),
    ("namespace-for-pods", "unknown field \"spec.allow[0].to[0].namespace\"|unknown field \"namespace\""),
    ("no-mode", "spec.mode: Required value|missing required field \"mode\""),
    ("no-scope", "spec.scope: Required value|missing required field \"scope\""),
    (
        "pods-by-labels",
        "unknown field \"spec.allow[0].to[0].pods.matchLabels\"|unknown field \"matchLabels\"",
    ),
    ("pods-of-no-namespace", "of which ones pods are: write `pods: {namespaceSelector:"),
    ("pods-of-nothing", "write `podSelector: {matchLabels: {app: NAME}}`"),
    ("port-in-a-name", "ports go under `ports`"),
    ("port-of-icmp", "take `port` and `endPort` out"),
    ("range-backwards", "write the lower one as `port`"),
    ("rule-name-like-a-place", "use 1 to 63 lower-case letters"),
    ("service-and-pods", "write two entries"),
    ("service-of-no-namespace", "write `service: {name: NAME, namespace: NAMESPACE}`"),
    ("service-with-a-dot", "a namespace goes under `namespace`"),
    ("service-with-a-port", "unknown field \"spec.allow[0].to[0].service.port\"|unknown field \"port\""),
    ("service-without-name", "service.name: Required value|missing required field \"name\""),
    ("synonym-from-elsewhere", "unknown field \"spec.egress\"|unknown field \"egress\""),
    ("unknown-key", "unknown field \"spec.alow\"|unknown field \"alow\""),
    ("url-for-a-name", "write it without scheme, path and port"),
    ("wrong-mode", "supported values: \"Observe\", \"Enforce\""),
];

#[test]
fn bad_policies_are_refused_with_what_to_write_and_good_ones_are_taken() -> Result<()> {
    let cluster = Cluster::with_namespaces(&["shop", "alerts", "payment", "updates"])?;
    let file = |folder: &str, name: &str| {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../policies").join(folder).join(name);
        fs::read_to_string(&file).with_context(|| file.display().to_string())
    };
    for (name, expected) in REFUSED {
        let said =
            cluster.apply(&file("bad", &format!("{name}.yaml"))?).err().map(|error| format!("{error:#}"));
        let said = said.with_context(|| format!("{name} was taken"))?;
        ensure!(expected.split('|').any(|words| said.contains(words)), "{name}: {said}");
    }
    for name in ["alerts", "company", "database", "payment", "updates"] {
        cluster.apply(&file("good", &format!("{name}.yaml"))?).with_context(|| name.to_owned())?;
    }
    let shown =
        cluster.kubectl(&["get", "egress", "-A"]).or_else(|_| cluster.kubectl(&["get", "egp,cegp", "-A"]))?;
    ensure!(shown.contains("company") && shown.contains("Enforce"), "{shown}");
    Ok(())
}
