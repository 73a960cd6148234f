//! The whole of `policy` at work: files of `tests/policies/`, and the compiled ruleset against the plain evaluator.

mod a_cluster;
pub(crate) mod agreement;
mod asked_now;
mod cases;
mod ceilings;
mod consulting;
mod explaining;
mod files;
mod modules;
mod neighbours;
mod statements;
mod upstream;
mod upstream_cluster;

use crate::model::{Attempt, Name, Policy, Protocol};

use super::parse;

/// The policies of `specs`, each named `p0`, `p1`, ... and selecting everything: of namespace `n`, or of the cluster where
/// its spec starts with `cluster: `.
fn policies(specs: &[&str]) -> Vec<Policy> {
    if specs.is_empty() {
        return Vec::new();
    }
    let document = |(number, spec): (usize, &&str)| {
        let (kind, namespace, selector, spec) = match spec.strip_prefix("cluster: ") {
            Some(spec) => ("ClusterEgressPolicy", "", "namespaceSelector: {}, ", spec),
            None => ("EgressPolicy", ", namespace: n", "", *spec),
        };
        format!(
            "apiVersion: egret.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: p{number}{namespace}}}\n\
             spec: {{{selector}podSelector: {{}}, {spec}}}\n"
        )
    };
    let text = specs.iter().enumerate().map(document).collect::<Vec<_>>().join("---\n");
    parse("test.yaml", &text).unwrap_or_else(|problems| panic!("{problems:?} in {text}"))
}

/// `NAME,...@ADDRESS|PROTOCOL|PORT`, with `-` for no address.
fn attempt(text: &str) -> Attempt {
    let (names, rest) = text.split_once('@').expect("names @ address");
    let (address, rest) = rest.split_once('|').expect("address | protocol");
    let (protocol, port) = rest.split_once('|').expect("protocol | port");
    let names = names.split(',').filter(|name| !name.is_empty());
    Attempt {
        names: names.map(|name| Name::parse(name).expect("a name")).collect(),
        address: (address != "-").then(|| address.parse().expect("an address")),
        port: port.parse().expect("a port"),
        protocol: Protocol::from_word(protocol).expect("a protocol"),
    }
}
