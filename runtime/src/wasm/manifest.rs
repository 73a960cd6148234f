//! What an operator says about a module: which file is meant, what it may use, what it may do, and what counts when it
//! fails.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::model::FailurePolicy;

/// What an operator says about a module. Every field may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Manifest {
    /// The SHA-256 of the file in hexadecimal, with or without `sha256:` before it. Another file is refused.
    pub digest: Option<String>,
    /// What it may use.
    pub limits: Limits,
    /// What of the agent it may call.
    pub grants: Grants,
    /// What counts when it fails.
    pub failure_policy: FailurePolicy,
    /// How many decisions one instance makes. 1, the default: each decision is made by a fresh one, and nothing that one
    /// flow says can reach the next.
    pub reuse: u32,
}

/// What a module may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Limits {
    /// Wall-clock time of one decision, 1 ms to 1 s: `50ms`. Getting an instance ready may take twenty times as long.
    #[serde(with = "span")]
    pub time: Duration,
    /// Bytes of linear memory, in all, 64 KiB to 256 MiB.
    pub memory: u64,
    /// Bytes of a reason that are kept, 16 to 65,536.
    pub output: u64,
}

/// What of the agent a module may call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Grants {
    /// Write lines to the agent's log.
    pub log: bool,
    /// Keep counts between decisions.
    pub counters: bool,
    /// Ask for the time.
    pub clock: bool,
}

/// A limit that no agent gives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limits.{name} is {given}; write {least} to {most}")]
pub struct LimitError {
    name: &'static str,
    given: String,
    least: &'static str,
    most: &'static str,
}

/// The most memory of one instance, in bytes.
pub(super) const MAX_MEMORY: u64 = 256 << 20;
const MAX_TIME: Duration = Duration::from_secs(1);
const MAX_OUTPUT: u64 = 65_536;

impl Default for Manifest {
    fn default() -> Self {
        Self {
            digest: None,
            limits: Limits::default(),
            grants: Grants::default(),
            failure_policy: FailurePolicy::Deny,
            reuse: 1,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_millis(50), memory: 16 << 20, output: 1 << 10 }
    }
}

impl Limits {
    /// The most that an agent gives.
    pub const MOST: Self = Self { time: MAX_TIME, memory: MAX_MEMORY, output: MAX_OUTPUT };

    /// # Errors
    /// The first limit that is outside of what an agent gives.
    pub(super) fn check(&self) -> Result<(), LimitError> {
        let wrong = |name, given, least, most| Err(LimitError { name, given, least, most });
        if !(Duration::from_millis(1)..=MAX_TIME).contains(&self.time) {
            return wrong("time", format!("{} ms", self.time.as_millis()), "1ms", "1s");
        }
        if !(64 << 10..=MAX_MEMORY).contains(&self.memory) {
            return wrong("memory", self.memory.to_string(), "65536", "268435456 (256 MiB)");
        }
        if !(16..=MAX_OUTPUT).contains(&self.output) {
            return wrong("output", self.output.to_string(), "16", "65536");
        }
        Ok(())
    }

    /// The time to get an instance ready.
    pub(super) fn preparation(&self) -> Duration {
        self.time * 20
    }
}

/// `50ms` or `1s`.
mod span {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}ms", span.as_millis()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = |digits: &str| digits.parse::<u32>().ok().map(u64::from);
        let span = match text.strip_suffix("ms") {
            Some(digits) => number(digits).map(Duration::from_millis),
            None => text.strip_suffix('s').and_then(number).map(Duration::from_secs),
        };
        span.ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no time; write it as 50ms or 1s")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_says_what_differs_from_the_defaults() {
        let read = |text| serde_saphyr::from_str::<Manifest>(text).map_err(|error| error.to_string());
        assert_eq!(read("{}"), Ok(Manifest::default()));
        let manifest =
            read("{limits: {time: 20ms, memory: 1048576}, grants: {log: true}, failurePolicy: next}")
                .expect("a manifest");
        assert_eq!(manifest.limits.time, Duration::from_millis(20));
        assert_eq!((manifest.limits.output, manifest.reuse), (1024, 1));
        assert!(manifest.grants.log && !manifest.grants.clock);
        assert_eq!(manifest.failure_policy, FailurePolicy::Next);
        for (text, words) in [
            ("limit: {}", "limit"),
            ("limits: {time: 20}", "write it as 50ms"),
            ("limits: {time: 20 minutes}", "write it as 50ms"),
            ("failurePolicy: maybe", "maybe"),
        ] {
            let error = read(text).expect_err("refused");
            assert!(error.contains(words), "{error}");
        }
        let json = serde_json::to_string(&Manifest::default()).expect("JSON");
        assert_eq!(serde_json::from_str::<Manifest>(&json).expect("the same"), Manifest::default());
    }

    #[test]
    fn a_limit_that_no_agent_gives_is_refused_with_the_range() {
        let limits = Limits::default();
        for (limits, words) in [
            (Limits { time: Duration::from_secs(2), ..limits }, "limits.time is 2000 ms; write 1ms to 1s"),
            (Limits { time: Duration::ZERO, ..limits }, "limits.time"),
            (Limits { memory: 1 << 40, ..limits }, "limits.memory"),
            (Limits { output: 0, ..limits }, "limits.output"),
        ] {
            let error = limits.check().expect_err("refused").to_string();
            assert!(error.contains(words), "{error}");
        }
        assert_eq!((limits.check(), Limits::MOST.check()), (Ok(()), Ok(())));
    }
}
