use std::path::Path;

use serde_json::{Value, json};

use super::*;

fn key(namespace: &str, name: &str) -> Key {
    (namespace.to_owned(), name.to_owned())
}

fn pod(uid: &str) -> Pod {
    Pod {
        uid: uid.to_owned(),
        labels: Labels::from([("app".to_owned(), "web".to_owned())]),
        service_account: None,
        is_of_node: false,
        has_ended: false,
        addresses: Vec::new(),
    }
}

fn start(name: &str, uid: &str, netns: &Path) -> Start {
    Start {
        namespace: "shop".into(),
        name: name.into(),
        uid: uid.into(),
        netns: netns.to_owned(),
        addresses: vec![[10, 0, 0, 9].into()],
    }
}

fn written(generation: i64, spec: Value) -> Written {
    Written { version: ("u".to_owned(), generation), spec }
}

fn tell_all(view: &View) -> Vec<Option<News>> {
    let words = [
        Word::Pod(Told::Whole),
        Word::Namespace(Told::Whole),
        Word::Policy(PolicyKind::EgressPolicy, Told::Whole),
        Word::Policy(PolicyKind::ClusterEgressPolicy, Told::Whole),
        Word::Resolvers(Resolvers::Services, Told::Whole),
        Word::Resolvers(Resolvers::Endpoints, Told::Whole),
    ];
    words.into_iter().map(|word| view.take(word)).collect()
}

#[test]
fn nothing_is_known_until_all_of_it_is() {
    let view = View::default();
    view.take(Word::Pod(Told::Listed(key("shop", "web-1"), pod("u1"))));
    assert!(view.workloads(&[]).is_none() && view.policies().is_none());
    let news = tell_all(&view);
    assert_eq!(news[..5], [None; 5]);
    assert_eq!(news[5], Some(News::Everything), "policies too, whatever came last");
    assert_eq!(view.workloads(&[]).map(|file| file.workloads.len()), Some(1));
    assert_eq!(view.policies().map(|policies| policies.len()), Some(0));
}

#[test]
fn pods_become_workloads_and_those_that_ended_do_not() {
    let view = View::default();
    for (name, pod) in [
        ("a", pod("u1")),
        ("b", Pod { has_ended: true, ..pod("u2") }),
        ("c", Pod { is_of_node: true, addresses: vec![[10, 0, 0, 1].into()], ..pod("u3") }),
    ] {
        view.take(Word::Pod(Told::Listed(key("shop", name), pod)));
    }
    let labels = Labels::from([("tier".to_owned(), "prod".to_owned())]);
    view.take(Word::Namespace(Told::Listed(key("", "shop"), labels)));
    let address = |last| IpAddr::from([10, 96, 0, last]);
    let resolvers = [(Resolvers::Services, 10), (Resolvers::Endpoints, 11)];
    for (kind, last) in resolvers {
        view.take(Word::Resolvers(kind, Told::Listed(key("kube-system", "kube-dns"), vec![address(last)])));
    }
    tell_all(&view);
    let file = view.workloads(&[address(9), address(10)]).expect("all is told");
    let told: Vec<_> =
        file.workloads.iter().map(|workload| (workload.id.to_string(), &workload.place)).collect();
    assert_eq!(
        told,
        [
            ("shop/a".to_owned(), &Place::Nowhere(NOT_YET.to_owned())),
            ("shop/c".to_owned(), &Place::Cgroup("u3".to_owned())),
        ]
    );
    assert_eq!(file.workloads[0].resolvers, Some(vec![address(9), address(10), address(11)]));
    assert_eq!(file.namespaces[0].labels.get("tier").map(String::as_str), Some("prod"));
}

#[test]
fn a_pod_stays_a_workload_for_as_long_as_its_namespace_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let view = View::default();
    let of = |name: &str, uid: &str| {
        let path = folder.path().join(uid);
        std::fs::write(&path, "").expect("written");
        view.start(&start(name, uid, &path));
        view.take(Word::Pod(Told::Changed(key("shop", name), pod(uid))));
        path
    };
    tell_all(&view);
    let own = NetNs::own().expect("known");
    let names = || -> Vec<String> {
        let workloads = view.workloads(&[]).expect("told").workloads;
        let mut names: Vec<_> = workloads.into_iter().map(|workload| workload.id.name).collect();
        names.sort();
        names
    };
    let (deleted, evicted) = (of("deleted", "u1"), of("evicted", "u2"));
    let unlisted = of("unlisted", "u3");
    view.take(Word::Pod(Told::Gone(key("shop", "deleted"))));
    view.take(Word::Pod(Told::Begun));
    view.take(Word::Pod(Told::Listed(key("shop", "evicted"), Pod { has_ended: true, ..pod("u2") })));
    view.take(Word::Pod(Told::Whole));
    assert_eq!(names(), ["deleted", "evicted", "unlisted"]);
    for (path, left) in
        [(deleted, vec!["evicted", "unlisted"]), (unlisted, vec!["evicted"]), (evicted, vec![])]
    {
        std::fs::remove_file(path).expect("removed");
        assert!(view.look(&own, true), "that it is gone is news");
        assert_eq!(names(), left);
    }
}

#[test]
fn the_plugin_tells_where_a_pod_is_and_its_addresses_until_its_status_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cni-1");
    let view = View::default();
    tell_all(&view);
    let told = || view.workloads(&[]).expect("told").workloads;
    view.start(&start("web", "u1", &path));
    view.take(Word::Pod(Told::Changed(key("shop", "web"), pod("u1"))));
    assert_eq!(told()[0].place, Place::Nowhere(NOT_YET.to_owned()), "nothing is there");
    std::fs::write(&path, "").expect("written");
    // What the plugin says of a pod counts for this pod alone, not for one of the same name.
    view.start(&start("web", "u2", &path));
    assert_eq!(told()[0].place, Place::Nowhere(NOT_YET.to_owned()));
    view.start(&start("web", "u1", &path));
    assert_eq!(told()[0].place, Place::Netns(path.display().to_string()));
    assert_eq!(told()[0].addresses, [IpAddr::from([10, 0, 0, 9])]);
    assert_eq!(view.unheld(&told()[0].id), None, "it was held");
    let with_status = Pod { addresses: vec![[10, 0, 0, 5].into()], ..pod("u1") };
    view.take(Word::Pod(Told::Changed(key("shop", "web"), with_status)));
    assert_eq!(told()[0].addresses, [IpAddr::from([10, 0, 0, 5])]);
}

#[test]
fn the_agent_is_taken_out_of_the_cluster_once_its_daemon_set_was_there_and_goes() {
    let view = View::default();
    let own = || key("egret", "egret");
    for (told, expected, why) in [
        (Told::Begun, false, "nothing is known"),
        (Told::Whole, false, "it was never there: the name may be wrong"),
        (Told::Changed(own(), false), false, "it is there"),
        (Told::Begun, false, "it is told anew"),
        (Told::Listed(own(), false), false, "it is told anew"),
        (Told::Whole, false, "it is there"),
        (Told::Changed(own(), true), true, "it is being deleted"),
        (Told::Changed(own(), false), false, "another one took its place"),
        (Told::Gone(own()), true, "it is gone"),
    ] {
        view.take(Word::DaemonSet(told));
        assert_eq!(view.is_uninstalled(), expected, "{why}");
    }
}

#[test]
fn a_policy_is_read_as_its_file_would_be() {
    let view = View::default();
    tell_all(&view);
    let good = json!({"podSelector": {}, "mode": "Enforce", "scope": "all", "allow": [{"to": [{"fqdn": "example.com"}]}]});
    let news = view
        .take(Word::Policy(PolicyKind::EgressPolicy, Told::Changed(key("shop", "web"), written(1, good))));
    assert_eq!(news, Some(News::Policies));
    let bad =
        json!({"podSelector": {}, "mode": "Enforce", "scope": "all", "allow": [{"to": [{"fqdn": "a..b"}]}]});
    view.take(Word::Policy(PolicyKind::ClusterEgressPolicy, Told::Changed(key("", "all"), written(1, bad))));
    let policies = view.policies().expect("all is told");
    let (file, problems) = (&policies[0].0, policies[0].1.as_ref().expect_err("it is bad"));
    assert_eq!(&**file, "ClusterEgressPolicy/all");
    let problem = problems.iter().find(|problem| problem.reason.contains("a..b")).expect("it is told");
    assert_eq!(problem.place(), "ClusterEgressPolicy/all: spec.allow[0].to[0].fqdn");
    let (file, good) = (&policies[1].0, policies[1].1.as_ref().expect("it is good"));
    assert_eq!((&**file, good.policies[0].id.to_string().as_str()), ("EgressPolicy/shop/web", "shop/web"));
}

#[test]
fn a_policy_whose_status_changed_is_no_news_and_its_generation_is_known() {
    let view = View::default();
    tell_all(&view);
    let spec = || json!({"podSelector": {}, "mode": "Enforce", "scope": "all", "default": "Deny"});
    let told = |generation| {
        let told = Told::Changed(key("shop", "web"), written(generation, spec()));
        view.take(Word::Policy(PolicyKind::EgressPolicy, told))
    };
    assert_eq!(told(1), Some(News::Policies));
    assert_eq!(told(1), None, "only its status can be another");
    assert_eq!(told(2), Some(News::Policies));
    let listed = view.listed().expect("all is told");
    assert_eq!((listed[0].id.to_string().as_str(), listed[0].generation), ("shop/web", 2));
    assert_eq!(&*listed[0].file, "EgressPolicy/shop/web");
}

#[test]
fn what_policies_name_in_the_cluster_is_looked_up_once_all_of_it_is_told() {
    let view = View::default();
    tell_all(&view);
    let spec = json!({
        "podSelector": {}, "mode": "Enforce", "scope": "all",
        "allow": [{"to": [{"service": {"name": "db"}}, {"pods": {"podSelector": {}}}]}],
    });
    view.take(Word::Policy(PolicyKind::EgressPolicy, Told::Changed(key("shop", "web"), written(1, spec))));
    let outcomes = view.policies().expect("all is told");
    let (mut accepted, _) = crate::policy::refresh(&Accepted::default(), outcomes);
    let (services, pods) = (view.begin(Part::Services), view.begin(Part::Pods));
    let hear = |round, heard| view.take(Word::Around(round, heard));
    let address = crate::policy::PodAddresses {
        labels: Labels::new(),
        addresses: vec![[10, 0, 0, 1].into()],
        ports: Vec::new(),
    };
    hear(pods, Heard::Pod(Told::Listed(key("shop", "db-0"), address)));
    assert_eq!(hear(services, Heard::Service(Told::Whole)), None);
    assert_eq!(hear(services, Heard::Behind(Told::Whole)), Some(News::Destinations));
    assert!(view.look_up(&mut accepted).is_empty(), "pods are not known");
    assert_eq!(hear(pods, Heard::Pod(Told::Whole)), Some(News::Destinations));
    let moved: Vec<_> = view.look_up(&mut accepted).iter().map(PolicyId::to_string).collect();
    assert_eq!(moved, ["shop/web"]);
    let found = accepted.policies().flat_map(crate::model::Policy::rules).find_map(|rule| rule.found.clone());
    let found = found.expect("it was looked up");
    assert_eq!((found.spots.len(), found.notes), (1, vec!["service shop/db is not there".to_owned()]));
    assert_eq!(hear(pods, Heard::Pod(Told::Gone(key("shop", "db-0")))), Some(News::Destinations));
    view.end(Part::Pods);
    assert_eq!(hear(pods, Heard::Pod(Told::Whole)), None, "nobody wants to know");
}
