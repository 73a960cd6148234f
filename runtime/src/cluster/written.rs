//! Policies that are objects, read as files are. Pure.

use std::sync::Arc;

use serde_json::{Value, json};

use super::mirror::{Key, Told};
use super::objects::{GROUP, VERSION};
use crate::model::PolicyKind;
use crate::policy::{Good, Outcome};

/// A policy as it was written.
#[derive(Debug)]
pub(super) struct Written {
    /// Which writing of the object: its UID, and its generation. Of another one the spec may be another.
    pub version: Version,
    pub spec: Value,
}

/// Which writing of an object.
pub(super) type Version = (String, i64);

/// A policy as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub version: Version,
    pub outcome: Outcome,
}

/// Reads the policies of what was told.
pub(super) fn read(kind: PolicyKind, told: Told<Written>) -> Told<Read> {
    let read = |key: &Key, Written { version, spec }| Read { version, outcome: outcome(kind, key, &spec) };
    match told {
        Told::Begun => Told::Begun,
        Told::Whole => Told::Whole,
        Told::Gone(key) => Told::Gone(key),
        Told::Listed(key, written) => {
            let read = read(&key, written);
            Told::Listed(key, read)
        }
        Told::Changed(key, written) => {
            let read = read(&key, written);
            Told::Changed(key, read)
        }
    }
}

fn outcome(kind: PolicyKind, (namespace, name): &Key, spec: &Value) -> Outcome {
    let word = kind.word();
    let (file, metadata) = match kind.is_of_cluster() {
        false => (format!("{word}/{namespace}/{name}"), json!({"name": name, "namespace": namespace})),
        true => (format!("{word}/{name}"), json!({"name": name})),
    };
    let file: Arc<str> = file.into();
    if kind.is_upstream() {
        let object = json!({ "kind": word, "metadata": metadata, "spec": spec });
        let read = Good::parse_upstream(&file, &object.to_string().into());
        return (file, read);
    }
    let object = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": word, "metadata": metadata, "spec": spec,
    });
    // JSON is YAML; this is only easier to count lines in.
    let text = serde_saphyr::to_string(&object).unwrap_or_else(|_| object.to_string());
    let read = Good::parse_object(&file, text.into());
    (file, read)
}
