//! Reads policies that are objects of Kubernetes' own kinds: the JSON of an object in, a [`Policy`] out that has nothing of
//! Egret's. Pure; called through [`super::Good::parse_upstream`].
//!
//! The API server has checked them, so that what cannot be read here is of a version that this one does not know. It must not
//! widen what the rest says: a rule that accepts covers nothing then, and one whose selector cannot be read is about all whom it may be
//! about. Each is told as a problem, and where an earlier version of the object was read whole, that one stays in force.

mod cluster_network_policy;
mod json;
mod network_policy;
mod parts;

use std::sync::Arc;

use serde_json::Value;

use crate::model::{Mode, OnDeny, Origin, Policy, PolicyId, PolicyKind, Scope, Selector, Upstream};

use super::load::Good;
use super::problem::Problem;
use json::{At, Wrong};

const FIX: &str = "write it as this version of Egret knows it (docs/network-policies.md), or update Egret";

/// Whether `text` is that of an object of these kinds.
pub(super) fn is_upstream(text: &str) -> bool {
    text.starts_with('{') && kind_of(text).is_some()
}

fn kind_of(text: &str) -> Option<(PolicyKind, Value)> {
    let object: Value = serde_json::from_str(text).ok()?;
    let kind = PolicyKind::ALL.into_iter().filter(|kind| kind.is_upstream());
    let kind = kind.into_iter().find(|kind| object["kind"] == kind.word())?;
    Some((kind, object))
}

/// Reads the object `text`.
///
/// # Errors
/// It is none of these kinds.
pub(super) fn parse(file: &Arc<str>, text: &Arc<str>) -> Result<Good, Vec<Problem>> {
    let Some((kind, object)) = kind_of(text) else {
        let reason = "this is no object of a policy of Kubernetes";
        return Err(vec![Problem::whole(file, reason, FIX)]);
    };
    let word = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    let id = PolicyId::of(kind, word("namespace"), word("name"));
    let (spec, mut wrong) = (At::spec(&object["spec"]), Vec::new());
    let read = match kind {
        PolicyKind::NetworkPolicy => {
            network_policy::read(&spec, word("namespace"), &origin(file), &mut wrong)
        }
        _ => cluster_network_policy::read(&spec, &origin(file), &mut wrong),
    };
    let policy = read.map(|read| policy(id, read, origin(file)));
    let problem = |wrong: Wrong| Problem::in_object(file, wrong.path, wrong.reason, FIX);
    Ok(Good {
        text: text.clone(),
        policies: policy.into_iter().collect(),
        unread: wrong.into_iter().map(problem).collect(),
    })
}

/// What was read of an object: whom it selects, and what it says.
struct Read {
    namespaces: Selector,
    pods: Selector,
    upstream: Upstream,
}

fn policy(id: PolicyId, read: Read, origin: Origin) -> Policy {
    Policy {
        id,
        origin,
        namespace_selector: read.namespaces,
        pod_selector: read.pods,
        mode: Mode::Enforce,
        scope: Scope::All,
        on_deny: OnDeny::Reject,
        default_deny: false,
        allow: Vec::new(),
        deny: Vec::new(),
        ceiling: None,
        modules: Vec::new(),
        upstream: Some(read.upstream),
    }
}

/// The object as a whole: nobody sees the lines of its text.
fn origin(file: &Arc<str>) -> Origin {
    Origin { file: file.clone(), line: 1, column: 1 }
}
