//! DNS answers that a module is told of, and what it says of them.

use std::net::IpAddr;
use std::sync::Arc;

use egret_contract::{Input, LONGEST_REFUSAL, Opinion, Refusal, refused_domain, shown};

use super::attempt::{Inputs, MAX_NAMES, Who, address, labels, workload};
use super::bindings::dns;

/// An answer of a trusted resolver to a look-up of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsAnswer {
    /// Who looked it up.
    pub workload: Arc<Who>,
    /// The name that was asked for, in lower case and without a closing dot, each dot the end of a label.
    pub name: String,
    /// The type of record that was asked for.
    pub record_type: u16,
    /// The low four bits of the response code.
    pub response_code: u8,
    /// Bytes of the message.
    pub size: u32,
    /// The addresses that the name leads to. The module is told 16.
    pub addresses: Vec<IpAddr>,
    /// Milliseconds since 1970-01-01 UTC.
    pub time: u64,
}

/// Calls `ask` with what a module that declares `inputs` sees of `told`.
pub(super) fn seen<R>(told: &DnsAnswer, inputs: Inputs, ask: impl FnOnce(dns::Answer<'_>) -> R) -> R {
    let labels = labels(&told.workload, inputs);
    let addresses: Vec<_> = match inputs.has(Input::Address) {
        true => told.addresses.iter().take(MAX_NAMES).map(|ip| address(*ip)).collect(),
        false => Vec::new(),
    };
    ask(dns::Answer {
        workload: workload(&told.workload, inputs, &labels),
        name: if inputs.has(Input::Names) { &told.name } else { "" },
        record_type: told.record_type,
        response_code: told.response_code,
        size: told.size,
        addresses: &addresses,
        time: if inputs.has(Input::Time) { told.time } else { 0 },
    })
}

/// What may count of what the module said: a domain that the name is in, for a time that has an end, and a reason that is
/// one line.
pub(super) fn opinion(said: dns::Opinion, told: &DnsAnswer, most: u64) -> Opinion {
    match said {
        dns::Opinion::Pass => Opinion::Pass,
        dns::Opinion::Refuse(refusal) => Opinion::Refuse(Refusal {
            domain: refused_domain(&told.name, &refusal.domain).to_owned(),
            reason: shown(&refusal.reason, usize::try_from(most).unwrap_or(usize::MAX)),
            seconds: refusal.ttl.clamp(1, LONGEST_REFUSAL),
        }),
    }
}

/// As cases and people write one.
impl From<egret_contract::DnsAnswer> for DnsAnswer {
    fn from(answer: egret_contract::DnsAnswer) -> Self {
        Self {
            workload: Arc::new(answer.workload.into()),
            name: answer.name,
            record_type: answer.record_type,
            response_code: answer.response_code,
            size: answer.size,
            addresses: answer.addresses,
            time: answer.time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_a_domain_of_the_name_for_a_while_and_told_in_one_line() {
        let told = DnsAnswer {
            workload: Arc::default(),
            name: "a.b.example.com".to_owned(),
            record_type: 16,
            response_code: 0,
            size: 900,
            addresses: Vec::new(),
            time: 0,
        };
        for (domain, ttl, refused, seconds) in [
            ("example.com", 0, "example.com", 1),
            ("example.com", 60, "example.com", 60),
            ("com", 1_000_000, "a.b.example.com", LONGEST_REFUSAL),
            ("bank.example", 60, "a.b.example.com", 60),
        ] {
            let refusal = dns::Refusal { domain: domain.to_owned(), reason: "a\nb and more".to_owned(), ttl };
            let expected = Refusal { domain: refused.to_owned(), reason: "a\\nb".to_owned(), seconds };
            assert_eq!(opinion(dns::Opinion::Refuse(refusal), &told, 4), Opinion::Refuse(expected));
        }
    }
}
