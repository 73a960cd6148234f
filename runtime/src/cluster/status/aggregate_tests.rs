use super::*;
use crate::cluster::objects::PolicyProblem;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const ENFORCE: Policy = Policy { generation: 2, enforces: true };

fn told(generation: i64, workloads: i32, in_force: i32) -> PolicyOnNode {
    PolicyOnNode {
        kind: "EgressPolicy".into(),
        namespace: Some("shop".into()),
        name: "web".into(),
        observed_generation: generation,
        accepted: true,
        problem: None,
        workloads,
        in_force,
        not_in_force: (in_force < workloads).then(|| "shop/w: a reason".to_owned()),
        denied_last_hour: 1,
    }
}

fn refused(has_last_good: bool) -> PolicyOnNode {
    let problem = PolicyProblem {
        path: Some("spec.allow[1].name".into()),
        reason: "it is taken".into(),
        last_good_in_force: has_last_good,
    };
    PolicyOnNode { accepted: false, problem: Some(problem), ..told(2, 1, 1) }
}

/// `Accepted`, `Enforced` and `Degraded`, each as `True Word`, and the nodes that fail.
fn told_of(policy: Policy, nodes: &[(&str, bool, PolicyOnNode)]) -> ([String; 3], String) {
    let nodes: Vec<_> =
        nodes.iter().map(|(node, is_fresh, told)| OnNode { node, is_fresh: *is_fresh, told }).collect();
    let status = status(policy, &nodes, &PolicyStatus::default(), NOW);
    let kinds: Vec<_> = status.conditions.iter().map(|condition| condition.kind.as_str()).collect();
    assert_eq!(kinds, ["Accepted", "Enforced", "Degraded"]);
    let words = [0, 1, 2].map(|at| {
        let condition = &status.conditions[at];
        format!("{:?} {}", condition.status, condition.reason)
    });
    (words, status.failing_nodes.join(" "))
}

#[test]
fn what_nodes_tell_comes_to_three_answers() {
    let observe = Policy { enforces: false, ..ENFORCE };
    let good = ["True Understood", "True InForce", "False AsItSays"];
    type Nodes<'a> = &'a [(&'a str, bool, PolicyOnNode)];
    let cases: &[(&str, Policy, Nodes<'_>, [&str; 3], &str)] = &[
        ("in force everywhere", ENFORCE, &[("a", true, told(2, 2, 2)), ("b", true, told(2, 1, 1))], good, ""),
        (
            "on trial",
            observe,
            &[("a", true, told(2, 1, 1))],
            ["True Understood", "False Observe", "False AsItSays"],
            "",
        ),
        ("nobody read it", ENFORCE, &[], ["Unknown NotRead", "Unknown NotRead", "False AsItSays"], ""),
        (
            "it selects nothing",
            ENFORCE,
            &[("a", true, told(2, 0, 0))],
            ["True Understood", "False NoWorkloads", "False AsItSays"],
            "",
        ),
        (
            "nobody read this generation",
            ENFORCE,
            &[("a", true, told(1, 1, 1))],
            ["Unknown NotRead", "False Pending", "False AsItSays"],
            "",
        ),
        (
            "one did",
            ENFORCE,
            &[("a", true, told(1, 1, 1)), ("b", true, told(2, 1, 1))],
            ["True Understood", "False Pending", "False AsItSays"],
            "",
        ),
        (
            "a pod is not covered",
            ENFORCE,
            &[("a", true, told(2, 2, 1)), ("b", true, told(2, 1, 1))],
            ["True Understood", "False NotInForce", "True NotInForce"],
            "a",
        ),
        (
            "the same on trial",
            observe,
            &[("a", true, told(2, 2, 1))],
            ["True Understood", "False Observe", "True NotInForce"],
            "a",
        ),
        (
            "refused",
            ENFORCE,
            &[("a", true, refused(true)), ("b", true, told(2, 1, 1))],
            ["False Refused", "False Refused", "True Refused"],
            "a",
        ),
        (
            "silent",
            ENFORCE,
            &[("b", false, told(2, 1, 1)), ("a", true, told(2, 1, 1))],
            ["True Understood", "Unknown NotReporting", "True NotReporting"],
            "b",
        ),
        (
            "what is silent refuses nothing",
            ENFORCE,
            &[("b", false, refused(true))],
            ["Unknown NotRead", "Unknown NotReporting", "True NotReporting"],
            "b",
        ),
        (
            "silent, and had no pod of it",
            ENFORCE,
            &[("b", false, told(2, 0, 0)), ("a", true, told(2, 1, 1))],
            good,
            "",
        ),
        (
            "much is wrong",
            ENFORCE,
            &[("c", false, told(2, 1, 1)), ("b", true, told(2, 1, 0)), ("a", true, refused(false))],
            ["False Refused", "False Refused", "True Refused"],
            "a b c",
        ),
        // A version that is gone, or not there yet for this agent, refuses nothing either.
        (
            "an older one was refused",
            ENFORCE,
            &[("a", true, PolicyOnNode { observed_generation: 1, ..refused(true) })],
            ["Unknown NotRead", "False Pending", "False AsItSays"],
            "",
        ),
    ];
    for (what, policy, nodes, words, failing) in cases {
        let (told, failed) = told_of(*policy, nodes);
        assert_eq!((told.each_ref().map(String::as_str), failed.as_str()), (*words, *failing), "{what}");
    }
}

#[test]
fn a_refusal_is_told_with_its_place_and_with_what_counts_instead() {
    for (has_last_good, rest) in
        [(true, "its last good version stays in force"), (false, "nothing of it is in force")]
    {
        let problem = refused(has_last_good);
        let nodes = ["d", "c", "b", "a"].map(|node| OnNode { node, is_fresh: true, told: &problem });
        let status = status(ENFORCE, &nodes, &PolicyStatus::default(), NOW);
        let expected = format!("spec.allow[1].name: it is taken (on a, b, c and 1 more); {rest}");
        assert_eq!(status.conditions[0].message, expected);
        assert_eq!(status.conditions[2].message, expected);
    }
}

#[test]
fn a_gap_is_told_with_a_pod_and_a_reason() {
    let gap = told(2, 4, 2);
    let nodes = [OnNode { node: "a", is_fresh: true, told: &gap }];
    let status = status(ENFORCE, &nodes, &PolicyStatus::default(), NOW);
    assert_eq!(status.conditions[1].message, "not in force for 2 pods on a, such as shop/w: a reason");
    assert_eq!((status.workloads, status.denied_last_hour), (Some(4), Some(1)));
}

#[test]
fn a_condition_that_stays_keeps_its_time() {
    let later = Timestamp::from_second(100).expect("a time");
    let (good, gap) = (told(2, 1, 1), told(2, 1, 0));
    let on = |told| [OnNode { node: "a", is_fresh: true, told }];
    let first = status(ENFORCE, &on(&good), &PolicyStatus::default(), NOW);
    assert_eq!(change(&PolicyStatus::default(), &first), Change::State);
    let same = status(ENFORCE, &on(&good), &first, later);
    assert_eq!(change(&first, &same), Change::None);
    let counted = PolicyOnNode { denied_last_hour: 7, ..good.clone() };
    assert_eq!(change(&first, &status(ENFORCE, &on(&counted), &first, later)), Change::Counts);
    let lost = status(ENFORCE, &on(&gap), &first, later);
    assert_eq!(change(&first, &lost), Change::State);
    let since: Vec<_> = lost.conditions.iter().map(|condition| condition.last_transition_time.0).collect();
    assert_eq!(since, [NOW, later, later], "Accepted stayed, the others did not");
}

#[test]
fn what_a_node_says_never_makes_a_status_large_or_wrong() {
    let problem = PolicyProblem { path: None, reason: "x".repeat(10_000), last_good_in_force: true };
    let odd = PolicyOnNode {
        workloads: -5,
        in_force: i32::MAX,
        denied_last_hour: -1,
        problem: Some(problem),
        accepted: false,
        ..told(2, 1, 1)
    };
    let huge =
        PolicyOnNode { workloads: i32::MAX, in_force: i32::MIN, denied_last_hour: i64::MAX, ..told(2, 1, 1) };
    let names: Vec<_> = (0..100).map(|index| format!("n{index}")).collect();
    let nodes = names.iter().enumerate().map(|(index, node)| OnNode {
        node,
        is_fresh: true,
        told: if index % 2 == 0 { &odd } else { &huge },
    });
    let nodes: Vec<_> = nodes.collect();
    let status = status(ENFORCE, &nodes, &PolicyStatus::default(), NOW);
    assert_eq!((status.workloads, status.denied_last_hour), (Some(i32::MAX), Some(i64::MAX)));
    assert_eq!(status.failing_nodes.len(), MOST_NODES);
    assert!(status.conditions.iter().all(|condition| condition.message.chars().count() <= MESSAGE));
}
