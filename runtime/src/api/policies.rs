//! `/v1/policies`: what was read from the policy files, and whom it speaks of.

use serde::{Deserialize, Serialize};

use crate::model::{Mode, OnDeny, Origin, Policy, PolicyId, PolicyKind, Rule, Scope};

use super::PolicyProblem;

/// What is in force, and what was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    /// Every accepted policy, in the order of files.
    pub policies: Vec<PolicyRow>,
    /// What was refused; where a good version was read before, that one stays in force.
    pub problems: Vec<PolicyProblem>,
}

/// One accepted policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRow {
    /// `EgressPolicy`, `ClusterEgressPolicy`, or a kind of Kubernetes.
    pub kind: PolicyKind,
    /// Its namespace; none for a policy of the cluster.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// In force or only reported.
    pub mode: Mode,
    /// What its default deny covers.
    pub scope: Scope,
    /// Whether it makes its subjects default-deny.
    pub denies_by_default: bool,
    /// What a denied packet's sender sees.
    pub on_deny: OnDeny,
    /// Where it was written.
    pub origin: Origin,
    /// How many allow rules it has.
    pub allow: u64,
    /// How many deny rules it has.
    pub deny: u64,
    /// How many entries its ceiling has, where it has one: only what it covers may be allowed below it.
    pub ceiling: Option<u64>,
    /// The workloads it selects, as `namespace/name`, once it is in force on them.
    pub workloads: Vec<String>,
    /// What of the services and pods that its rules name is not as one may think: `RULE: ...`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl PolicyRow {
    /// From a policy and the workloads it selects.
    #[must_use]
    pub fn new(policy: &Policy, workloads: Vec<String>) -> Self {
        let notes_of = |rule: &Rule| {
            let name = rule.name.clone();
            rule.notes().into_iter().map(move |note| format!("{name}: {note}"))
        };
        Self {
            kind: policy.id.kind,
            namespace: policy.id.namespace.clone(),
            name: policy.id.name.clone(),
            mode: policy.mode,
            scope: policy.scope,
            denies_by_default: policy.denies_by_default(),
            on_deny: policy.on_deny,
            origin: policy.origin.clone(),
            allow: policy.allow.len() as u64,
            deny: policy.deny.len() as u64,
            ceiling: policy.ceiling.as_ref().map(|ceiling| ceiling.entries.len() as u64),
            workloads,
            notes: policy.rules().flat_map(notes_of).collect(),
        }
    }

    /// What verdicts call it: `namespace/name`, or the name alone.
    #[must_use]
    pub fn id(&self) -> PolicyId {
        PolicyId { kind: self.kind, namespace: self.namespace.clone(), name: self.name.clone() }
    }
}
