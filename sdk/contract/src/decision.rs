//! What a module answers.

use serde::{Deserialize, Serialize};

/// A verdict, for what it counts, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// The verdict.
    pub answer: Answer,
    /// For what else it counts.
    pub scope: Scope,
    /// For how many seconds; 0: for this flow alone. The agent caps it by what the module declares.
    pub ttl: u32,
}

impl Decision {
    /// The flow may begin.
    pub fn allow() -> Self {
        Self::of(Answer::Allow)
    }

    /// It may not, for this reason, which people read.
    pub fn deny(reason: impl Into<String>) -> Self {
        Self::of(Answer::Deny(reason.into()))
    }

    /// No opinion: the next module is asked, then the policy's default counts.
    pub fn next() -> Self {
        Self::of(Answer::Next)
    }

    fn of(answer: Answer) -> Self {
        Self { answer, scope: Scope::Flow, ttl: 0 }
    }

    /// The same, counted for `seconds`: for this workload, address, protocol and port, unless [`Self::scope`] says
    /// otherwise.
    pub fn for_seconds(self, seconds: u32) -> Self {
        let scope = if self.scope == Scope::Flow { Scope::Address } else { self.scope };
        Self { scope, ttl: seconds, ..self }
    }

    /// The same, counted for `scope`.
    pub fn scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }
}

/// The longest that any verdict counts, in seconds.
pub const LONGEST: u32 = 24 * 3_600;
/// The longest that a verdict counts which depends on the time, in seconds.
pub const LONGEST_BY_TIME: u32 = 60;

/// For what and how long a verdict counts, of what a module asked, by the inputs that it declares; and whether that is
/// less than it asked. `has_names`: the destination has names that it could count for.
#[must_use]
pub fn capped(asked: (Scope, u32), declares: impl Fn(Input) -> bool, has_names: bool) -> (Scope, u32, bool) {
    let (mut scope, mut ttl) = asked;
    ttl = ttl.min(if declares(Input::Time) { LONGEST_BY_TIME } else { LONGEST });
    if scope == Scope::Name && !has_names {
        scope = Scope::Address;
    }
    if declares(Input::Counters) || ttl == 0 {
        (scope, ttl) = (Scope::Flow, 0);
    }
    // Saying nothing about time is asking for this flow alone.
    (scope, ttl, (scope, ttl) != asked && asked.1 != 0)
}

/// What a module says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The flow may begin.
    Allow,
    /// It may not, for this reason.
    Deny(String),
    /// The module has no opinion.
    Next,
}

impl Answer {
    /// `allow`, `deny` or `next`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny(_) => "deny",
            Self::Next => "next",
        }
    }
}

/// For what else a verdict counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// For this flow alone.
    Flow,
    /// For this workload, address, protocol and port.
    Address,
    /// For all workloads of the application, and every address of the same names, with this protocol and port.
    Name,
}

/// What a decision depends on. What a module does not declare, it is never told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// The workload: namespace, name, labels, service account, node.
    Workload,
    /// The destination's address.
    Address,
    /// The destination's names.
    Names,
    /// The destination's port and protocol.
    Port,
    /// The time: verdicts count for at most 60 seconds.
    Time,
    /// The agent's counters: verdicts count for their flow alone.
    Counters,
}

impl Input {
    /// As settings and messages write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Address => "address",
            Self::Names => "names",
            Self::Port => "port",
            Self::Time => "time",
            Self::Counters => "counters",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_capped_by_what_the_module_declares() {
        for (inputs, has_names, asked, expected) in [
            (&[][..], true, (Scope::Name, 600), (Scope::Name, 600, false)),
            (&[], true, (Scope::Name, 1_000_000), (Scope::Name, 86_400, true)),
            (&[Input::Time], true, (Scope::Address, 600), (Scope::Address, 60, true)),
            (&[Input::Time], true, (Scope::Address, 30), (Scope::Address, 30, false)),
            (&[Input::Counters], true, (Scope::Name, 600), (Scope::Flow, 0, true)),
            (&[Input::Counters], true, (Scope::Flow, 0), (Scope::Flow, 0, false)),
            (&[], false, (Scope::Name, 600), (Scope::Address, 600, true)),
            (&[], true, (Scope::Name, 0), (Scope::Flow, 0, false)),
        ] {
            assert_eq!(
                capped(asked, |input| inputs.contains(&input), has_names),
                expected,
                "{inputs:?} {asked:?}"
            );
        }
    }
}
