use super::*;
use crate::model::Protocol;

fn key(name: &str) -> Key {
    ("shop".to_owned(), name.to_owned())
}

fn slice(text: &str) -> Piece {
    of_slice(serde_json::from_str(text).expect("a slice"))
}

/// A slice of `service` with one address.
fn one(service: &str, address: &str) -> Piece {
    slice(&format!(
        r#"{{"metadata": {{"labels": {{"kubernetes.io/service-name": "{service}"}}}}, "addressType": "IPv4",
            "endpoints": [{{"addresses": ["{address}"]}}], "ports": [{{"name": "sql", "port": 15432}}]}}"#
    ))
}

fn listed(piece: &Piece) -> Vec<(Vec<String>, usize)> {
    let group =
        |(found, ports): &(Vec<IpAddr>, Vec<_>)| (found.iter().map(IpAddr::to_string).collect(), ports.len());
    piece.endpoints.groups.iter().map(group).collect()
}

#[test]
fn of_a_slice_counts_who_serves_whatever_else_it_says() {
    let full = slice(
        r#"{"metadata": {"labels": {"kubernetes.io/service-name": "db"}}, "addressType": "IPv4", "endpoints": [
            {"addresses": ["10.0.0.2", "no address"], "conditions": {"ready": true}}, {"addresses": ["10.0.0.1"]},
            {"addresses": ["10.0.0.3"], "conditions": {"ready": false}},
            {"addresses": ["10.0.0.4"], "conditions": {"ready": false, "serving": true, "terminating": true}},
            {"addresses": ["10.0.0.5"], "conditions": {"ready": false, "serving": false, "terminating": true}}],
            "ports": [{"name": "sql", "protocol": "TCP", "port": 15432}, {"name": "all"}, {"name": "odd", "protocol": "QUIC", "port": 1}]}"#,
    );
    assert_eq!(full.service, "db");
    let serving = ["10.0.0.1", "10.0.0.2", "10.0.0.4"].map(str::to_owned).to_vec();
    assert_eq!(listed(&full), [(serving, 1)]);
    let names =
        slice(r#"{"metadata": {}, "addressType": "FQDN", "endpoints": [{"addresses": ["db.example.com"]}]}"#);
    assert_eq!((names.service.as_str(), listed(&names)), ("", vec![(vec![], 0)]));
}

#[test]
fn of_endpoints_counts_who_is_ready() {
    let read = |text: &str| of_endpoints(serde_json::from_str(text).expect("endpoints"));
    let two = read(
        r#"{"metadata": {"name": "db", "annotations": {"endpoints.kubernetes.io/over-capacity": "truncated"}}, "subsets": [
            {"addresses": [{"ip": "10.0.0.2"}, {"ip": "10.0.0.1"}], "notReadyAddresses": [{"ip": "10.0.0.3"}],
             "ports": [{"name": "sql", "port": 15432}]},
            {"notReadyAddresses": [{"ip": "10.0.0.4"}], "ports": [{"port": 1}]}]}"#,
    );
    assert!(two.endpoints.has_more);
    assert_eq!(two.service, "db");
    assert_eq!(listed(&two), [(vec!["10.0.0.1".to_owned(), "10.0.0.2".to_owned()], 1), (vec![], 1)]);
    assert_eq!(read("{}"), Piece::default());
    assert_eq!(answers_at(two).len(), 2);
}

#[test]
fn what_is_behind_a_service_is_what_all_of_its_slices_say_now() {
    let mut behind = Behind::default();
    let told = |behind: &Behind, service: &str| -> Vec<String> {
        let found = behind.all().get(&key(service));
        let groups = found.into_iter().flat_map(|endpoints| &endpoints.groups);
        groups.flat_map(|(addresses, _)| addresses.iter().map(IpAddr::to_string)).collect()
    };
    for (word, is_news, expected) in [
        (Told::Begun, false, [&[][..], &[]]),
        (Told::Listed(key("db-a"), one("db", "10.0.0.1")), false, [&[], &[]]),
        (Told::Whole, true, [&["10.0.0.1"], &[]]),
        (Told::Changed(key("db-b"), one("db", "10.0.0.2")), true, [&["10.0.0.1", "10.0.0.2"], &[]]),
        // Of another namespace, and of no service.
        (
            Told::Changed(("other".into(), "db-c".into()), one("db", "10.0.0.3")),
            true,
            [&["10.0.0.1", "10.0.0.2"], &[]],
        ),
        (Told::Changed(key("loose"), one("", "10.0.0.4")), true, [&["10.0.0.1", "10.0.0.2"], &[]]),
        (Told::Changed(key("db-a"), one("db", "10.0.0.5")), true, [&["10.0.0.5", "10.0.0.2"], &[]]),
        (Told::Changed(key("db-a"), one("db", "10.0.0.5")), false, [&["10.0.0.5", "10.0.0.2"], &[]]),
        // Somebody gives it to another service.
        (Told::Changed(key("db-a"), one("web", "10.0.0.5")), true, [&["10.0.0.2"], &["10.0.0.5"]]),
        (Told::Gone(key("db-b")), true, [&[], &["10.0.0.5"]]),
        (Told::Gone(key("db-b")), false, [&[], &["10.0.0.5"]]),
        (Told::Begun, false, [&[], &["10.0.0.5"]]),
        (Told::Listed(key("db-a"), one("db", "10.0.0.6")), false, [&[], &["10.0.0.5"]]),
        (Told::Whole, true, [&["10.0.0.6"], &[]]),
    ] {
        let again = format!("{word:?}");
        let taken = behind.take(word);
        assert_eq!(
            (taken, told(&behind, "db"), told(&behind, "web")),
            (
                is_news,
                expected[0].iter().map(|word| (*word).to_owned()).collect(),
                expected[1].iter().map(|word| (*word).to_owned()).collect()
            ),
            "{again}"
        );
    }
    assert_eq!(
        behind.all()[&key("db")].groups[0].1,
        [ServicePort { name: "sql".into(), protocol: Protocol::TCP, port: 15432 }]
    );
}
