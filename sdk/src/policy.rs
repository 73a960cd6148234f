//! What a policy is, for the attributes and the test kit.

use std::cell::RefCell;
use std::thread::LocalKey;

use egret_contract::{Attempt, Decision, DnsAnswer, Input, Opinion};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Where the settings of a module are between `configure` and `decide`.
pub type Slot<T> = RefCell<Option<T>>;

/// A policy. `#[policy]` writes this.
pub trait Policy {
    /// What a policy object may say under `settings`.
    type Settings: DeserializeOwned + JsonSchema + 'static;
    /// One line for people.
    const SUMMARY: &'static str;
    /// The module's version.
    const VERSION: &'static str;
    /// What decisions depend on.
    const INPUTS: &'static [Input];

    /// Decides.
    fn decide(attempt: &Attempt, settings: &Self::Settings) -> Decision;

    /// Is told of a DNS answer.
    fn on_answer(answer: &DnsAnswer, settings: &Self::Settings) -> Opinion {
        let _ = (answer, settings);
        Opinion::Pass
    }

    /// Where the settings are.
    #[doc(hidden)]
    fn slot() -> &'static LocalKey<Slot<Self::Settings>>;
}

/// For modules without settings: nothing, or an empty mapping.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// Reads settings. None at all are the same as an empty mapping.
pub(crate) fn read_settings<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    let json = if json.trim() == "null" { "{}" } else { json };
    serde_json::from_str(json).map_err(|error| {
        let text = error.to_string();
        // The place is one in JSON that the agent wrote; nobody sees it.
        text.rsplit_once(" at line ").map_or(text.clone(), |(text, _)| text.to_owned())
    })
}

/// The JSON schema of a policy's settings.
pub(crate) fn schema<P: Policy>() -> String {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    let schema = settings.into_generator().into_root_schema_for::<P::Settings>();
    serde_json::to_string(&schema).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_are_not_given_are_empty_ones() {
        assert!(read_settings::<NoSettings>("null").is_ok());
        assert!(read_settings::<NoSettings>("{}").is_ok());
        let error = read_settings::<NoSettings>("{\"days\": []}").expect_err("unknown");
        assert!(error.contains("unknown field `days`") && !error.contains("line"), "{error}");
    }
}
