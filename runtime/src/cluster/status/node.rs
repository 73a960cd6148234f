//! From what an agent knows to the object of its node: small, whatever there is on the node. Pure.

use std::cmp::Reverse;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::pace::Change;
use super::snapshot::{PolicyHere, Snapshot};
use crate::cluster::objects::node::{MOST_PODS, MOST_POLICIES};
use crate::cluster::objects::{EgressNodeStatusSpec, PodNotCovered, PolicyOnNode, PolicyProblem};

/// Characters of a sentence and of a path, as the schema has it.
const SENTENCE: usize = 1024;
/// Characters of what is wrong with a policy.
const PROBLEM: usize = 2048;

/// The object of a node, as of `now`.
pub fn of(snapshot: &Snapshot, now: Timestamp) -> EgressNodeStatusSpec {
    let mut policies: Vec<_> = snapshot.policies.iter().filter(|policy| is_worth_telling(policy)).collect();
    policies.sort_by_key(|policy| (Reverse(is_failing(policy)), Reverse(policy.workloads), &policy.id));
    let left_out = policies.len().saturating_sub(MOST_POLICIES);
    policies.truncate(MOST_POLICIES);
    let not_covered = snapshot.not_covered.iter().take(MOST_PODS).map(|(id, reason)| PodNotCovered {
        namespace: id.namespace.clone(),
        name: id.name.clone(),
        reason: shortened(reason, SENTENCE),
    });
    EgressNodeStatusSpec {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        observed_at: Time(now),
        workloads: small(snapshot.workloads),
        not_covered: small(snapshot.not_covered.len()),
        not_covered_workloads: not_covered.collect(),
        policies_failing: small(snapshot.policies.iter().filter(|policy| is_failing(policy)).count()),
        policies: policies.into_iter().map(policy).collect(),
        policies_left_out: small(left_out),
    }
}

/// A policy, as the object of a node tells of it.
pub fn policy(here: &PolicyHere) -> PolicyOnNode {
    let problem = here.refusal.as_ref().map(|refusal| PolicyProblem {
        path: refusal.path.as_deref().map(|path| shortened(path, SENTENCE)),
        reason: shortened(&refusal.reason, PROBLEM),
        last_good_in_force: refusal.has_last_good,
    });
    PolicyOnNode {
        kind: here.id.kind.word().to_owned(),
        namespace: here.id.namespace.clone(),
        name: here.id.name.clone(),
        observed_generation: here.generation,
        accepted: problem.is_none(),
        problem,
        workloads: small(here.workloads),
        in_force: small(here.in_force),
        not_in_force: here.not_in_force.as_deref().map(|reason| shortened(reason, SENTENCE)),
        denied_last_hour: i64::try_from(here.denied).unwrap_or(i64::MAX),
    }
}

/// What is different, besides when it was told.
pub fn change(before: &EgressNodeStatusSpec, now: &EgressNodeStatusSpec) -> Change {
    let bare = |spec: &EgressNodeStatusSpec, with_counts: bool| {
        let mut spec = EgressNodeStatusSpec { observed_at: Time(Timestamp::UNIX_EPOCH), ..spec.clone() };
        if !with_counts {
            spec.policies.iter_mut().for_each(|policy| policy.denied_last_hour = 0);
        }
        spec
    };
    if bare(before, false) != bare(now, false) {
        Change::State
    } else if bare(before, true) != bare(now, true) {
        Change::Counts
    } else {
        Change::None
    }
}

/// On every node there are all policies; one that is good and selects nothing here is not this node's to tell of.
fn is_worth_telling(policy: &PolicyHere) -> bool {
    policy.workloads > 0 || policy.refusal.is_some() || policy.denied > 0
}

fn is_failing(policy: &PolicyHere) -> bool {
    policy.refusal.is_some() || policy.in_force < policy.workloads
}

/// The first characters of `text`.
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

fn small(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Refusal;
    use super::*;
    use crate::model::{PolicyId, WorkloadId};

    fn here(name: &str, workloads: usize, in_force: usize) -> PolicyHere {
        PolicyHere {
            id: PolicyId::of_namespace("shop", name),
            generation: 1,
            refusal: None,
            workloads,
            in_force,
            not_in_force: None,
            denied: 0,
        }
    }

    #[test]
    fn a_node_tells_of_what_it_has_and_failing_policies_come_first() {
        let refusal = Refusal { path: None, reason: "a word".into(), has_last_good: false };
        let policies = vec![
            here("elsewhere", 0, 0),
            here("good", 2, 2),
            here("gap", 1, 0),
            PolicyHere { refusal: Some(refusal), ..here("refused", 0, 0) },
            PolicyHere { denied: 3, ..here("left", 0, 0) },
        ];
        let spec = of(&Snapshot { workloads: 3, policies, ..Snapshot::default() }, Timestamp::UNIX_EPOCH);
        let names: Vec<_> = spec.policies.iter().map(|policy| policy.name.as_str()).collect();
        assert_eq!(names, ["gap", "refused", "good", "left"]);
        assert_eq!((spec.policies_failing, spec.policies_left_out), (2, 0));
    }

    #[test]
    fn a_node_with_very_much_is_told_of_in_little() {
        let long = "x".repeat(5000);
        let refusal = || Refusal { path: Some(long.clone()), reason: long.clone(), has_last_good: false };
        let policies = (0..2000).map(|index| PolicyHere {
            refusal: Some(refusal()),
            not_in_force: Some(long.clone()),
            ..here(&format!("p{index}"), 1, 0)
        });
        let pod = |index| WorkloadId { namespace: "shop".into(), name: format!("w{index}") };
        let snapshot = Snapshot {
            workloads: 400,
            not_covered: (0..300).map(|index| (pod(index), long.clone())).collect(),
            policies: policies.collect(),
            ..Snapshot::default()
        };
        let spec = of(&snapshot, Timestamp::UNIX_EPOCH);
        assert_eq!((spec.policies.len(), spec.policies_left_out), (MOST_POLICIES, 2000 - 512));
        assert_eq!((spec.not_covered_workloads.len(), spec.not_covered), (MOST_PODS, 300));
        let problem = spec.policies[0].problem.as_ref().expect("it is refused");
        let lengths =
            [problem.reason.chars().count(), problem.path.as_ref().map_or(0, |p| p.chars().count())];
        assert_eq!(lengths, [PROBLEM, SENTENCE]);
    }

    #[test]
    fn when_it_was_told_is_no_change_and_counts_are_a_small_one() {
        let snapshot = |in_force, denied| Snapshot {
            policies: vec![PolicyHere { denied, ..here("web", 2, in_force) }],
            ..Snapshot::default()
        };
        let first = of(&snapshot(2, 0), Timestamp::UNIX_EPOCH);
        let later = Timestamp::from_second(60).expect("a time");
        for (in_force, denied, expected) in
            [(2, 0, Change::None), (2, 1, Change::Counts), (1, 0, Change::State), (1, 1, Change::State)]
        {
            assert_eq!(change(&first, &of(&snapshot(in_force, denied), later)), expected);
        }
    }
}
