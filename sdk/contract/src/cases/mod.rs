//! Cases: what a module is asked in a test, and what it must answer. One file serves the native test of a module and the
//! test of its `.wasm`.
//!
//! ```yaml
//! settings: {days: [mon], from: "08:00", to: "18:00", zone: Europe/Paris}
//! attempt: {names: [github.com], port: 22}              # what each case's attempt starts from
//! budget: {fuel: 100000, milliseconds: 5, memoryKiB: 2048}   # each decision's, of the `.wasm` alone
//! cases:
//! - name: on a Monday morning
//!   attempt: {time: "2026-11-23T09:00:00+01:00"}
//!   expect: allow
//! - name: settings without a zone
//!   settings: {days: [mon], from: "08:00", to: "18:00"}
//!   refused: missing field
//! - name: the third in a minute                       # one after another, with the same counters
//!   steps:
//!   - {expect: next}
//!   - {expect: next}
//!   - {expect: {answer: deny, reason: too many}}
//! - name: an answer of DNS, for modules that are told of them
//!   lookUp: {name: a.example.com, type: TXT, size: 900}
//!   expect: {answer: refuse, domain: example.com, ttl: 60}
//! ```

mod sketch;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

pub use crate::expect::{Expect, More, Seen, Word};
pub use crate::lookup::{LookUp, RecordType};
use crate::{Attempt, DnsAnswer};

pub use sketch::{Sketch, WorkloadSketch};

/// The largest file of cases, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// A file of cases.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Cases {
    /// The settings of cases that say none.
    pub settings: Value,
    /// What each attempt starts from.
    pub attempt: Sketch,
    /// What a decision of the `.wasm` may cost.
    pub budget: Budget,
    /// The cases.
    pub cases: Vec<Case>,
}

/// What a decision may cost; no number, no limit but the module's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Budget {
    /// Units of work, about one for each instruction: the same on every machine.
    pub fuel: Option<u64>,
    /// Wall-clock time.
    pub milliseconds: Option<u64>,
    /// Linear memory after the decision.
    #[serde(rename = "memoryKiB")]
    pub memory_kib: Option<u64>,
}

/// One case.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Case {
    /// A sentence.
    pub name: String,
    /// The settings, in place of the file's.
    #[serde(default, deserialize_with = "given")]
    pub settings: Option<Value>,
    /// The settings must be refused with a text that contains this; the case asks nothing then.
    pub refused: Option<String>,
    /// The attempt, if there is one.
    pub attempt: Option<Sketch>,
    /// A DNS answer in place of an attempt.
    pub look_up: Option<LookUp>,
    /// What must be answered to it.
    pub expect: Option<Expect>,
    /// Several attempts, one after another.
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// An attempt among several.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Step {
    /// What differs from the case's attempt, or from the file's.
    #[serde(default)]
    pub attempt: Sketch,
    /// A DNS answer in place of an attempt.
    pub look_up: Option<LookUp>,
    /// What must be answered.
    pub expect: Expect,
    /// How often in a row, with the same answer.
    #[serde(default = "once")]
    pub times: u32,
}

/// `settings: null` says that there are none, which is not the same as saying nothing.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn once() -> u32 {
    1
}

/// What a module is asked in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To decide an attempt.
    Attempt(Attempt),
    /// What it says of a DNS answer.
    DnsAnswer(DnsAnswer),
}

impl Cases {
    /// Reads a file of cases.
    ///
    /// # Errors
    /// What is wrong with it, with its place.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_FILE_BYTES {
            return Err(format!("the file has more than {MAX_FILE_BYTES} bytes"));
        }
        let cases: Self = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        cases
            .cases
            .iter()
            .try_for_each(|case| case.check().map_err(|why| format!("{}: {why}", case.name)))?;
        if cases.cases.is_empty() { Err("the file has no cases".to_owned()) } else { Ok(cases) }
    }

    /// The settings that a case runs with.
    #[must_use]
    pub fn settings_of<'a>(&'a self, case: &'a Case) -> &'a Value {
        case.settings.as_ref().unwrap_or(&self.settings)
    }

    /// What a case asks, in order, and what must be answered.
    #[must_use]
    pub fn steps_of(&self, case: &Case) -> Vec<(Asked, Expect)> {
        let asked = |attempt: &Sketch, look_up: &Option<LookUp>| match look_up {
            Some(look_up) => Asked::DnsAnswer(look_up.answer(attempt)),
            None => Asked::Attempt(attempt.attempt()),
        };
        let base = case.attempt.clone().unwrap_or_default().over(&self.attempt);
        if let Some(expect) = &case.expect {
            return vec![(asked(&base, &case.look_up), expect.clone())];
        }
        let steps = case.steps.iter().flat_map(|step| {
            let asked = asked(&step.attempt.clone().over(&base), &step.look_up);
            std::iter::repeat_n((asked, step.expect.clone()), step.times as usize)
        });
        steps.collect()
    }
}

impl Case {
    fn check(&self) -> Result<(), &'static str> {
        match (&self.refused, &self.expect, self.steps.is_empty()) {
            (Some(_), None, true) | (None, Some(_), true) | (None, None, false) => Ok(()),
            (None, None, true) => Err("write what is expected: `expect`, `steps` or `refused`"),
            _ => Err("write one of `expect`, `steps` and `refused`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_documentation_reads_as_it_says() {
        let text: String = include_str!("mod.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//!"))
            .skip_while(|line| !line.contains("```yaml"))
            .skip(1)
            .take_while(|line| !line.contains("```"))
            .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
            .collect();
        let cases = Cases::parse(&text).expect("good");
        let steps: Vec<_> = cases.cases.iter().map(|case| cases.steps_of(case).len()).collect();
        assert_eq!(steps, [1, 0, 3, 1]);
        let Asked::Attempt(attempt) = &cases.steps_of(&cases.cases[0])[0].0 else { panic!("an attempt") };
        assert_eq!((attempt.time, attempt.destination.port), (1_795_420_800_000, 22));
    }

    #[test]
    fn a_file_that_is_wrong_is_refused_with_the_reason() {
        for (text, words) in [
            ("cases: []", "no cases"),
            ("cases: [{name: a}]", "a: write what is expected"),
            ("cases: [{name: a, expect: allow, refused: b}]", "a: write one of"),
            ("cases: [{name: a, expekt: allow}]", "expekt"),
            ("case: []", "case"),
        ] {
            let error = Cases::parse(text).expect_err("wrong");
            assert!(error.contains(words), "{error}");
        }
    }
}
