//! What modules would say: asked for an explanation. Nothing of it is counted, written into a map or remembered.

use std::net::IpAddr;
use std::sync::Arc;

use super::case::Case;
use crate::model::{Attempt, ModuleAnswer, Name, Verdicts};
use crate::policy::{self, Answered, Asked};
use crate::wasm::{self, Answer, Decision};

impl Case {
    /// Rules and modules together, of an attempt to `address`, of which modules are told these `names`; and what each
    /// module that was asked says. Takes what the modules take: for a thread that may wait. `time`: milliseconds since
    /// 1970.
    pub fn try_out(
        &self,
        attempt: &Attempt,
        address: IpAddr,
        names: &[Name],
        time: u64,
    ) -> (Verdicts, Vec<Answered>) {
        let shown = wasm::Attempt {
            workload: self.who.clone(),
            destination: wasm::Destination {
                address,
                port: attempt.port,
                protocol: attempt.protocol.0,
                names: names.iter().map(|name| Arc::from(name.to_string())).collect(),
            },
            time,
        };
        let mut answers = Vec::new();
        let mut ask = |asked: &Asked| {
            let decision = self
                .module(asked)
                .and_then(|policy| policy.try_out(&shown).map_err(|fault| fault.to_string()));
            let answered = Answered::new(asked, decision.map(said));
            let answer = answered.answer;
            answers.push(answered);
            answer
        };
        let policies: Vec<_> = self.policies.iter().collect();
        let kind = self.ranges.kind_of(address);
        let verdicts = policy::consult(&policies, &self.ruleset.modules, attempt, kind, &mut ask);
        (verdicts, answers)
    }
}

fn said(decision: Decision) -> (ModuleAnswer, Option<String>, wasm::Scope, u64) {
    let (answer, reason) = match decision.answer {
        Answer::Allow => (ModuleAnswer::Allow, None),
        Answer::Deny(reason) => (ModuleAnswer::Deny, Some(reason)),
        Answer::Next => (ModuleAnswer::Next, None),
    };
    (answer, reason, decision.scope, decision.ttl.as_secs())
}
