use std::collections::BTreeMap;
use std::net::IpAddr;

use super::*;
use crate::api::{EffectiveMode, PolicyProblem};
use crate::model::{Labels, Name, Namespace, Place, PolicyId, PolicyKind, Protocol, Workload, WorkloadId};
use crate::policy::{Accepted, Good, refresh};

fn destination(name: Option<&str>, address: &str, port: u16, protocol: Protocol) -> Destination {
    let address: IpAddr = address.parse().expect("an address");
    let name = name.map(|name| Name::parse(name).expect("a name"));
    Destination { name, names: Vec::new(), address, port, protocol }
}

#[test]
fn a_place_is_written_as_people_dial_it() {
    for (name, address, port, protocol, expected) in [
        (Some("github.com"), "203.0.113.10", 443, Protocol::TCP, "github.com:443/TCP"),
        (None, "203.0.113.10", 53, Protocol::UDP, "203.0.113.10:53/UDP"),
        (None, "2001:db8::1", 443, Protocol::TCP, "[2001:db8::1]:443/TCP"),
        (None, "2001:db8::1", 0, Protocol::ICMP, "2001:db8::1/ICMP"),
        (None, "203.0.113.10", 0, Protocol(47), "203.0.113.10/47"),
    ] {
        assert_eq!(place(&destination(name, address, port, protocol)), expected);
    }
}

#[test]
fn a_denial_says_who_denied_and_why() {
    let text = |word: &str| Some(word.to_owned());
    let of = |reason| Verdict::of(Action::Deny, reason);
    let by_rule = Verdict { rule: text("deny[0]"), policy: text("shop/web"), ..of(Reason::Rule) };
    let by_module = Verdict {
        module: text("hours"),
        policy: text("shop/web"),
        message: text("closed"),
        ..of(Reason::Module)
    };
    let enforcing = ["all".to_owned(), "shop/web".to_owned()];
    for (verdict, words, counted) in [
        (of(Reason::DefaultDeny), "no rule allows it (default-deny)", &["all", "shop/web"][..]),
        (by_rule, "the rule deny[0] of shop/web denies it (rule)", &["shop/web"]),
        (by_module, "the module hours denies it: closed (module)", &["shop/web"]),
        (of(Reason::ExpiredName), "its name was looked up too long ago (expired-name)", &["all", "shop/web"]),
        (of(Reason::SpoofedSource), "its source is no address of the pod (spoofed-source)", &[]),
    ] {
        assert_eq!(why(&verdict), words);
        assert_eq!(denied_by(&enforcing, &verdict), counted, "{words}");
    }
}

#[test]
fn only_what_is_really_denied_counts() {
    let denials = Denials::new();
    let enforcing = ["shop/web".to_owned()];
    let there = destination(None, "203.0.113.10", 443, Protocol::TCP);
    for action in [Action::Allow, Action::Deny] {
        let verdict = Verdict::of(action, Reason::DefaultDeny);
        denials.note(&WorkloadRef::default(), &enforcing, &there, &verdict);
    }
    assert_eq!(denials.last_hour.of("shop/web", clock::now()), 1);
}

fn shown(name: &str, policies: &[&str], gap: Option<&str>, is_lacking: bool) -> (WorkloadId, Shown) {
    let id = WorkloadId { namespace: "shop".into(), name: name.into() };
    let gap = gap.map(|reason| Coverage::NotCovered { reason: reason.to_owned() });
    let shown = Shown {
        workload: Workload {
            id: id.clone(),
            labels: Labels::new(),
            service_account: None,
            place: Place::Nowhere("nowhere".into()),
            addresses: Vec::new(),
            resolvers: None,
        },
        namespace: Namespace::new("shop".into(), Labels::new()),
        resolvers: Vec::new(),
        coverage: gap.unwrap_or(Coverage::Covered),
        index: None,
        addresses: Vec::new(),
        interface: None,
        mode: EffectiveMode::Enforce,
        policies: policies.iter().map(|&policy| policy.to_owned()).collect(),
        enforcing: Arc::default(),
        is_lacking,
    };
    (id, shown)
}

#[test]
fn a_node_tells_of_every_policy_whom_it_selects_and_whether_it_is_in_force() {
    let text = "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {name: web, namespace: shop}\n\
                spec: {podSelector: {}, mode: Enforce, scope: all, default: Deny}\n";
    let file: Arc<str> = "EgressPolicy/shop/web".into();
    let good = Good::parse(&file, text.into());
    let (accepted, _) = refresh(&Accepted::default(), vec![(file.clone(), good)]);
    let listed = |name: &str, generation| Listed {
        id: PolicyId::of_namespace("shop", name),
        file: format!("EgressPolicy/shop/{name}").into(),
        uid: format!("uid-{name}"),
        generation,
    };
    let theirs = |name: &str| Listed {
        id: PolicyId::of(PolicyKind::NetworkPolicy, "shop", name),
        file: format!("NetworkPolicy/shop/{name}").into(),
        ..listed(name, 2)
    };
    let problem = |file: &str| PolicyProblem {
        file: file.to_owned(),
        line: 3,
        column: 1,
        path: Some("spec.mode".into()),
        reason: "no such mode".into(),
        fix: Some("write another".into()),
    };
    let workloads: BTreeMap<_, _> = [
        shown("a", &["shop/web"], None, false),
        shown("b", &["shop/web"], Some("of the node"), false),
        shown("c", &["shop/web", "all"], None, true),
    ]
    .into();
    let mut view = View {
        workloads,
        accepted,
        problems: ["EgressPolicy/shop/web", "EgressPolicy/shop/new", "NetworkPolicy/shop/odd"]
            .map(problem)
            .into(),
        listed: Some(
            [listed("idle", 1), listed("new", 1), listed("web", 4), theirs("plain"), theirs("odd")].into(),
        ),
        ..View::default()
    };
    assert_eq!(snapshot(&view, |_| 0), None, "not ready");
    view.ready = true;
    let told = snapshot(&view, |policy| if policy == "shop/web" { 7 } else { 0 }).expect("it is ready");
    assert_eq!((told.workloads, told.not_covered.len()), (3, 1));
    let [idle, new, web] = &told.policies[..] else { panic!("{told:?}") };
    assert_eq!((idle.workloads, idle.refusal.as_ref()), (0, None));
    let refusal = new.refusal.as_ref().expect("it is refused");
    assert_eq!((refusal.reason.as_str(), refusal.has_last_good), ("no such mode; write another", false));
    assert_eq!((web.generation, web.workloads, web.in_force, web.denied), (4, 3, 1, 7));
    assert_eq!(web.not_in_force.as_deref(), Some("shop/b: of the node"));
    assert!(web.refusal.as_ref().is_some_and(|refusal| refusal.has_last_good));
    let [odd] = &told.refused_upstream[..] else { panic!("{told:?}") };
    assert_eq!((odd.id.to_string().as_str(), odd.uid.as_str()), ("NetworkPolicy shop/odd", "uid-odd"));
    assert_eq!((odd.generation, odd.refusal.has_last_good), (2, false));
    view.listed = None;
    assert_eq!(snapshot(&view, |_| 0), None, "what there is was not told");
}
