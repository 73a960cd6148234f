//! Why an attempt is judged as it is: policies, names and modules of a workload, as they are now. Modules are asked aside.

use std::net::IpAddr;

use egret_abi::WorkloadIndex;
use jiff::Timestamp;

use super::node::{Node, Shown};
use crate::api::{Dest, Host, UnknownWorkload};
use crate::kernel::clock;
use crate::model::{Attempt, Kind, Name, Protocol, Verdicts, Workload, WorkloadId};
use crate::policy::{Answered, Explanation, explain, explain_question};

/// The port of DNS.
const DNS: u16 = 53;
/// Names of a destination that modules are told.
const NAMES: usize = 16;

impl Node {
    /// How the policies judge an attempt of `workload`, and what their modules say of it. Takes what the modules take.
    ///
    /// # Errors
    /// The agent was never told of the workload.
    pub(super) fn explanation(
        &self,
        workload: &WorkloadId,
        destination: &Dest,
    ) -> Result<Explanation, UnknownWorkload> {
        let unknown = || UnknownWorkload(workload.clone());
        let Shown { workload: Workload { labels, .. }, namespace, index, resolvers, .. } =
            self.view(|view| view.workloads.get(workload).cloned()).ok_or_else(unknown)?;
        let attempt = self.attempt(index, destination);
        let asks = matches!(attempt.protocol, Protocol::TCP | Protocol::UDP) && attempt.port == DNS;
        if asks && attempt.address.is_some_and(|address| resolvers.contains(&address)) {
            return Ok(explain_question());
        }
        let explanation = self.view(|view| {
            let policies = view.accepted.selecting(&namespace, &labels);
            let kind = attempt.address.map_or(Kind::Internet, |address| view.ranges.kind_of(address));
            explain(&policies, &attempt, kind)
        });
        if explanation.undecided.is_empty() {
            return Ok(explanation);
        }
        Ok(match self.ask_modules(index, &attempt) {
            Ok((verdicts, answers)) => explanation.answered(verdicts, answers),
            Err(why) => explanation.not_asked(why),
        })
    }

    /// What was asked about, with what the workload's own look-ups say of it.
    fn attempt(&self, index: Option<WorkloadIndex>, destination: &Dest) -> Attempt {
        let mut attempt = destination.attempt();
        let Some(index) = index else { return attempt };
        let binder = self.binder();
        match &destination.host {
            Host::Name(name) => {
                attempt.address = binder.addresses_of(index, name, clock::now()).first().copied();
            }
            Host::Address(address) => {
                attempt.names = binder.names_of(index, *address, clock::now(), usize::MAX);
            }
        }
        attempt
    }

    fn ask_modules(
        &self,
        index: Option<WorkloadIndex>,
        attempt: &Attempt,
    ) -> Result<(Verdicts, Vec<Answered>), &'static str> {
        let index = index.ok_or("the workload is not covered, and no module is asked about it")?;
        let case = self.judge.case(index).ok_or("its policies are not in force yet")?;
        let address = attempt
            .address
            .ok_or("the workload has not looked this name up, and a module is asked about an address")?;
        let names = self.told(index, address, &attempt.names);
        let time = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
        Ok(case.try_out(attempt, address, &names, time))
    }

    /// The names that modules are told of an address: first those that were asked about.
    fn told(&self, index: WorkloadIndex, address: IpAddr, asked: &[Name]) -> Vec<Name> {
        let mut names: Vec<Name> = asked.iter().take(NAMES).cloned().collect();
        let others = self.names_of(index, address).into_iter().filter(|name| !asked.contains(name));
        names.extend(others);
        names.truncate(NAMES);
        names
    }
}
