use super::*;

fn key(name: &str) -> Key {
    ("shop".to_owned(), name.to_owned())
}

fn listed(texts: &[IpAddr]) -> Vec<String> {
    texts.iter().map(IpAddr::to_string).collect()
}

#[test]
fn what_counts_of_a_service_and_of_what_is_behind_it_is_read_whatever_else_they_say() {
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

    let read = |text: &str| endpoints(serde_json::from_str(text).expect("endpoints"));
    let two = read(
        r#"{"metadata": {"annotations": {"endpoints.kubernetes.io/over-capacity": "truncated"}}, "subsets": [
            {"addresses": [{"ip": "10.0.0.2"}, {"ip": "10.0.0.1"}], "notReadyAddresses": [{"ip": "10.0.0.3"}],
             "ports": [{"name": "sql", "port": 15432}]},
            {"notReadyAddresses": [{"ip": "10.0.0.4"}], "ports": [{"port": 1}]}]}"#,
    );
    assert!(two.has_more);
    let told: Vec<_> = two.groups.iter().map(|(ready, ports)| (listed(ready), ports.len())).collect();
    assert_eq!(told, [(vec!["10.0.0.1".to_owned(), "10.0.0.2".to_owned()], 1), (vec![], 1)]);
    assert_eq!(read("{}"), Endpoints::default());
}

#[test]
fn a_pod_of_the_node_and_one_that_ended_have_no_addresses_of_their_own() {
    let read = |rest: &str| {
        let text = format!(
            r#"{{"metadata": {{"labels": {{"app": "db"}}}}, "spec": {{"containers": []{rest}}}, "status": {{"podIP": "10.0.0.1"}}}}"#
        );
        pod(serde_json::from_str(&text).expect("a pod"))
    };
    assert_eq!(listed(&read("").addresses), ["10.0.0.1"]);
    assert_eq!(read("").labels.get("app").map(String::as_str), Some("db"));
    assert_eq!(read(r#", "hostNetwork": true"#).addresses.len(), 0);
    let ended = r#"{"metadata": {}, "status": {"phase": "Failed", "podIP": "10.0.0.1"}}"#;
    assert_eq!(pod(serde_json::from_str(ended).expect("a pod")).addresses.len(), 0);
}

#[test]
fn nothing_of_it_is_known_until_all_is_told_and_nothing_stays_that_nobody_wants() {
    let (mut around, namespaces) = (Around::default(), BTreeMap::new());
    let service = || Service::default();
    let knows = |around: &Around| {
        let known = around.neighbours(&namespaces);
        (known.services.map(BTreeMap::len), known.pods.map(BTreeMap::len))
    };
    assert!(around.is_complete(), "nothing is followed");
    let round = around.begin(Part::Services);
    assert!(!around.is_complete());
    assert!(!around.take(round, Heard::Service(Told::Listed(key("db"), service()))));
    assert!(!around.take(round, Heard::Service(Told::Whole)), "what is behind it is not known");
    assert_eq!(knows(&around), (None, None));
    assert!(around.take(round, Heard::Endpoints(Told::Whole)));
    assert!(around.is_complete());
    assert_eq!(knows(&around), (Some(1), None));
    // Said again, it is no news.
    assert!(!around.take(round, Heard::Service(Told::Changed(key("db"), service()))));
    assert!(around.take(round, Heard::Service(Told::Gone(key("db")))));

    around.end(Part::Services);
    assert_eq!(knows(&around), (None, None));
    let again = around.begin(Part::Services);
    for late in [Heard::Service(Told::Whole), Heard::Endpoints(Told::Whole)] {
        assert!(!around.take(round, late), "of the round before");
    }
    assert_eq!(knows(&around), (None, None));
    let pods = around.begin(Part::Pods);
    assert!(around.take(pods, Heard::Pod(Told::Whole)));
    assert_eq!(knows(&around), (None, Some(0)));
    assert!(again != pods && !around.is_complete());
}
