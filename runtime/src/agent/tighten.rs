//! Ends what a change of policy denies, for both ends and at once: the programs wait for its next packet, which may be
//! hours away.
//!
//! In: workloads whose rules have changed. What their flows lead to is asked of the new rules as the programs will ask,
//! and the sockets of those denied are ended in the workload's namespace. Their kernel then tells the peer; its reset
//! passes the programs as the end of a flow that is known and denied. Where a kernel ends no sockets, they do it alone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use egret_abi::{Class, Flow, WorkloadIndex};
use tracing::{info, warn};

use super::node::Node;
use crate::kernel::maps::{FlowTuple, ip};
use crate::kernel::netns::NetNs;
use crate::kernel::{clock, sockets};
use crate::model::{Action, NameClass, Protocol, Reason};
use crate::policy::Ruleset;

/// The port of DNS.
const DNS: u16 = 53;

/// A workload whose rules have changed.
pub struct Changed {
    /// The workload.
    pub index: WorkloadIndex,
    /// What is in force now.
    pub ruleset: Arc<Ruleset>,
    /// Its names, by class.
    pub patterns: HashMap<Class, NameClass>,
    /// Whom it may always ask.
    pub resolvers: BTreeSet<IpAddr>,
    /// Its namespace.
    pub netns: Arc<NetNs>,
}

impl Changed {
    /// Whether the rules deny what a flow leads to. `bound`: the classes that its address is bound to.
    fn denies(&self, tuple: &FlowTuple, flow: &Flow, bound: &[Class]) -> bool {
        let (address, protocol) = (ip(tuple.remote), Protocol(tuple.protocol));
        if tuple.remote_port == DNS && self.resolvers.contains(&address) {
            return false;
        }
        let classes = bound.iter().chain([&flow.class]).filter_map(|class| self.patterns.get(class));
        let verdicts = self.ruleset.look_up_classes(classes, address, protocol, tuple.remote_port);
        // What no rule decides, modules are asked again at its next packet.
        let is_asked = verdicts.applied.reason != Reason::Rule
            && self.ruleset.asks(self.ruleset.kind_of(address)).unmatched;
        verdicts.applied.action == Action::Deny && !is_asked
    }
}

#[derive(Default)]
struct Work {
    pending: BTreeMap<WorkloadIndex, Changed>,
    running: bool,
}

/// One at a time, beside the reconciling task; of a workload that changes again and again, the latest counts.
pub struct Ender {
    node: Arc<Node>,
    grace: Duration,
    work: Mutex<Work>,
}

impl Ender {
    /// `grace`: how long a binding counts for a flow under way after its end.
    pub fn new(node: Arc<Node>, grace: Duration) -> Arc<Self> {
        Arc::new(Self { node, grace, work: Mutex::default() })
    }

    /// Looks at the flows of these workloads soon.
    pub fn submit(self: &Arc<Self>, changed: impl IntoIterator<Item = Changed>) {
        let mut work = self.lock();
        work.pending.extend(changed.into_iter().map(|changed| (changed.index, changed)));
        if !work.pending.is_empty() && !std::mem::replace(&mut work.running, true) {
            let this = self.clone();
            tokio::task::spawn_blocking(move || this.run());
        }
    }

    fn run(&self) {
        loop {
            let mut work = self.lock();
            let Some((_, changed)) = work.pending.pop_first() else {
                work.running = false;
                return;
            };
            drop(work);
            self.end(&changed);
        }
    }

    fn end(&self, changed: &Changed) {
        let index = changed.index;
        let (generation, flows) = self.node.flows_of(index);
        let since = clock::now().saturating_sub(self.grace);
        let of_before = flows.into_iter().filter(|(tuple, flow)| {
            Protocol(tuple.protocol) == Protocol::TCP && flow.epoch != generation.epoch()
        });
        let denied: HashSet<_> = of_before
            .filter(|(tuple, flow)| {
                // A lock for each: the thread that holds DNS answers waits for it, and gets in between.
                let bound = self.node.binder().classes_of(index, ip(tuple.remote), since);
                changed.denies(tuple, flow, &bound)
            })
            .map(|(tuple, _)| tuple)
            .collect();
        // Rules that have changed again are looked at with the next change.
        if denied.is_empty() || self.node.generation(index) != generation {
            return;
        }
        let path = &changed.netns.path;
        match sockets::end(&changed.netns, |flow| denied.contains(flow)) {
            Ok(0) => {}
            Ok(ended) => {
                self.node.ended.fetch_add(ended as u64, Ordering::Relaxed);
                info!("{ended} connections in {} were ended: their rule is gone", path.display());
            }
            Err(error) => warn!("connections that are denied now end with their next packet: {error}"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use egret_abi::Address;

    use super::*;
    use crate::model::Modules;
    use crate::policy::{Ranges, compile, parse};

    fn changed(rules: &str) -> Changed {
        let text = format!(
            "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {{name: web, namespace: shop}}\nspec:\n  \
             podSelector: {{}}\n  mode: Enforce\n  scope: internet\n{rules}"
        );
        let policies = parse("web.yaml", &text).expect("a policy");
        let ruleset = compile(&policies.iter().collect::<Vec<_>>(), &Ranges::default(), &Modules::new())
            .expect("small");
        let patterns = ruleset.names.iter().map(|pattern| (Class::name(1), pattern.clone())).collect();
        Changed {
            index: WorkloadIndex(1),
            ruleset: Arc::new(ruleset),
            patterns,
            resolvers: ["192.0.2.53".parse().expect("an address")].into(),
            netns: Arc::new(NetNs::own().expect("a namespace")),
        }
    }

    fn to(remote: [u8; 4], remote_port: u16) -> FlowTuple {
        let local = Address::v4([10, 0, 0, 7]);
        FlowTuple { local, remote: Address::v4(remote), local_port: 40000, remote_port, protocol: 6 }
    }

    #[test]
    fn a_flow_is_denied_where_neither_its_rule_nor_its_address_nor_a_name_allows_it() {
        let rules = "  allow:\n  - to: [{fqdn: a.example}]\n    ports: [{protocol: TCP, port: 443}]\n  \
                     - to: [{cidr: 198.51.100.0/24}]\n  deny:\n  - to: [{cidr: 203.0.113.9/32}]\n";
        let changed = changed(rules);
        let by = |class| Flow { class, ..Flow::default() };
        let (name, gone) = (Class::name(1), Class::name(2));
        for (tuple, flow, bound, denied) in [
            (to([192, 0, 2, 1], 443), by(name), vec![], false),
            (to([192, 0, 2, 1], 22), by(name), vec![], true),
            (to([192, 0, 2, 1], 443), by(gone), vec![], true),
            (to([192, 0, 2, 1], 443), by(gone), vec![gone, name], false),
            (to([192, 0, 2, 1], 443), by(Class::NONE), vec![], true),
            (to([192, 0, 2, 1], 443), by(Class(1)), vec![], true),
            (to([198, 51, 100, 1], 22), by(Class::NONE), vec![], false),
            (to([203, 0, 113, 9], 443), by(name), vec![name], true),
            (to([192, 0, 2, 53], 53), by(Class::NONE), vec![], false),
            (to([192, 0, 2, 53], 54), by(Class::NONE), vec![], true),
        ] {
            assert_eq!(changed.denies(&tuple, &flow, &bound), denied, "{tuple:?} {:?} {bound:?}", flow.class);
        }
    }
}
