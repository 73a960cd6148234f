use super::*;
use crate::model::{Policy, Rule};
use crate::policy::{Good, refresh};

fn key(name: &str) -> Key {
    ("shop".to_owned(), name.to_owned())
}

fn listed(texts: &[IpAddr]) -> Vec<String> {
    texts.iter().map(IpAddr::to_string).collect()
}

#[test]
fn what_counts_of_a_service_is_read_whatever_else_it_says() {
    let read = |text: &str| service(serde_json::from_str(text).expect("a service"));
    let full = read(
        r#"{"spec": {"clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5", "fd00::5"], "ports": [
            {"name": "sql", "port": 5432, "targetPort": "sql"}, {"name": "dns", "protocol": "UDP", "port": 53},
            {"name": "odd", "protocol": "QUIC", "port": 1}, {"name": "none", "port": 70000}]}}"#,
    );
    assert_eq!(listed(&full.addresses), ["10.96.0.5", "fd00::5"]);
    let port = |name: &str, protocol, port| ServicePort { name: name.to_owned(), protocol, port };
    assert_eq!(full.ports, [port("sql", Protocol::TCP, 5432), port("dns", Protocol::UDP, 53)]);
    // One of Kubernetes before 1.20 has one address.
    assert_eq!(listed(&read(r#"{"spec": {"clusterIP": "10.96.0.5"}}"#).addresses), ["10.96.0.5"]);
    let headless =
        read(r#"{"spec": {"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 80}]}}"#);
    assert_eq!((headless.addresses.len(), &*headless.ports), (0, &[port("", Protocol::TCP, 80)][..]));
    let outside = read(r#"{"spec": {"type": "ExternalName", "externalName": "db.example.com"}}"#);
    assert_eq!(outside.external.as_deref(), Some("db.example.com"));
    assert_eq!(read(r#"{"spec": {"externalName": "db.example.com"}}"#).external, None);
    assert_eq!(read("{}"), Service::default());
}

#[test]
fn a_pod_of_the_node_and_one_that_ended_have_no_addresses_of_their_own() {
    let read = |rest: &str| {
        let text = format!(
            r#"{{"metadata": {{"labels": {{"app": "db"}}}}, "spec": {{"containers": []{rest}}}, "status": {{"podIP": "10.0.0.1"}}}}"#
        );
        pod(serde_json::from_str(&text).expect("a pod"), true)
    };
    assert_eq!(listed(&read("").addresses), ["10.0.0.1"]);
    assert_eq!(read("").labels.get("app").map(String::as_str), Some("db"));
    assert_eq!(read(r#", "hostNetwork": true"#).addresses.len(), 0);
    let ended = r#"{"metadata": {}, "status": {"phase": "Failed", "podIP": "10.0.0.1"}}"#;
    assert_eq!(pod(serde_json::from_str(ended).expect("a pod"), true).addresses.len(), 0);
}

#[test]
fn of_a_node_its_labels_count_and_its_addresses() {
    let read = |text: &str| node(serde_json::from_str(text).expect("a node"));
    let full = read(
        r#"{"metadata": {"labels": {"role": "edge"}}, "status": {"addresses": [{"type": "InternalIP", "address": "10.9.9.1"},
            {"type": "Hostname", "address": "one"}, {"type": "ExternalIP", "address": "2001:db8::1"}]}}"#,
    );
    assert_eq!(listed(&full.addresses), ["10.9.9.1", "2001:db8::1"]);
    assert_eq!(full.labels.get("role").map(String::as_str), Some("edge"));
    assert_eq!(read(r#"{"metadata": {}}"#), NodeAddresses::default());
}

/// A policy of namespace shop whose rules lead to `to`.
fn accepted(to: &[&str]) -> Accepted {
    let rules: Vec<_> = to.iter().map(|to| format!("{{to: [{{{to}}}]}}")).collect();
    let text = format!(
        "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {{name: web, namespace: shop}}\nspec: {{podSelector: {{}}, \
         mode: Enforce, scope: all, allow: [{}]}}\n",
        rules.join(", ")
    );
    let file = "web.yaml".into();
    let read = Good::parse(&file, text.into());
    refresh(&Accepted::default(), vec![(file, read)]).0
}

/// How many addresses each rule leads to; `None`: it is not known.
fn reached(accepted: &Accepted) -> Vec<Option<usize>> {
    let count = |rule: &Rule| {
        let found = rule.found.as_ref()?;
        Some(found.spots.iter().map(|spot| spot.addresses.len()).sum())
    };
    accepted.policies().flat_map(Policy::rules).map(count).collect()
}

#[test]
fn nothing_of_it_is_known_until_all_is_told_and_nothing_stays_that_nobody_wants() {
    let (mut around, none) = (Around::default(), BTreeMap::new());
    let mut policies = accepted(&["service: {name: db}", "pods: {podSelector: {}}"]);
    let mut knows = |around: &mut Around| {
        around.look_up(&mut policies, &none);
        reached(&policies)
    };
    let db = || Service { addresses: vec![[10, 96, 0, 1].into()], ports: vec![], external: None };
    assert!(around.is_complete(), "nothing is followed");
    let round = around.begin(Part::Services);
    assert!(!around.is_complete());
    assert!(!around.take(round, Heard::Service(Told::Listed(key("db"), db())), &none));
    assert!(!around.take(round, Heard::Service(Told::Whole), &none), "what is behind it is not known");
    assert_eq!(knows(&mut around), [None, None]);
    assert!(around.take(round, Heard::Behind(Told::Whole), &none));
    assert!(around.is_complete());
    assert_eq!(knows(&mut around), [Some(0), None]);
    // Said again, it is no news.
    assert!(!around.take(round, Heard::Service(Told::Changed(key("db"), db())), &none));
    assert!(around.take(round, Heard::Service(Told::Gone(key("db"))), &none));

    around.end(Part::Services);
    assert_eq!(knows(&mut around), [None, None]);
    let again = around.begin(Part::Services);
    for late in [Heard::Service(Told::Whole), Heard::Behind(Told::Whole)] {
        assert!(!around.take(round, late, &none), "of the round before");
    }
    assert_eq!(knows(&mut around), [None, None]);
    let pods = around.begin(Part::Pods);
    assert!(around.take(pods, Heard::Pod(Told::Whole), &none));
    assert_eq!(knows(&mut around), [None, Some(0)]);
    assert!(again != pods && !around.is_complete());
}

#[test]
fn what_was_selected_is_looked_for_again_once_a_pod_or_a_namespace_changes_that_it_is_about() {
    let (mut around, mut namespaces) = (Around::default(), BTreeMap::new());
    let mut policies = accepted(&[
        "pods: {podSelector: {matchLabels: {app: db}}}",
        "pods: {podSelector: {matchLabels: {app: web}}}",
        "pods: {namespaceSelector: {matchLabels: {tier: back}}}",
    ]);
    let round = around.begin(Part::Pods);
    let pod = |app: &str, last: u8| PodAddresses {
        labels: Labels::from([("app".to_owned(), app.to_owned())]),
        addresses: vec![[10, 0, 0, last].into()],
        ports: Vec::new(),
    };
    let other = || ("data".to_owned(), "db".to_owned());
    let tier = |tier: &str| {
        (("".to_owned(), "data".to_owned()), Labels::from([("tier".to_owned(), tier.to_owned())]))
    };
    namespaces.extend([tier("back")]);
    around.take(round, Heard::Pod(Told::Whole), &namespaces);
    let mut after = |around: &mut Around, told, namespaces: &BTreeMap<Key, Labels>| {
        around.take(round, Heard::Pod(told), namespaces);
        let moved = around.look_up(&mut policies, namespaces).len();
        (moved, reached(&policies).into_iter().flatten().collect::<Vec<_>>())
    };
    for (told, expected) in [
        (Told::Changed(key("a"), pod("db", 1)), (1, vec![1, 0, 0])),
        (Told::Changed(key("b"), pod("db", 2)), (1, vec![2, 0, 0])),
        (Told::Changed(key("a"), pod("web", 1)), (1, vec![1, 1, 0])),
        (Told::Changed(key("a"), pod("none", 1)), (1, vec![1, 0, 0])),
        (Told::Changed(other(), pod("db", 3)), (1, vec![1, 0, 1])),
        (Told::Changed(key("c"), pod("other", 4)), (0, vec![1, 0, 1])),
        (Told::Gone(key("b")), (1, vec![0, 0, 1])),
        (Told::Begun, (0, vec![0, 0, 1])),
        (Told::Listed(key("a"), pod("web", 1)), (0, vec![0, 0, 1])),
        (Told::Whole, (1, vec![0, 1, 0])),
        (Told::Changed(other(), pod("db", 3)), (1, vec![0, 1, 1])),
    ] {
        let said = format!("{told:?}");
        assert_eq!(after(&mut around, told, &namespaces), expected, "{said}");
    }
    namespaces.extend([tier("front")]);
    around.namespaces_changed();
    assert_eq!(after(&mut around, Told::Gone(key("none")), &namespaces), (1, vec![0, 1, 0]));
}
