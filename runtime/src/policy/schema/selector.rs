//! `namespaceSelector` and `podSelector`: whom a policy is about, by labels.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Operator, Requirement, Selector};

use super::super::problem::Span;
use super::super::yaml::{Entry, Node, Value};
use super::reader::{Fields, Reader, Shape};
use super::words;

/// One of the selectors, and what to write where it is missing.
pub(super) struct Wanted {
    key: &'static str,
    fix: &'static str,
}

/// Which namespaces.
pub(super) const NAMESPACES: Wanted = Wanted {
    key: "namespaceSelector",
    fix: "write `namespaceSelector: {matchLabels: {tier: NAME}}`, or `namespaceSelector: {}` for all of them",
};

/// Which workloads of the selected namespaces.
pub(super) const PODS: Wanted = Wanted {
    key: "podSelector",
    fix: "write `podSelector: {matchLabels: {app: NAME}}`, or `podSelector: {}` for all of the namespaces",
};

/// Which workloads of the policy's own namespace.
pub(super) const OWN_PODS: Wanted = Wanted {
    key: "podSelector",
    fix: "write `podSelector: {matchLabels: {app: NAME}}`, or `podSelector: {}` for all of the namespace",
};

const REQUIREMENT: Shape = Shape {
    what: "an entry of matchExpressions",
    keys: &["key", "operator", "values"],
    later: &[],
    misplaced: &[],
    synonyms: &[("label", "key"), ("op", "operator"), ("value", "values")],
};

const EXPRESSIONS_FIX: &str = "write `matchExpressions: [{key: tier, operator: In, values: [prod]}]`";
const VALUE_FIX: &str =
    "use at most 63 letters, digits, `-`, `_` or `.`, with a letter or digit at either end";

#[derive(Clone, Copy)]
enum Word {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

const OPERATORS: [(&str, Word); 4] = [
    ("In", Word::In),
    ("NotIn", Word::NotIn),
    ("Exists", Word::Exists),
    ("DoesNotExist", Word::DoesNotExist),
];

/// The selector of `fields`; its absence is a mistake, for who is meant is always written out.
pub(super) fn require(reader: &mut Reader<'_>, fields: &Fields<'_>, wanted: &Wanted) -> Option<Selector> {
    let entry = fields.require(reader, wanted.key, wanted.fix)?;
    read(reader, entry, wanted)
}

/// The selector that is written under a key.
pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry, wanted: &Wanted) -> Option<Selector> {
    let shape = Shape {
        what: wanted.key,
        keys: &["matchLabels", "matchExpressions"],
        later: &[],
        misplaced: &[],
        synonyms: &[("labels", "matchLabels"), ("expressions", "matchExpressions")],
    };
    let fields = reader.fields(&entry.node, entry.at, &shape)?;
    let match_labels = match fields.get("matchLabels") {
        Some(entry) => labels(reader, entry, wanted.fix),
        None => Some(BTreeMap::new()),
    };
    let match_expressions = match fields.get("matchExpressions") {
        Some(entry) => requirements(reader, entry),
        None => Some(Vec::new()),
    };
    Some(Selector { match_labels: match_labels?, match_expressions: match_expressions? })
}

fn labels(reader: &mut Reader<'_>, entry: &Entry, fix: &str) -> Option<BTreeMap<String, String>> {
    let Value::Map(entries) = &entry.node.value else {
        let reason = format!("`matchLabels` must be a mapping, but this is {}", entry.node.value.kind());
        reader.refuse(entry.node.at, reason, fix);
        return None;
    };
    let read: Vec<_> = entries
        .iter()
        .map(|entry| {
            let key = label_key(reader, &entry.key, entry.at)?;
            let text = reader.text(entry, "write another value")?;
            Some((key, label_value(reader, text, entry.node.at)?))
        })
        .collect();
    read.into_iter().collect()
}

fn requirements(reader: &mut Reader<'_>, entry: &Entry) -> Option<Vec<Requirement>> {
    let items = reader.list(entry, EXPRESSIONS_FIX)?;
    let read: Vec<_> = items.iter().map(|node| requirement(reader, node)).collect();
    read.into_iter().collect()
}

fn requirement(reader: &mut Reader<'_>, node: &Node) -> Option<Requirement> {
    let fields = reader.fields(node, node.at, &REQUIREMENT)?;
    let key = fields.require(reader, "key", "write `key: LABEL`").and_then(|entry| {
        let text = reader.text(entry, "write the key of a label")?;
        label_key(reader, text, entry.node.at)
    });
    let operator = fields
        .require(reader, "operator", "write `operator: In`, `NotIn`, `Exists` or `DoesNotExist`")
        .and_then(|entry| reader.word(entry, &OPERATORS));
    let operator = match operator? {
        Word::In => Operator::In(values(reader, &fields)?),
        Word::NotIn => Operator::NotIn(values(reader, &fields)?),
        Word::Exists => no_values(reader, &fields, Operator::Exists)?,
        Word::DoesNotExist => no_values(reader, &fields, Operator::DoesNotExist)?,
    };
    Some(Requirement { key: key?, operator })
}

fn values(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<BTreeSet<String>> {
    let fix = "write `values: [VALUE, ...]`";
    let entry = fields.require(reader, "values", fix)?;
    let items = reader.list(entry, fix)?;
    if items.is_empty() {
        reader.refuse(entry.at, "`values` is empty", format!("{fix}, or `operator: Exists` without values"));
        return None;
    }
    let read: Vec<_> = items
        .iter()
        .map(|node| match &node.value {
            Value::Text(text) => label_value(reader, text, node.at),
            other => {
                let reason = format!("the value of a label must be a text, but this is {}", other.kind());
                reader.refuse(node.at, reason, "put it in quotes, or write another value");
                None
            }
        })
        .collect();
    read.into_iter().collect()
}

fn no_values(reader: &mut Reader<'_>, fields: &Fields<'_>, operator: Operator) -> Option<Operator> {
    let Some(entry) = fields.get("values") else { return Some(operator) };
    let reason = "`Exists` and `DoesNotExist` ask for no values";
    reader.refuse(entry.at, reason, "take `values` out, or write `operator: In` or `NotIn`");
    None
}

fn label_key(reader: &mut Reader<'_>, text: &str, at: Span) -> Option<String> {
    if words::is_label_key(text) {
        return Some(text.to_owned());
    }
    let fix = "use an optional `prefix.example/`, then 1 to 63 letters, digits, `-`, `_` or `.`";
    reader.refuse(at, format!("`{text}` cannot be the key of a label"), fix);
    None
}

fn label_value(reader: &mut Reader<'_>, text: &str, at: Span) -> Option<String> {
    if words::is_label_value(text) {
        return Some(text.to_owned());
    }
    reader.refuse(at, format!("`{text}` cannot be the value of a label"), VALUE_FIX);
    None
}
