use super::super::snapshot::PolicyHere;
use super::*;
use crate::cluster::objects::ConditionStatus;
use crate::model::PolicyId;

const KIND: PolicyKind = PolicyKind::EgressPolicy;

fn key(name: &str) -> Key {
    ("shop".to_owned(), name.to_owned())
}

fn policy(generation: i64) -> PolicyNow {
    PolicyNow { uid: "u".into(), generation, enforces: true, status: PolicyStatus::default() }
}

fn here(name: &str, denied: u64) -> PolicyHere {
    PolicyHere {
        id: PolicyId::of_namespace("shop", name),
        generation: 1,
        refusal: None,
        workloads: 1,
        in_force: 1,
        not_in_force: None,
        denied,
    }
}

fn own(policies: Vec<PolicyHere>) -> Snapshot {
    Snapshot { policies, ..Snapshot::default() }
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

struct Story {
    gathered: Gathered,
    start: Instant,
}

impl Story {
    fn new(policies: &[(&str, i64)]) -> Self {
        let mut story = Self { gathered: Gathered::default(), start: Instant::now() };
        for (name, generation) in policies {
            story.tell(0, Word::Policy(KIND, Told::Listed(key(name), policy(*generation))));
        }
        for word in [
            Word::Policy(KIND, Told::Whole),
            Word::Policy(PolicyKind::ClusterEgressPolicy, Told::Whole),
            Word::Node(Told::Whole),
        ] {
            story.tell(0, word);
        }
        assert!(story.gathered.is_whole());
        story
    }

    fn tell(&mut self, at: u64, word: Word) {
        let seconds = i64::try_from(at).expect("small");
        self.gathered.take(word, self.start + Duration::from_secs(at), second(1000 + seconds));
    }

    /// A node whose clock says `clock` tells that it has one pod of `web`.
    fn node(&mut self, at: u64, name: &str, clock: i64) {
        let policies = vec![node::policy(&here("web", 0))];
        let told = NodeNow { told_at: second(clock), policies };
        self.tell(at, Word::Node(Told::Changed((String::new(), name.to_owned()), told)));
    }

    /// What is to be written, and is.
    fn write(&mut self, at: u64, own: &Snapshot) -> Vec<Due> {
        let now = self.start + Duration::from_secs(at);
        let seconds = i64::try_from(at).expect("small");
        let (due, _) = self.gathered.due("me", own, now, second(1000 + seconds));
        due.iter().for_each(|due| self.gathered.wrote(due.clone(), now));
        due
    }

    fn enforced(&mut self, at: u64) -> ConditionStatus {
        // What is to be, whether it is written already or not.
        self.write(at, &own(Vec::new()));
        self.write(at + 2, &own(Vec::new()));
        let policy = &self.gathered.of_namespaces.all()[&key("web")];
        policy.status.conditions[1].status
    }
}

#[test]
fn a_status_is_written_once_it_settled_and_not_again_while_it_stays() {
    let mut story = Story::new(&[("web", 1)]);
    let one = own(vec![here("web", 0)]);
    assert_eq!(story.write(0, &own(Vec::new())).len(), 0, "it may be another one in a moment");
    let due = story.write(1, &one);
    assert_eq!((due.len(), due[0].status.workloads, due[0].uid.as_str()), (1, Some(1), "u"));
    assert_eq!(story.write(2, &one).len(), 0);
    // Counts are written more rarely.
    let counted = own(vec![here("web", 5)]);
    assert_eq!([3, 4, 15].map(|at| story.write(at, &counted).len()), [0, 0, 0]);
    let due = story.write(16, &counted);
    assert_eq!(due[0].status.denied_last_hour, Some(5));
    assert_eq!(story.write(17, &counted).len(), 0);
    // What the API server tells of it is what was written.
    let status = due[0].status.clone();
    story.tell(18, Word::Policy(KIND, Told::Changed(key("web"), PolicyNow { status, ..policy(1) })));
    assert_eq!([18, 40].map(|at| story.write(at, &counted).len()), [0, 0]);
    // Somebody else wrote it.
    story.tell(41, Word::Policy(KIND, Told::Changed(key("web"), policy(1))));
    assert_eq!([41, 42].map(|at| story.write(at, &counted).len()), [0, 1]);
}

#[test]
fn what_a_person_waits_for_is_written_before_counts() {
    let mut story = Story::new(&[("counted", 1), ("new", 1)]);
    let both = |denied| own(vec![here("counted", denied), here("new", 0)]);
    story.write(0, &both(0));
    assert_eq!(story.write(1, &both(0)).len(), 2);
    story.tell(29, Word::Policy(KIND, Told::Changed(key("new"), policy(2))));
    story.write(29, &both(9));
    let names: Vec<_> = story.write(30, &both(9)).into_iter().map(|due| due.key.1).collect();
    assert_eq!(names, ["new", "counted"]);
}

#[test]
fn a_node_that_is_silent_for_three_minutes_is_known_by_the_clock_of_who_listens() {
    let mut story = Story::new(&[("web", 1)]);
    // Its clock is an hour ahead, and nobody minds.
    story.node(0, "ahead", 4600);
    assert_eq!(story.enforced(1), ConditionStatus::True);
    assert_eq!(story.enforced(170), ConditionStatus::True);
    assert_eq!(story.enforced(181), ConditionStatus::Unknown);
    story.node(200, "ahead", 4800);
    assert_eq!(story.enforced(201), ConditionStatus::True);
    // A leader that is new believes what is old to be old, until it hears that it is not.
    story.node(202, "behind", 10);
    assert_eq!(story.enforced(203), ConditionStatus::Unknown);
    story.node(210, "behind", 70);
    assert_eq!(story.enforced(211), ConditionStatus::True);
    story.tell(220, Word::Node(Told::Gone((String::new(), "behind".to_owned()))));
    story.write(220, &own(Vec::new()));
    assert!(!story.gathered.heard.contains_key("behind"), "what is gone is forgotten");
}

#[test]
fn what_this_node_knows_counts_in_the_place_of_what_it_told() {
    let mut story = Story::new(&[("web", 1), ("elsewhere", 1)]);
    story.node(0, "me", 1000);
    story.node(0, "other", 1000);
    let elsewhere = PolicyHere { workloads: 0, in_force: 0, ..here("elsewhere", 0) };
    let own = own(vec![PolicyHere { workloads: 3, ..here("web", 0) }, elsewhere]);
    story.write(0, &own);
    let mut due = story.write(1, &own);
    due.sort_by(|a, b| a.key.cmp(&b.key));
    let workloads: Vec<_> = due.iter().map(|due| due.status.workloads).collect();
    assert_eq!(workloads, [Some(0), Some(4)]);
    assert_eq!(
        due[0].status.conditions[0].status,
        ConditionStatus::True,
        "one that selects nothing is read too"
    );
}

#[test]
fn objects_that_say_odd_things_are_read_all_the_same() {
    let object = |data: Value| {
        let mut object: DynamicObject =
            serde_json::from_value(serde_json::json!({"metadata": {"name": "a"}})).expect("an object");
        object.data = data;
        object
    };
    for data in [serde_json::json!({}), serde_json::json!({"spec": 1, "status": [2]}), Value::Null] {
        assert_eq!(NodeNow::of(object(data.clone())), NodeNow::default());
        let read = PolicyNow::of(object(data));
        assert_eq!((read.enforces, read.status), (false, PolicyStatus::default()));
    }
}
