//! The whole of `policy` at work: files of `tests/policies/`, and the compiled ruleset against the plain evaluator.

pub(crate) mod agreement;
mod cases;
mod explaining;
mod files;

use crate::model::{Attempt, EgressPolicy, Name, Protocol};

use super::parse;

/// The policies of `specs`, each named `p0`, `p1`, ... in namespace `n` and selecting everything.
fn policies(specs: &[&str]) -> Vec<EgressPolicy> {
    if specs.is_empty() {
        return Vec::new();
    }
    let document = |(number, spec): (usize, &&str)| {
        format!(
            "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {{name: p{number}, namespace: n}}\n\
             spec: {{podSelector: {{}}, {spec}}}\n"
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
