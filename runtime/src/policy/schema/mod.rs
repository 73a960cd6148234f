//! What a policy file may say: trees in, [`EgressPolicy`] out, or every mistake of the file with place and fix.
//! Pure; called by `parse`, which files, the command line and the restart all go through.

mod metadata;
mod reader;
mod rule;
mod spec;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{EgressPolicy, PolicyId};

use super::problem::{Problem, Span};
use super::yaml::{self, Node};
use reader::{Reader, Shape};

const API_VERSION: &str = "egret.dev/v1alpha1";
const KIND: &str = "EgressPolicy";
const LATER_KINDS: [&str; 2] = ["ClusterEgressPolicy", "PolicyModule"];

const DOCUMENT: Shape =
    Shape { what: "a policy", keys: &["apiVersion", "kind", "metadata", "spec"], later: &[], synonyms: &[] };

/// Reads the policies of one file, YAML (documents separated by `---`) or JSON. `file` is what problems and origins
/// call it.
///
/// # Errors
/// Every mistake found, at least one; then nothing of the file counts.
pub fn parse(file: &str, text: &str) -> Result<Vec<EgressPolicy>, Vec<Problem>> {
    parse_shared(&file.into(), &text.into())
}

pub(super) fn parse_shared(file: &Arc<str>, text: &Arc<str>) -> Result<Vec<EgressPolicy>, Vec<Problem>> {
    let documents = yaml::documents(file, text).map_err(|problem| vec![problem])?;
    if documents.is_empty() {
        // A file caught in the middle of being written must not take its policies out of force.
        let fix = "write a policy, or delete the file to take its policies out of force";
        return Err(vec![Problem::whole(file, "the file holds no policy", fix)]);
    }
    let mut reader = Reader::new(file, text);
    let policies: Vec<_> = documents.iter().filter_map(|node| read(&mut reader, node)).collect();
    refuse_twins(&mut reader, &policies);
    if reader.problems.is_empty() {
        Ok(policies.into_iter().map(|(_, policy)| policy).collect())
    } else {
        Err(reader.problems)
    }
}

fn read(reader: &mut Reader<'_>, document: &Node) -> Option<(Span, EgressPolicy)> {
    // The kind comes first: of another kind's document every other key would be a mistake too.
    if !is_egress_policy(reader, document) {
        return None;
    }
    let fields = reader.fields(document, document.at, &DOCUMENT)?;
    check_api_version(reader, &fields);
    let id = fields
        .require(reader, "metadata", "write `metadata: {name: NAME, namespace: NAMESPACE}`")
        .and_then(|entry| metadata::read(reader, entry));
    let spec = fields
        .require(reader, "spec", "write `spec:` with podSelector, mode, scope and rules")
        .and_then(|entry| spec::read(reader, entry));
    let (at, id) = id?;
    let spec = spec?;
    let origin = reader.origin(document.at);
    Some((at, EgressPolicy { id, origin, ..spec }))
}

fn is_egress_policy(reader: &mut Reader<'_>, document: &Node) -> bool {
    let fix = format!("write `kind: {KIND}`");
    let yaml::Value::Map(entries) = &document.value else {
        let reason = format!("the document is {}, not a policy", document.value.kind());
        reader.refuse(document.at, reason, format!("start it with `apiVersion: {API_VERSION}`"));
        return false;
    };
    let Some(entry) = entries.iter().find(|entry| entry.key == "kind") else {
        reader.refuse(document.at, "the document has no `kind`", fix);
        return false;
    };
    let Some(kind) = reader.text(entry, &fix) else { return false };
    if kind == KIND {
        return true;
    }
    if LATER_KINDS.contains(&kind) {
        let reason = format!("`kind: {kind}` is not in this version of Egret");
        reader.refuse(entry.node.at, reason, format!("use `kind: {KIND}`, one for each namespace"));
    } else {
        let reason = format!("`{kind}` is not a kind of policy");
        reader.refuse(entry.node.at, reason, fix);
    }
    false
}

fn check_api_version(reader: &mut Reader<'_>, fields: &reader::Fields<'_>) {
    let fix = format!("write `apiVersion: {API_VERSION}`");
    let Some(entry) = fields.require(reader, "apiVersion", &fix) else { return };
    if let Some(version) = reader.text(entry, &fix)
        && version != API_VERSION
    {
        reader.refuse(entry.node.at, format!("`{version}` is not an apiVersion this version reads"), fix);
    }
}

fn refuse_twins(reader: &mut Reader<'_>, policies: &[(Span, EgressPolicy)]) {
    let mut seen: BTreeMap<&PolicyId, Span> = BTreeMap::new();
    for (at, policy) in policies {
        if let Some(first) = seen.get(&policy.id) {
            let reason = format!(
                "the policy {} is written twice: at line {} and at line {}",
                policy.id, first.line, at.line
            );
            reader.refuse(*at, reason, "give one of them another name, or merge their rules");
        } else {
            seen.insert(&policy.id, *at);
        }
    }
}
