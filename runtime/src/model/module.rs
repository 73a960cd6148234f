//! Policy modules, as policies name them and as the layers that run them tell of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One entry of a policy's `modules`: which module is asked, when, and how it is set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleUse {
    /// The module, an RFC 1123 label; each once in a policy.
    pub name: Arc<str>,
    /// When it is asked.
    pub stage: ModuleStage,
    /// Its settings as canonical JSON: an object, keys sorted, no white space. Equal settings are equal texts.
    pub settings: Arc<str>,
}

/// When a module is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModuleStage {
    /// Where no rule speaks: it may allow and deny.
    Unmatched,
    /// Wherever no rule denies: it may only deny.
    Always,
    /// At no first packet: it is told of DNS answers, and may have later ones refused.
    Answers,
}

/// What a module says of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModuleAnswer {
    /// It may go on.
    Allow,
    /// It may not.
    Deny,
    /// It is for others to say.
    Next,
}

/// What counts as the answer of a module that gives none: it failed, it is not there, or nobody can be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailurePolicy {
    /// As if it denied.
    #[default]
    Deny,
    /// As if it allowed.
    Allow,
    /// As if it left it to others.
    Next,
}

impl From<FailurePolicy> for ModuleAnswer {
    fn from(failure: FailurePolicy) -> Self {
        match failure {
            FailurePolicy::Deny => Self::Deny,
            FailurePolicy::Allow => Self::Allow,
            FailurePolicy::Next => Self::Next,
        }
    }
}

/// What decisions need to know of a module that is loaded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModuleFacts {
    /// Of its bytes: of another digest it is another module, and what it said before no longer counts.
    pub digest: Arc<str>,
    /// What counts where it gives no answer.
    pub failure: FailurePolicy,
}

/// The modules that are loaded, by name.
pub type Modules = BTreeMap<Arc<str>, ModuleFacts>;
