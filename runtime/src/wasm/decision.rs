//! What a module answered, once the agent has made of it what may count.

use std::time::Duration;

use egret_contract::{Answer, Scope, capped, shown};

use super::attempt::{Attempt, Inputs};
use super::bindings::types;

/// What a module answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// The verdict. A reason is one line, fit for a terminal, cut at the module's limit.
    pub answer: Answer,
    /// For what else it counts.
    pub scope: Scope,
    /// For how long; zero: for this flow alone.
    pub ttl: Duration,
    /// The module asked for a wider scope or a longer time than what it declares allows.
    pub capped: bool,
}

/// What may count of what the module said.
pub(super) fn decision(said: types::Decision, attempt: &Attempt, inputs: Inputs, most: u64) -> Decision {
    let scope = match said.scope {
        types::Scope::Flow => Scope::Flow,
        types::Scope::Address => Scope::Address,
        types::Scope::Name => Scope::Name,
    };
    let has_names = !attempt.destination.names.is_empty();
    let (scope, ttl, capped) = capped((scope, said.ttl), |input| inputs.has(input), has_names);
    let answer = match said.verdict {
        types::Verdict::Allow => Answer::Allow,
        types::Verdict::Deny(reason) => {
            Answer::Deny(shown(&reason, usize::try_from(most).unwrap_or(usize::MAX)))
        }
        types::Verdict::Next => Answer::Next,
    };
    Decision { answer, scope, ttl: Duration::from_secs(ttl.into()), capped }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::wasm::{Destination, Who};

    fn attempt() -> Attempt {
        Attempt {
            workload: Arc::new(Who::default()),
            destination: Destination {
                address: [192, 0, 2, 1].into(),
                port: 443,
                protocol: 6,
                names: Vec::new(),
            },
            time: 0,
        }
    }

    #[test]
    fn a_reason_is_one_line_that_no_terminal_obeys_and_has_an_end() {
        let verdict = types::Verdict::Deny("a\u{1b}[2J\u{202e}\nb and more".to_owned());
        let said = types::Decision { verdict, scope: types::Scope::Flow, ttl: 0 };
        let decision = decision(said, &attempt(), Inputs::default(), 24);
        assert_eq!(decision.answer, Answer::Deny("a\\u{1b}[2J\\u{202e}\\nb an".to_owned()));
    }
}
