//! What Kubernetes is told of this node: which policies are in force for whom, and what was denied.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::node::{Node, Shown, View};
use crate::cluster::{self, Denied, Listed, Notices, PolicyHere, Refusal, RefusedUpstream, Snapshot};
use crate::flows::{DEFAULT_POLICIES, DeniedLastHour};
use crate::kernel::clock;
use crate::model::{Action, Coverage, Destination, Reason, Verdict, WorkloadRef};

const NOT_IN_FORCE: &str = "its policies are not in force; `egret status` on its node says why";

/// Policies of Kubernetes' own kinds that are told of.
const MOST_REFUSED: usize = 64;

/// First packets that were denied, counted and told.
pub struct Denials {
    last_hour: DeniedLastHour,
    /// Where pods are told; nowhere without Kubernetes.
    notices: OnceLock<Notices>,
}

impl Denials {
    /// None yet.
    pub fn new() -> Self {
        Self { last_hour: DeniedLastHour::new(DEFAULT_POLICIES), notices: OnceLock::new() }
    }

    /// From now on pods are told.
    pub fn tell_to(&self, notices: Notices) {
        // It is set once, when the agent starts.
        let _ = self.notices.set(notices);
    }

    /// Takes in a first packet of `workload` that is judged by `verdict`; `enforcing` are the policies in mode Enforce that
    /// select it.
    pub fn note(
        &self,
        workload: &WorkloadRef,
        enforcing: &[String],
        destination: &Destination,
        verdict: &Verdict,
    ) {
        if verdict.action != Action::Deny {
            return;
        }
        let now = clock::now();
        for policy in denied_by(enforcing, verdict) {
            self.last_hour.add(policy, now);
        }
        if let Some(notices) = self.notices.get() {
            let (place, why) = (place(destination), why(verdict));
            notices.tell(Denied { pod: &workload.id(), place: &place, why: &why });
        }
    }
}

/// The policies that a denial is counted for: the one whose rule or module said so, or else each that is in force. What
/// nobody may send, whatever its policies, is of none.
fn denied_by<'a>(enforcing: &'a [String], verdict: &'a Verdict) -> &'a [String] {
    match (&verdict.policy, verdict.reason) {
        (Some(policy), _) => std::slice::from_ref(policy),
        (None, Reason::SpoofedSource | Reason::ForgedAnswer) => &[],
        (None, _) => enforcing,
    }
}

/// `github.com:443/TCP`.
fn place(destination: &Destination) -> String {
    let Destination { name, address, port, protocol, .. } = destination;
    let host = match name {
        Some(name) => name.to_string(),
        None if address.is_ipv6() && protocol.has_ports() => format!("[{address}]"),
        None => address.to_string(),
    };
    if protocol.has_ports() { format!("{host}:{port}/{protocol}") } else { format!("{host}/{protocol}") }
}

fn why(verdict: &Verdict) -> String {
    let said = verdict.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    let words = match (verdict.reason, &verdict.rule, &verdict.policy, &verdict.module) {
        (Reason::DefaultDeny, ..) => "no rule allows it".to_owned(),
        (Reason::Module, _, _, Some(module)) => format!("the module {module} denies it{said}"),
        (Reason::HeldTimeout, ..) => format!("its modules did not decide{said}"),
        (_, Some(rule), Some(policy), _) => format!("the rule {rule} of {policy} denies it{said}"),
        (Reason::ExpiredName, ..) => "its name was looked up too long ago".to_owned(),
        (Reason::SpoofedSource, ..) => "its source is no address of the pod".to_owned(),
        (Reason::Unparsed, ..) => "the packet cannot be read".to_owned(),
        (Reason::OverQuota, ..) => "the pod is over a quota".to_owned(),
        (Reason::MapFull, ..) => "a table of the node is full".to_owned(),
        _ => "it is denied".to_owned(),
    };
    format!("{words} ({})", verdict.reason)
}

/// Asks `node` whenever it is asked.
pub fn asking(node: &Arc<Node>) -> cluster::Ask {
    let node = node.clone();
    Arc::new(move || {
        let now = clock::now();
        node.view(|view| snapshot(view, |policy| node.denials.last_hour.of(policy, now)))
    })
}

/// What is known of a node; `None`: not all of it yet.
fn snapshot(view: &View, denied: impl Fn(&str) -> u64) -> Option<Snapshot> {
    let listed = view.listed.as_ref().filter(|_| view.ready)?;
    let mut selected: HashMap<&str, Selected> = HashMap::new();
    for shown in view.workloads.values() {
        let gap = gap(shown);
        for policy in &shown.policies {
            selected.entry(policy).or_default().add(shown, gap);
        }
    }
    let mut problems = HashMap::new();
    for problem in &view.problems {
        problems.entry(problem.file.as_str()).or_insert(problem);
    }
    let refusal = |policy: &Listed| {
        problems.get(&*policy.file).map(|problem| Refusal {
            path: problem.path.clone(),
            reason: match &problem.fix {
                Some(fix) => format!("{}; {fix}", problem.reason),
                None => problem.reason.clone(),
            },
            has_last_good: view.accepted.is_whole(&policy.file),
        })
    };
    let policies = listed.iter().filter(|policy| !policy.id.kind.is_upstream()).map(|policy| {
        let name = policy.id.to_string();
        let Selected { workloads, in_force, example } = selected.remove(name.as_str()).unwrap_or_default();
        PolicyHere {
            id: policy.id.clone(),
            generation: policy.generation,
            refusal: refusal(policy),
            workloads,
            in_force,
            not_in_force: example,
            denied: denied(&name),
        }
    });
    let upstream = listed.iter().filter(|policy| policy.id.kind.is_upstream());
    let refused = upstream.filter_map(|policy| {
        let refusal = refusal(policy)?;
        let Listed { id, uid, generation, .. } = policy.clone();
        Some(RefusedUpstream { id, uid, generation, refusal })
    });
    let not_covered = view.workloads.iter().filter_map(|(id, shown)| match &shown.coverage {
        Coverage::Covered | Coverage::Sockets { .. } => None,
        Coverage::NotCovered { reason } => Some((id.clone(), reason.clone())),
    });
    Some(Snapshot {
        workloads: view.workloads.len(),
        policies: policies.collect(),
        refused_upstream: refused.take(MOST_REFUSED).collect(),
        not_covered: not_covered.collect(),
    })
}

/// The workloads that a policy selects.
#[derive(Default)]
struct Selected {
    workloads: usize,
    in_force: usize,
    /// One that it is not in force for.
    example: Option<String>,
}

impl Selected {
    fn add(&mut self, shown: &Shown, gap: Option<&str>) {
        self.workloads += 1;
        match gap {
            None => self.in_force += 1,
            Some(reason) if self.example.is_none() => {
                self.example = Some(format!("{}: {reason}", shown.workload.id));
            }
            Some(_) => {}
        }
    }
}

/// Why the policies of a workload are not in force for it.
fn gap(shown: &Shown) -> Option<&str> {
    match &shown.coverage {
        Coverage::NotCovered { reason } => Some(reason),
        _ if shown.is_lacking => Some(NOT_IN_FORCE),
        Coverage::Covered | Coverage::Sockets { .. } => None,
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
