//! A module that was loaded: checked against the contract, and what it says of itself.

use std::sync::Arc;

use egret_contract::{Input, shown};
use serde::Serialize;

use super::attempt::Inputs;
use super::bindings::types;
use super::engine::Engine;
use super::fault::Fault;
use super::instance::Mould;
use super::manifest::Manifest;
use super::policy::Policy;
use super::refused::Refused;
use super::world::Imports;

/// The most bytes of settings.
const MAX_SETTINGS: usize = 64 << 10;
const MAX_SUMMARY: usize = 200;
const MAX_VERSION: usize = 64;
const MAX_SCHEMA: usize = 64 << 10;

/// A module that was loaded.
pub struct Module {
    name: String,
    digest: String,
    description: Description,
    manifest: Manifest,
    pub(super) engine: Engine,
    pub(super) mould: Mould,
    pub(super) inputs: Inputs,
}

/// What a module says of itself, checked and fit to be shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// One line for people.
    pub summary: String,
    /// The module's own version.
    pub version: String,
    /// What its decisions depend on; the rest it is never told.
    pub inputs: Vec<Input>,
    /// A JSON schema of its settings; `None`: it takes none, or says nothing about them.
    pub settings: Option<serde_json::Value>,
}

impl Module {
    pub(super) fn new(
        engine: Engine,
        name: &str,
        digest: String,
        manifest: Manifest,
        mould: Mould,
    ) -> Result<Self, Refused> {
        let said = mould
            .instance(engine.ticker())
            .and_then(|mut instance| instance.describe(engine.ticker(), &manifest.limits))
            .map_err(Refused::Describe)?;
        let description = checked(said)?;
        check_declared(mould.imports, &description.inputs)?;
        let inputs = Inputs::of(&description.inputs);
        Ok(Self { name: name.to_owned(), digest, description, manifest, engine, mould, inputs })
    }

    /// By which policies call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The SHA-256 of its bytes, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What it says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// What the operator says about it.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The host interfaces that it imports: `log`, `counters`, `clock`, `wasi`.
    #[must_use]
    pub fn imports(&self) -> Vec<&'static str> {
        let imports = self.mould.imports;
        let all = [
            (imports.log, "log"),
            (imports.counters, "counters"),
            (imports.clock, "clock"),
            (imports.wasi, "wasi"),
        ];
        all.into_iter().filter_map(|(imported, word)| imported.then_some(word)).collect()
    }

    /// Whether it is told of DNS answers.
    #[must_use]
    pub fn is_told_of_answers(&self) -> bool {
        self.mould.linked.answers.is_some()
    }

    /// Forgets what the module's counters have counted.
    pub fn forget_counters(&self) {
        self.mould.shared.forget();
    }

    /// The module with the settings of a policy. The module's `configure` runs once here.
    ///
    /// # Errors
    /// [`Fault::Settings`] with its text where it refuses them; else why it failed.
    pub fn configure(self: &Arc<Self>, settings: &serde_json::Value) -> Result<Arc<Policy>, Fault> {
        let settings = settings.to_string();
        if settings.len() > MAX_SETTINGS {
            let text = format!("they have {} bytes; the most is {MAX_SETTINGS}", settings.len());
            return Err(Fault::Settings(text));
        }
        Policy::new(self.clone(), settings)
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

fn checked(said: types::Description) -> Result<Description, Refused> {
    let wrong = |text: String| Err(Refused::Description(text));
    for (what, text, most) in [
        ("summary", &said.summary, MAX_SUMMARY),
        ("version", &said.version, MAX_VERSION),
        ("settings' schema", &said.settings_schema, MAX_SCHEMA),
    ] {
        if text.len() > most {
            return wrong(format!("its {what} has {} bytes; the most is {most}", text.len()));
        }
    }
    let settings = match said.settings_schema.as_str() {
        "" => None,
        text => match serde_json::from_str(text) {
            Ok(schema) => Some(schema),
            Err(error) => return wrong(format!("its settings' schema is no JSON: {error}")),
        },
    };
    let mut inputs: Vec<Input> = said.inputs.into_iter().map(input).collect();
    inputs.sort_unstable();
    if let Some(twice) = inputs.windows(2).find(|pair| pair[0] == pair[1]) {
        return wrong(format!("it declares the input `{}` twice", twice[0].word()));
    }
    Ok(Description {
        summary: shown(&said.summary, MAX_SUMMARY),
        version: shown(&said.version, MAX_VERSION),
        inputs,
        settings,
    })
}

fn input(input: types::Input) -> Input {
    match input {
        types::Input::Workload => Input::Workload,
        types::Input::Address => Input::Address,
        types::Input::Names => Input::Names,
        types::Input::Port => Input::Port,
        types::Input::Time => Input::Time,
        types::Input::Counters => Input::Counters,
    }
}

/// How long a verdict counts depends on what a module declares, so it must declare what it calls.
fn check_declared(imports: Imports, inputs: &[Input]) -> Result<(), Refused> {
    let needed = [(imports.counters, "counters", Input::Counters), (imports.clock, "clock", Input::Time)];
    match needed.into_iter().find(|(imported, _, input)| *imported && !inputs.contains(input)) {
        Some((_, interface, input)) => Err(Refused::NotDeclared { interface, input: input.word() }),
        None => Ok(()),
    }
}
