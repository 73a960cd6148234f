//! What is decided by, for one workload in one epoch, and the decision.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use egret_abi::Epoch;

use super::question::Question;
use crate::kernel::maps::ip;
use crate::model::{Attempt, ModuleAnswer, Name, Policy as Rules, Protocol, Reason, Verdicts};
use crate::policy::{self, Asked, Ranges, Ruleset};
use crate::wasm::{self, Answer, Input, Scope};

/// How long what a module failed to decide counts: until then it is not run again for the same.
const AFTER_FAULT: Duration = Duration::from_secs(1);

/// Policies, modules and workload of one epoch.
pub struct Case {
    /// The epoch that they are in force in.
    pub epoch: Epoch,
    /// The workload, as modules see it.
    pub who: Arc<wasm::Who>,
    /// The policies that select it.
    pub policies: Vec<Rules>,
    /// Where cluster and node are.
    pub ranges: Ranges,
    /// What they come to.
    pub ruleset: Arc<Ruleset>,
    /// The modules in it, by their place there; or why one cannot be asked.
    pub modules: Vec<Result<Arc<wasm::Policy>, String>>,
    /// Some module counts, so that flows are asked about one by one.
    pub alone: bool,
}

/// A decision, and for what it counts.
#[derive(Clone, Debug)]
pub struct Ruling {
    /// Both verdicts.
    pub verdicts: Verdicts,
    /// For what.
    pub scope: Scope,
    /// For how long.
    pub ttl: Duration,
    /// What a module says to people about it: why it denied, or failed.
    pub message: Option<Arc<str>>,
    /// The modules that failed, with the cause.
    pub faults: Vec<(Arc<str>, String)>,
}

impl Case {
    /// Whether what its modules say of a name is the same for every workload with these policies in its namespace.
    pub fn is_shared(&self) -> bool {
        self.modules
            .iter()
            .flatten()
            .all(|policy| !policy.module().description().inputs.contains(&Input::Workload))
    }

    /// Rules and modules together, of a flow to a destination with these live names. `time`: milliseconds since 1970.
    pub fn decide(&self, question: &Question, names: &[Name], time: u64) -> Ruling {
        let attempt = wasm::Attempt {
            workload: self.who.clone(),
            destination: wasm::Destination {
                address: ip(question.key.remote),
                port: u16::from_be_bytes(question.key.remote_port),
                protocol: protocol(question),
                names: names.iter().map(|name| Arc::from(name.to_string())).collect(),
            },
            time,
        };
        let mut said = Said::default();
        let verdicts = self.consult(&attempt, names, &mut |asked| self.ask(asked, &attempt, &mut said));
        Ruling {
            verdicts,
            // Rules alone decide, where a packet crossed a change of policy: it is asked again at once.
            scope: said.scope.unwrap_or(Scope::Flow),
            ttl: said.ttl.unwrap_or_default(),
            message: said.message,
            faults: said.faults,
        }
    }

    /// What counts where the modules are not asked: each one's failure policy.
    pub fn fail(&self, question: &Question, names: &[Name]) -> Ruling {
        let (address, port) = (ip(question.key.remote), u16::from_be_bytes(question.key.remote_port));
        let mut verdicts =
            self.consult_about(address, port, protocol(question), names, &mut |asked| asked.failure.into());
        for verdict in [&mut verdicts.applied, &mut verdicts.observed] {
            if verdict.reason == Reason::Module {
                verdict.reason = Reason::HeldTimeout;
            }
        }
        let is_of_all = question.key == question.key.for_all_flows();
        let scope = if is_of_all { Scope::Address } else { Scope::Flow };
        Ruling { verdicts, scope, ttl: AFTER_FAULT, message: None, faults: Vec::new() }
    }

    fn consult(
        &self,
        attempt: &wasm::Attempt,
        names: &[Name],
        ask: &mut dyn FnMut(&Asked) -> ModuleAnswer,
    ) -> Verdicts {
        let to = &attempt.destination;
        self.consult_about(to.address, to.port, to.protocol, names, ask)
    }

    fn consult_about(
        &self,
        address: IpAddr,
        port: u16,
        protocol: u8,
        names: &[Name],
        ask: &mut dyn FnMut(&Asked) -> ModuleAnswer,
    ) -> Verdicts {
        let policies: Vec<_> = self.policies.iter().collect();
        let attempt =
            Attempt { names: names.to_vec(), address: Some(address), port, protocol: Protocol(protocol) };
        policy::consult(&policies, &self.ruleset.modules, &attempt, self.ranges.kind_of(address), ask)
    }

    /// The module that one of the ruleset's entries means; or why it cannot be asked.
    pub(super) fn module(&self, asked: &Asked) -> Result<&Arc<wasm::Policy>, String> {
        let place = self.ruleset.modules.iter().position(|module| std::ptr::eq(module, asked));
        match place.and_then(|place| self.modules.get(place)) {
            Some(module) => module.as_ref().map_err(Clone::clone),
            None => Err("the module is not loaded".to_owned()),
        }
    }

    fn ask(&self, asked: &Asked, attempt: &wasm::Attempt, said: &mut Said) -> ModuleAnswer {
        let decision =
            self.module(asked).and_then(|policy| policy.decide(attempt).map_err(|fault| fault.to_string()));
        match decision {
            Ok(decision) => {
                said.narrow(decision.scope, decision.ttl);
                match decision.answer {
                    Answer::Allow => ModuleAnswer::Allow,
                    Answer::Next => ModuleAnswer::Next,
                    Answer::Deny(reason) => {
                        said.message.get_or_insert_with(|| reason.into());
                        ModuleAnswer::Deny
                    }
                }
            }
            Err(cause) => {
                said.narrow(Scope::Address, AFTER_FAULT);
                said.message.get_or_insert_with(|| cause.as_str().into());
                said.faults.push((asked.module.name.clone(), cause));
                asked.failure.into()
            }
        }
    }
}

/// The narrowest scope and the shortest time of all modules asked.
#[derive(Default)]
struct Said {
    scope: Option<Scope>,
    ttl: Option<Duration>,
    message: Option<Arc<str>>,
    faults: Vec<(Arc<str>, String)>,
}

impl Said {
    fn narrow(&mut self, scope: Scope, ttl: Duration) {
        self.ttl = Some(self.ttl.map_or(ttl, |known| known.min(ttl)));
        self.scope = Some(match (self.scope, scope) {
            (Some(Scope::Flow), _) | (_, Scope::Flow) => Scope::Flow,
            (Some(Scope::Address), _) | (_, Scope::Address) => Scope::Address,
            _ => Scope::Name,
        });
    }
}

fn protocol(question: &Question) -> u8 {
    u8::try_from(question.key.protocol).unwrap_or_default()
}
