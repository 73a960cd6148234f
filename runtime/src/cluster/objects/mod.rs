//! The kinds of objects that Egret adds to Kubernetes: what `kubectl explain` tells of them, and what an API server refuses.
//!
//! Of policies the schema and its rules are all that these types are for: what an object says is read by [`crate::policy`],
//! as a file would be, for there is one reader of policies. What agents tell of them is written by these types.
//! `deploy/crds` is generated from here.

#[allow(clippy::duplicated_attributes, reason = "each `printcolumn` has its own")]
pub(super) mod node;
mod rule;
#[allow(clippy::duplicated_attributes, reason = "each `printcolumn` has its own")]
mod spec;
mod status;

use kube::core::CustomResourceExt;
use serde_json::Value;

pub use node::{EgressNodeStatus, EgressNodeStatusSpec, PodNotCovered, PolicyOnNode, PolicyProblem};
pub use spec::{ClusterEgressPolicy, EgressPolicy};
pub use status::{Condition, ConditionStatus, PolicyStatus};

/// The group of all of them.
pub const GROUP: &str = "egret.dev";
/// Their version.
pub const VERSION: &str = "v1alpha1";

/// The definitions of all kinds, each with the name of its file, as YAML.
///
/// # Errors
/// Never, as a test sees.
pub fn definitions() -> Result<Vec<(String, String)>, String> {
    [EgressPolicy::crd(), ClusterEgressPolicy::crd(), EgressNodeStatus::crd()]
        .into_iter()
        .map(|definition| {
            let name = definition.spec.names.plural.clone();
            let plain = plain(serde_json::to_value(&definition).map_err(|error| error.to_string())?);
            let text = serde_saphyr::to_string(&plain).map_err(|error| error.to_string())?;
            Ok((format!("{name}.{GROUP}.yaml"), text))
        })
        .collect()
}

/// Without what allows nothing to be written out: what is left out is left out, and a rule need not tell that from nothing.
/// Whole numbers without a fraction.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields =
                fields.into_iter().filter(|(key, value)| key != "nullable" || *value != Value::Bool(true));
            let fields = fields.map(|(key, value)| match (key.as_str(), value) {
                ("enum", Value::Array(words)) => {
                    (key, Value::Array(words.into_iter().filter(|word| !word.is_null()).collect()))
                }
                (_, value) => (key, plain(value)),
            });
            Value::Object(fields.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(plain).collect()),
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < f64::from(i32::MAX) => {
                Value::from(float as i64)
            }
            _ => Value::Number(number),
        },
        other => other,
    }
}
