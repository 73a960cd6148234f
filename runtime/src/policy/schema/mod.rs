//! What a policy file may say: trees in, [`Policy`] out, or every mistake of the file with place and fix.
//! Pure; called by `parse`, which files, the command line and the restart all go through.

mod metadata;
mod module;
mod reader;
mod rule;
mod selector;
mod settings;
mod spec;
mod target;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Policy, PolicyId, PolicyKind};

use super::problem::{Problem, Span};
use super::yaml::{self, Node};
use reader::{Reader, Shape};
use target::Home;

const API_VERSION: &str = "egret.dev/v1alpha1";
const KINDS: [PolicyKind; 2] = [PolicyKind::EgressPolicy, PolicyKind::ClusterEgressPolicy];
const KIND_FIX: &str = "write `kind: EgressPolicy`, or `kind: ClusterEgressPolicy` for one of the cluster";
const LATER_KIND: &str = "PolicyModule";

const DOCUMENT: Shape = Shape {
    what: "a policy",
    keys: &["apiVersion", "kind", "metadata", "spec"],
    later: &[],
    misplaced: &[],
    synonyms: &[],
};

/// Reads the policies of one file, YAML (documents separated by `---`) or JSON. `file` is what problems and origins
/// call it.
///
/// # Errors
/// Every mistake found, at least one; then nothing of the file counts.
pub fn parse(file: &str, text: &str) -> Result<Vec<Policy>, Vec<Problem>> {
    parse_shared(&file.into(), &text.into())
}

pub(super) fn parse_shared(file: &Arc<str>, text: &Arc<str>) -> Result<Vec<Policy>, Vec<Problem>> {
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

fn read(reader: &mut Reader<'_>, document: &Node) -> Option<(Span, Policy)> {
    // The kind comes first: of another kind's document every other key would be a mistake too.
    let kind = kind_of(reader, document)?;
    let fields = reader.fields(document, document.at, &DOCUMENT)?;
    check_api_version(reader, &fields);
    let fix = match kind.is_of_cluster() {
        false => "write `metadata: {name: NAME, namespace: NAMESPACE}`",
        true => "write `metadata: {name: NAME}`",
    };
    let id = fields.require(reader, "metadata", fix).and_then(|entry| metadata::read(reader, entry, kind));
    let home = Home::of(kind, id.as_ref().map(|(_, id)| id));
    let spec = fields
        .require(reader, "spec", "write `spec:` with podSelector, mode, scope and rules")
        .and_then(|entry| spec::read(reader, entry, kind, home));
    let (at, id) = id?;
    let spec = spec?;
    let origin = reader.origin(document.at);
    Some((at, Policy { id, origin, ..spec }))
}

fn kind_of(reader: &mut Reader<'_>, document: &Node) -> Option<PolicyKind> {
    let yaml::Value::Map(entries) = &document.value else {
        let reason = format!("the document is {}, not a policy", document.value.kind());
        reader.refuse(document.at, reason, format!("start it with `apiVersion: {API_VERSION}`"));
        return None;
    };
    let Some(entry) = entries.iter().find(|entry| entry.key == "kind") else {
        reader.refuse(document.at, "the document has no `kind`", KIND_FIX);
        return None;
    };
    let word = reader.text(entry, KIND_FIX)?;
    let kind = KINDS.into_iter().find(|kind| kind.word() == word);
    if kind.is_none() {
        let reason = match word {
            LATER_KIND => format!("`kind: {word}` is not in this version of Egret"),
            _ => format!("`{word}` is not a kind of policy"),
        };
        reader.refuse(entry.node.at, reason, KIND_FIX);
    }
    kind
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

fn refuse_twins(reader: &mut Reader<'_>, policies: &[(Span, Policy)]) {
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
