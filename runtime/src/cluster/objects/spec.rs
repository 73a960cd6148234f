//! The two kinds of policies.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::rule::{AllowRule, DenyRule};
use super::status::PolicyStatus;

/// What pods of this namespace may reach.
#[derive(Clone, Debug, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "egret.dev",
    version = "v1alpha1",
    kind = "EgressPolicy",
    plural = "egresspolicies",
    shortname = "egp",
    category = "egret",
    namespaced,
    status = "PolicyStatus",
    doc = "What pods of this namespace may reach. A policy is in force on every node that runs a pod it selects.",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Workloads", type_ = "integer", json_path = ".status.workloads"),
    printcolumn(
        name = "Denied",
        type_ = "integer",
        json_path = ".status.deniedLastHour",
        description = "First packets denied in the last hour"
    ),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Accepted')].status"
    ),
    printcolumn(
        name = "Enforced",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Enforced')].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.allow) || has(self.deny) || has(self.default) || has(self.modules)").message(
        "the policy does nothing: add rules under `allow` or `deny`, or write `default: Deny` to deny everything in its scope"
    ),
    validation = Rule::new(
        "!has(self.modules) || has(self.allow) || has(self.default) || self.modules.all(module, module.stage != 'unmatched')"
    )
    .message(
        "what a module of stage `unmatched` allows is allowed anyway: the policy denies nothing by default; add `default: Deny`, \
         or write `stage: always` if the module is to deny only"
    ),
)]
pub struct EgressPolicySpec {
    /// Which pods of the namespace; `{}` is all of them.
    pub pod_selector: LabelSelector,
    /// What is allowed; all else in its scope is denied then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    pub allow: Vec<AllowRule>,
    /// What is denied, whatever is allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    pub deny: Vec<DenyRule>,
    /// What both kinds have.
    #[serde(flatten)]
    pub common: CommonFields,
}

/// What pods of any namespaces may reach, and what namespaces may allow.
#[derive(Clone, Debug, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "egret.dev",
    version = "v1alpha1",
    kind = "ClusterEgressPolicy",
    plural = "clusteregresspolicies",
    shortname = "cegp",
    category = "egret",
    status = "PolicyStatus",
    doc = "What pods of the namespaces that it selects may reach, and what policies of these namespaces may allow.",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Workloads", type_ = "integer", json_path = ".status.workloads"),
    printcolumn(
        name = "Denied",
        type_ = "integer",
        json_path = ".status.deniedLastHour",
        description = "First packets denied in the last hour"
    ),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Accepted')].status"
    ),
    printcolumn(
        name = "Enforced",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Enforced')].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "has(self.allow) || has(self.deny) || has(self.default) || has(self.ceiling) || has(self.modules)"
    )
    .message(
        "the policy does nothing: add rules under `allow` or `deny`, a `ceiling`, or write `default: Deny` to deny everything \
         in its scope"
    ),
    validation = Rule::new(
        "!has(self.modules) || has(self.allow) || has(self.default) || has(self.ceiling) || \
         self.modules.all(module, module.stage != 'unmatched')"
    )
    .message(
        "what a module of stage `unmatched` allows is allowed anyway: the policy denies nothing by default; add `default: Deny`, \
         or write `stage: always` if the module is to deny only"
    ),
)]
pub struct ClusterEgressPolicySpec {
    /// Which namespaces; `{}` is all of them.
    pub namespace_selector: LabelSelector,
    /// Which pods of these namespaces; `{}` is all of them.
    pub pod_selector: LabelSelector,
    /// What is allowed; all else in its scope is denied then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(
        validation = Rule::new("self.all(rule, rule.to.all(to, !has(to.service) || has(to.service.namespace)))").message(
            "a ClusterEgressPolicy is of no namespace, so it must say of which one a service is: write \
             `service: {name: NAME, namespace: NAMESPACE}`"
        ),
        validation = Rule::new("self.all(rule, rule.to.all(to, !has(to.pods) || has(to.pods.namespaceSelector)))").message(
            "a ClusterEgressPolicy is of no namespace, so it must say of which ones pods are: write \
             `pods: {namespaceSelector: {matchLabels: {tier: NAME}}}`, with a `podSelector` beside it or without"
        ),
    )]
    pub allow: Vec<AllowRule>,
    /// What is denied, whatever is allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(
        validation = Rule::new("self.all(rule, rule.to.all(to, !has(to.service) || has(to.service.namespace)))").message(
            "a ClusterEgressPolicy is of no namespace, so it must say of which one a service is: write \
             `service: {name: NAME, namespace: NAMESPACE}`"
        ),
        validation = Rule::new("self.all(rule, rule.to.all(to, !has(to.pods) || has(to.pods.namespaceSelector)))").message(
            "a ClusterEgressPolicy is of no namespace, so it must say of which ones pods are: write \
             `pods: {namespaceSelector: {matchLabels: {tier: NAME}}}`, with a `podSelector` beside it or without"
        ),
    )]
    pub deny: Vec<DenyRule>,
    /// What any allow of a namespace's policy or of a module is intersected with; `[]` lets none of them count.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(
        validation = Rule::new("self.all(rule, rule.to.all(to, !has(to.service) || has(to.service.namespace)))").message(
            "a ClusterEgressPolicy is of no namespace, so it must say of which one a service is: write \
             `service: {name: NAME, namespace: NAMESPACE}`"
        ),
        validation = Rule::new("self.all(rule, rule.to.all(to, !has(to.pods) || has(to.pods.namespaceSelector)))").message(
            "a ClusterEgressPolicy is of no namespace, so it must say of which ones pods are: write \
             `pods: {namespaceSelector: {matchLabels: {tier: NAME}}}`, with a `podSelector` beside it or without"
        ),
    )]
    pub ceiling: Option<Vec<AllowRule>>,
    /// What both kinds have.
    #[serde(flatten)]
    pub common: CommonFields,
}

/// What both kinds of policies have.
#[derive(Clone, Debug, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommonFields {
    /// Whether what it says happens, or is only reported.
    pub mode: Mode,
    /// What its default deny covers, and of what its modules are asked.
    pub scope: Scope,
    /// What the sender of a denied packet sees.
    #[serde(default)]
    pub on_deny: OnDeny,
    /// `Deny`: whatever is in its scope and no rule allows. Needed only where there are no allow rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Fallback>,
    /// Which policy modules are asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 8))]
    pub modules: Vec<Module>,
}

/// Whether a policy is in force.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the field says it")]
pub enum Mode {
    Observe,
    Enforce,
}

/// Destinations.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the field says it")]
pub enum Scope {
    Internet,
    All,
}

/// What the sender of a denied packet sees.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the field says it")]
pub enum OnDeny {
    #[default]
    Reject,
    Drop,
}

/// What becomes of what no rule allows.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the field says it")]
pub enum Fallback {
    Deny,
}

/// A policy module that is asked.
#[derive(Clone, Debug, Serialize, Deserialize, KubeSchema)]
pub struct Module {
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
            .message("use 1 to 63 lower-case letters, digits and `-` (not first or last)"),
    )]
    pub name: String,
    /// `unmatched`: it is asked where no rule speaks. `always`: it may deny what rules allow. `answers`: it is told of DNS
    /// answers.
    pub stage: Stage,
    /// What it is told, as the module's own schema says.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "anything")]
    pub settings: Map<String, Value>,
}

/// When a module is asked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the field says it")]
pub enum Stage {
    Unmatched,
    Always,
    Answers,
}

fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}
