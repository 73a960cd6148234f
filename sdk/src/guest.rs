//! A policy as the exports of a module. Only where the target is Wasm.

use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bindings::egret::policy::types;
use egret_contract::{Answer, Attempt, Decision, Destination, DnsAnswer, Input, Opinion, Scope, Workload};

use crate::last_words;
use crate::policy::{Policy, read_settings, schema};

/// What the WIT says, in Rust.
#[allow(missing_docs, unsafe_code, clippy::all, reason = "generated from sdk/wit")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "module",
        pub_export_macro: true,
        default_bindings_module: "egret_sdk::guest::bindings",
        runtime_path: "::egret_sdk::guest::wit_bindgen::rt",
    });
}

/// The same of what a module exports that is told of DNS answers.
#[allow(missing_docs, unsafe_code, clippy::all, reason = "generated from sdk/wit")]
pub mod answers {
    wit_bindgen::generate!({
        path: "wit",
        world: "answers",
        pub_export_macro: true,
        default_bindings_module: "egret_sdk::guest::answers",
        runtime_path: "::egret_sdk::guest::wit_bindgen::rt",
        with: { "egret:policy/types@0.1.0": crate::guest::bindings::egret::policy::types },
    });
}

pub use wit_bindgen;

/// The exports of a policy.
#[derive(Debug)]
pub struct Exported<P>(PhantomData<P>);

impl<P: Policy> bindings::Guest for Exported<P> {
    fn describe() -> types::Description {
        last_words::keep();
        types::Description {
            summary: P::SUMMARY.to_owned(),
            version: P::VERSION.to_owned(),
            inputs: P::INPUTS.iter().map(|input| types::Input::from(*input)).collect(),
            settings_schema: schema::<P>(),
        }
    }

    fn configure(settings: String) -> Result<(), String> {
        last_words::keep();
        let settings = read_settings(&settings)?;
        P::slot().set(Some(settings));
        Ok(())
    }

    fn decide(attempt: types::Attempt) -> types::Decision {
        let attempt = Attempt::from(attempt);
        let decided = with_settings::<P, _>(|settings| P::decide(&attempt, settings));
        decided.unwrap_or_else(|| Decision::deny("the module was not configured")).into()
    }
}

impl<P: Policy> answers::Guest for Exported<P> {
    fn on_answer(answer: answers::Answer) -> answers::Opinion {
        let answer = DnsAnswer::from(answer);
        let opinion = with_settings::<P, _>(|settings| P::on_answer(&answer, settings));
        opinion.unwrap_or(Opinion::Pass).into()
    }
}

/// The agent configures first. Where nobody did, defaults decide; `None`: there are none.
fn with_settings<P: Policy, R>(ask: impl FnOnce(&P::Settings) -> R) -> Option<R> {
    P::slot().with_borrow_mut(|settings| {
        let settings = match settings {
            Some(settings) => settings,
            None => settings.insert(read_settings("null").ok()?),
        };
        Some(ask(settings))
    })
}

impl From<answers::Answer> for DnsAnswer {
    fn from(answer: answers::Answer) -> Self {
        Self {
            workload: answer.workload.into(),
            name: answer.name,
            record_type: answer.record_type,
            response_code: answer.response_code,
            size: answer.size,
            addresses: answer.addresses.into_iter().map(ip).collect(),
            time: answer.time,
        }
    }
}

impl From<Opinion> for answers::Opinion {
    fn from(opinion: Opinion) -> Self {
        match opinion {
            Opinion::Pass => Self::Pass,
            Opinion::Refuse(refusal) => Self::Refuse(answers::egret::policy::dns::Refusal {
                domain: refusal.domain,
                reason: refusal.reason,
                ttl: refusal.seconds,
            }),
        }
    }
}

impl From<types::Workload> for Workload {
    fn from(workload: types::Workload) -> Self {
        Self {
            namespace: workload.namespace,
            name: workload.name,
            labels: workload.labels.into_iter().map(|label| (label.key, label.value)).collect(),
            service_account: workload.service_account,
            node: workload.node,
        }
    }
}

fn ip(address: types::Address) -> IpAddr {
    match address {
        types::Address::V4(bits) => Ipv4Addr::from_bits(bits).into(),
        types::Address::V6((high, low)) => {
            Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into()
        }
    }
}

impl From<types::Attempt> for Attempt {
    fn from(attempt: types::Attempt) -> Self {
        let destination = attempt.destination;
        Self {
            workload: attempt.workload.into(),
            destination: Destination {
                address: ip(destination.address),
                port: destination.port,
                protocol: destination.protocol.into(),
                names: destination.names,
            },
            time: attempt.time,
        }
    }
}

impl From<Decision> for types::Decision {
    fn from(decision: Decision) -> Self {
        Self {
            verdict: match decision.answer {
                Answer::Allow => types::Verdict::Allow,
                Answer::Deny(reason) => types::Verdict::Deny(reason),
                Answer::Next => types::Verdict::Next,
            },
            scope: match decision.scope {
                Scope::Flow => types::Scope::Flow,
                Scope::Address => types::Scope::Address,
                Scope::Name => types::Scope::Name,
            },
            ttl: decision.ttl,
        }
    }
}

impl From<Input> for types::Input {
    fn from(input: Input) -> Self {
        match input {
            Input::Workload => Self::Workload,
            Input::Address => Self::Address,
            Input::Names => Self::Names,
            Input::Port => Self::Port,
            Input::Time => Self::Time,
            Input::Counters => Self::Counters,
        }
    }
}
