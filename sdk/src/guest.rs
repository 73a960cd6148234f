//! A policy as the exports of a module. Only where the target is Wasm.

use std::marker::PhantomData;

use bindings::egret::policy::types;
use egret_contract::{Answer, Attempt, Decision, Destination, Input, Scope, Workload};

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

pub use wit_bindgen;

/// The exports of a policy.
#[derive(Debug)]
pub struct Exported<P>(PhantomData<P>);

impl<P: Policy> bindings::Guest for Exported<P> {
    fn describe() -> types::Description {
        types::Description {
            summary: P::SUMMARY.to_owned(),
            version: P::VERSION.to_owned(),
            inputs: P::INPUTS.iter().map(|input| types::Input::from(*input)).collect(),
            settings_schema: schema::<P>(),
        }
    }

    fn configure(settings: String) -> Result<(), String> {
        let settings = read_settings(&settings)?;
        P::slot().set(Some(settings));
        Ok(())
    }

    fn decide(attempt: types::Attempt) -> types::Decision {
        let attempt = Attempt::from(attempt);
        P::slot().with_borrow_mut(|settings| {
            // The agent configures first. Where nobody did, defaults decide, or nothing does.
            let settings = match settings {
                Some(settings) => settings,
                None => match read_settings("null") {
                    Ok(read) => settings.insert(read),
                    Err(_) => return Decision::deny("the module was not configured").into(),
                },
            };
            P::decide(&attempt, settings).into()
        })
    }
}

impl From<types::Attempt> for Attempt {
    fn from(attempt: types::Attempt) -> Self {
        let (workload, destination) = (attempt.workload, attempt.destination);
        Self {
            workload: Workload {
                namespace: workload.namespace,
                name: workload.name,
                labels: workload.labels.into_iter().map(|label| (label.key, label.value)).collect(),
                service_account: workload.service_account,
                node: workload.node,
            },
            destination: Destination {
                address: match destination.address {
                    types::Address::V4(bits) => std::net::Ipv4Addr::from_bits(bits).into(),
                    types::Address::V6((high, low)) => {
                        std::net::Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into()
                    }
                },
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
