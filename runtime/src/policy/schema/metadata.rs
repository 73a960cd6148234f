//! `metadata`: which policy this is.

use crate::model::{PolicyId, PolicyKind};

use super::super::problem::Span;
use super::super::yaml::Entry;
use super::reader::{Reader, Shape};
use super::words;

const OF_NAMESPACE: Shape = Shape {
    what: "metadata",
    keys: &["name", "namespace", "labels", "annotations"],
    later: &[],
    misplaced: &[],
    synonyms: &[],
};

const OF_CLUSTER: Shape = Shape {
    what: "metadata of a ClusterEgressPolicy",
    keys: &["name", "labels", "annotations"],
    misplaced: &[(
        "namespace",
        "a ClusterEgressPolicy is of no namespace",
        "take it out, and select namespaces with `spec: {namespaceSelector: ...}`",
    )],
    ..OF_NAMESPACE
};

/// The policy's id, and where its name stands.
pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry, kind: PolicyKind) -> Option<(Span, PolicyId)> {
    let shape = if kind.is_of_cluster() { &OF_CLUSTER } else { &OF_NAMESPACE };
    let fields = reader.fields(&entry.node, entry.at, shape)?;
    let name = fields.require(reader, "name", "write `name: NAME`");
    let name = name.and_then(|entry| {
        let name = checked(reader, entry, words::is_subdomain, "labels of 1 to 63", "joined by dots")?;
        Some((entry.node.at, name))
    });
    let namespace = match kind.is_of_cluster() {
        true => Some(None),
        false => fields
            .require(reader, "namespace", "write `namespace: NAMESPACE`, that of the workloads")
            .and_then(|entry| checked(reader, entry, words::is_label, "1 to 63", "and no dots"))
            .map(Some),
    };
    let (at, name) = name?;
    Some((at, PolicyId { kind, namespace: namespace?, name }))
}

fn checked(
    reader: &mut Reader<'_>,
    entry: &Entry,
    is_good: fn(&str) -> bool,
    length: &str,
    rest: &str,
) -> Option<String> {
    let text = reader.text(entry, &format!("give another {}", entry.key))?;
    if is_good(text) {
        return Some(text.to_owned());
    }
    let reason = format!("`{text}` cannot be the {} of a policy", entry.key);
    let fix = format!("use {length} lower-case letters, digits and `-` (not first or last), {rest}");
    reader.refuse(entry.node.at, reason, fix);
    None
}
