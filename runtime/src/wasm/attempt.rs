//! What a module is asked, and what of it the module sees.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use egret_contract::Input;

use super::bindings::types;

/// The first packet of a flow that waits for a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Who tries to connect. Shared: most attempts of a workload name the same.
    pub workload: Arc<Who>,
    /// Where to.
    pub destination: Destination,
    /// Milliseconds since 1970-01-01 UTC.
    pub time: u64,
}

/// Who tries to connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The workload's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its service account; empty where it has none.
    pub service_account: String,
    /// The node it runs on.
    pub node: String,
}

/// Where a workload tries to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The address.
    pub address: IpAddr,
    /// The port dialled; 0 for a protocol without ports.
    pub port: u16,
    /// The IP protocol's number. ICMPv6 (58) reaches the module as 1, like ICMP.
    pub protocol: u8,
    /// The names by which the workload's own look-ups led to the address, the latest first. The module is told 16.
    pub names: Vec<Arc<str>>,
}

/// The most names of a destination that a module is told.
pub(super) const MAX_NAMES: usize = 16;

/// Which inputs a module declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inputs(u8);

impl Inputs {
    pub fn of(inputs: &[Input]) -> Self {
        Self(inputs.iter().fold(0, |bits, input| bits | Self::bit(*input)))
    }

    pub fn has(self, input: Input) -> bool {
        self.0 & Self::bit(input) != 0
    }

    fn bit(input: Input) -> u8 {
        1 << (input as u8)
    }
}

/// Calls `ask` with what a module that declares `inputs` sees of `attempt`. Nothing of it is copied.
pub(super) fn seen<R>(attempt: &Attempt, inputs: Inputs, ask: impl FnOnce(types::Attempt<'_>) -> R) -> R {
    let to = &attempt.destination;
    let labels = labels(&attempt.workload, inputs);
    let workload = workload(&attempt.workload, inputs, &labels);
    let names: Vec<&str> = match inputs.has(Input::Names) {
        true => to.names.iter().take(MAX_NAMES).map(|name| &**name).collect(),
        false => Vec::new(),
    };
    let (port, protocol) = match (inputs.has(Input::Port), to.protocol) {
        (false, _) => (0, 0),
        // In the contract, echo of both families is one protocol.
        (true, 58) => (to.port, 1),
        (true, protocol) => (to.port, protocol),
    };
    ask(types::Attempt {
        workload,
        destination: types::Destination {
            address: if inputs.has(Input::Address) { address(to.address) } else { types::Address::V4(0) },
            port,
            protocol,
            names: &names,
        },
        time: if inputs.has(Input::Time) { attempt.time } else { 0 },
    })
}

/// The labels that such a module sees.
pub(super) fn labels(who: &Who, inputs: Inputs) -> Vec<types::Label<'_>> {
    match inputs.has(Input::Workload) {
        true => who.labels.iter().map(|(key, value)| types::Label { key, value }).collect(),
        false => Vec::new(),
    }
}

/// The workload that it sees, with these labels.
pub(super) fn workload<'a>(
    who: &'a Who,
    inputs: Inputs,
    labels: &'a [types::Label<'a>],
) -> types::Workload<'a> {
    if !inputs.has(Input::Workload) {
        return types::Workload { namespace: "", name: "", labels, service_account: "", node: "" };
    }
    types::Workload {
        namespace: &who.namespace,
        name: &who.name,
        labels,
        service_account: &who.service_account,
        node: &who.node,
    }
}

pub(super) fn address(address: IpAddr) -> types::Address {
    match address {
        IpAddr::V4(address) => types::Address::V4(address.to_bits()),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            types::Address::V6(((bits >> 64) as u64, bits as u64))
        }
    }
}

/// As cases and people write one.
impl From<egret_contract::Workload> for Who {
    fn from(who: egret_contract::Workload) -> Self {
        Self {
            namespace: who.namespace,
            name: who.name,
            labels: who.labels,
            service_account: who.service_account,
            node: who.node,
        }
    }
}

/// As cases and people write one.
impl From<egret_contract::Attempt> for Attempt {
    fn from(attempt: egret_contract::Attempt) -> Self {
        let to = attempt.destination;
        Self {
            workload: Arc::new(attempt.workload.into()),
            destination: Destination {
                address: to.address,
                port: to.port,
                protocol: to.protocol.number(),
                names: to.names.into_iter().map(Into::into).collect(),
            },
            time: attempt.time,
        }
    }
}
