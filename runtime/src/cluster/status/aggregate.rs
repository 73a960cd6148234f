//! From what nodes tell of a policy to its status. Pure.
//!
//! `Accepted`: every agent that read this generation understands it. `Enforced`: it denies what it says for every pod that it
//! selects. `Degraded`: somewhere it is not what it says. A node that tells nothing of a policy has no pod of it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::node::shortened;
use super::pace::Change;
use crate::cluster::objects::{Condition, ConditionStatus, PolicyOnNode, PolicyStatus};

/// Nodes that the status names, at most.
const MOST_NODES: usize = 10;
/// Nodes that a sentence names, at most.
const NAMED: usize = 3;
/// Characters of a message; of what is wrong with one node a part of that.
const MESSAGE: usize = 4096;

/// A policy as it is now.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Its `metadata.generation`.
    pub generation: i64,
    /// Its mode is Enforce.
    pub enforces: bool,
}

/// What a node tells of it.
#[derive(Clone, Copy, Debug)]
pub struct OnNode<'a> {
    /// The node.
    pub node: &'a str,
    /// Its agent told something in the last minutes.
    pub is_fresh: bool,
    /// What it told last.
    pub told: &'a PolicyOnNode,
}

/// One answer: how it is, a word for programs, and a sentence.
type Answer = (ConditionStatus, &'static str, String);

/// The nodes of a policy, by what is wrong there.
struct Nodes<'a> {
    all: &'a [OnNode<'a>],
    silent: Vec<&'a OnNode<'a>>,
    refusing: Vec<&'a OnNode<'a>>,
    behind: Vec<&'a OnNode<'a>>,
    lacking: Vec<&'a OnNode<'a>>,
}

impl<'a> Nodes<'a> {
    fn of(policy: Policy, all: &'a [OnNode<'a>]) -> Self {
        let mut nodes =
            Self { all, silent: Vec::new(), refusing: Vec::new(), behind: Vec::new(), lacking: Vec::new() };
        for on in all {
            let is_now = on.told.observed_generation == policy.generation;
            if !on.is_fresh {
                // Of a policy that has no pod there, its silence says nothing.
                nodes.silent.extend((on.told.workloads > 0).then_some(on));
            } else if !is_now {
                nodes.behind.push(on);
            } else if !on.told.accepted {
                nodes.refusing.push(on);
            } else if on.told.in_force < on.told.workloads {
                nodes.lacking.push(on);
            }
        }
        nodes
    }

    fn sum(&self, number: fn(&PolicyOnNode) -> i32) -> i32 {
        self.all.iter().fold(0, |sum, on| sum.saturating_add(number(on.told).max(0)))
    }
}

/// The status of `policy` as of `now`. `before`: what it was; a condition that stays keeps its time.
pub fn status(policy: Policy, nodes: &[OnNode<'_>], before: &PolicyStatus, now: Timestamp) -> PolicyStatus {
    let by = Nodes::of(policy, nodes);
    let workloads = by.sum(|told| told.workloads);
    let accepted = accepted(policy, &by);
    let enforced = enforced(policy, &by, workloads);
    let degraded = degraded(&by);
    let conditions = [("Accepted", accepted), ("Enforced", enforced), ("Degraded", degraded)];
    let condition = |(kind, (status, reason, message)): (&str, Answer)| {
        let before = before.conditions.iter().find(|before| before.kind == kind && before.status == status);
        Condition {
            kind: kind.to_owned(),
            status,
            reason: reason.to_owned(),
            message: shortened(&message, MESSAGE),
            last_transition_time: before.map_or(Time(now), |before| before.last_transition_time.clone()),
            observed_generation: Some(policy.generation),
        }
    };
    let mut failing: Vec<_> =
        [&by.refusing, &by.silent, &by.lacking].into_iter().flatten().map(|on| on.node.to_owned()).collect();
    failing.sort();
    failing.truncate(MOST_NODES);
    PolicyStatus {
        observed_generation: Some(policy.generation),
        conditions: conditions.map(condition).into(),
        workloads: Some(workloads),
        denied_last_hour: Some(
            nodes.iter().fold(0_i64, |sum, on| sum.saturating_add(on.told.denied_last_hour.max(0))),
        ),
        failing_nodes: failing,
    }
}

/// What is different between two statuses.
pub fn change(before: &PolicyStatus, now: &PolicyStatus) -> Change {
    if before == now {
        return Change::None;
    }
    let bare = |status: &PolicyStatus| PolicyStatus { denied_last_hour: None, ..status.clone() };
    if bare(before) == bare(now) { Change::Counts } else { Change::State }
}

fn accepted(policy: Policy, by: &Nodes<'_>) -> Answer {
    if let Some(told) = refusal(by) {
        return (ConditionStatus::False, "Refused", told);
    }
    let has_read =
        |on: &OnNode<'_>| on.is_fresh && on.told.accepted && on.told.observed_generation == policy.generation;
    if by.all.iter().any(has_read) {
        return (ConditionStatus::True, "Understood", "agents understand it".to_owned());
    }
    let told = format!("no agent has told yet that it read generation {}", policy.generation);
    (ConditionStatus::Unknown, "NotRead", told)
}

/// What is wrong with it, by the first node that refuses it, and what counts instead.
fn refusal(by: &Nodes<'_>) -> Option<String> {
    let first = by.refusing.first()?;
    let (path, reason, has_last_good) = match &first.told.problem {
        Some(problem) => {
            let path = problem.path.as_ref().map(|path| format!("{path}: ")).unwrap_or_default();
            (path, problem.reason.as_str(), problem.last_good_in_force)
        }
        None => (String::new(), "its agent does not say why", false),
    };
    let rest =
        if has_last_good { "its last good version stays in force" } else { "nothing of it is in force" };
    Some(format!("{path}{reason} (on {}); {rest}", named(&by.refusing)))
}

fn enforced(policy: Policy, by: &Nodes<'_>, workloads: i32) -> Answer {
    let no = |reason, told| (ConditionStatus::False, reason, told);
    if !by.refusing.is_empty() {
        return no("Refused", "this generation is refused, see Accepted".to_owned());
    }
    if !policy.enforces {
        return no("Observe", "its mode is Observe: what it would deny is only told".to_owned());
    }
    if !by.silent.is_empty() {
        return (ConditionStatus::Unknown, "NotReporting", silence(by));
    }
    if !by.behind.is_empty() {
        let told = format!("generation {} is not read yet on {}", policy.generation, named(&by.behind));
        return no("Pending", told);
    }
    if by.all.is_empty() {
        return (ConditionStatus::Unknown, "NotRead", "no agent tells of it yet".to_owned());
    }
    if workloads == 0 {
        return no("NoWorkloads", "it selects no pod".to_owned());
    }
    if !by.lacking.is_empty() {
        return no("NotInForce", gaps(by));
    }
    let nodes = by.all.iter().filter(|on| on.told.workloads > 0).count();
    let told = format!("in force for all {workloads} pods that it selects, on {}", of(nodes, "node"));
    (
        ConditionStatus::True,
        "InForce",
        told.replace("all 1 pods that it selects", "the one pod that it selects"),
    )
}

fn degraded(by: &Nodes<'_>) -> Answer {
    let mut wrong = Vec::new();
    wrong.extend(refusal(by).map(|told| ("Refused", told)));
    if !by.silent.is_empty() {
        wrong.push(("NotReporting", silence(by)));
    }
    if !by.lacking.is_empty() {
        wrong.push(("NotInForce", gaps(by)));
    }
    match wrong.first() {
        None => (ConditionStatus::False, "AsItSays", "no node tells of anything wrong".to_owned()),
        Some((reason, _)) => {
            let told: Vec<_> = wrong.iter().map(|(_, told)| told.as_str()).collect();
            (ConditionStatus::True, reason, told.join("; "))
        }
    }
}

fn silence(by: &Nodes<'_>) -> String {
    format!("for three minutes nothing was told by {}, which had pods of it", named(&by.silent))
}

fn gaps(by: &Nodes<'_>) -> String {
    let missing = by
        .lacking
        .iter()
        .fold(0_i32, |sum, on| sum.saturating_add(on.told.workloads.saturating_sub(on.told.in_force)));
    let example = by.lacking.iter().find_map(|on| on.told.not_in_force.as_deref());
    let example = example.map(|told| format!(", such as {told}")).unwrap_or_default();
    let missing = usize::try_from(missing).unwrap_or_default();
    format!("not in force for {} on {}{example}", of(missing, "pod"), named(&by.lacking))
}

fn named(nodes: &[&OnNode<'_>]) -> String {
    let mut names: Vec<_> = nodes.iter().map(|on| on.node).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let names = names.join(", ");
    if more == 0 { names } else { format!("{names} and {more} more") }
}

fn of(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
#[path = "aggregate_tests.rs"]
mod tests;
