use hickory_proto::op::Message;

use super::*;

/// The wire form of a name.
fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> =
        labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    bytes.push(0);
    bytes
}

fn service(priority: u8, target: &str, params: &[(u8, &[u8])]) -> Vec<u8> {
    let mut data = [&[0, priority][..], &name(target)].concat();
    for (key, value) in params {
        data.extend([0, *key, 0, value.len() as u8]);
        data.extend(*value);
    }
    data
}

/// An answer to `www.example.com HTTPS` with these records: owner, type, TTL, data.
fn answer(records: &[(&str, u16, u8, Vec<u8>)]) -> Answer {
    let mut message = vec![0, 7, 0x81, 0, 0, 1, 0, records.len() as u8, 0, 0, 0, 0];
    message.extend(name("www.example.com"));
    message.extend([0, 65, 0, 1]);
    for (owner, kind, ttl, data) in records {
        message.extend(name(owner));
        message.extend(kind.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, *ttl]);
        message.extend((data.len() as u16).to_be_bytes());
        message.extend(data);
    }
    assert!(Message::from_vec(&message).is_ok() || records.iter().any(|(_, kind, ..)| *kind >= 64));
    parse(&message).expect("readable")
}

const HTTPS: u16 = 65;
const SVCB: u16 = 64;
const A: u16 = 1;
const V4: (u8, &[u8]) = (4, &[192, 0, 2, 1]);
const TWO_V4: (u8, &[u8]) = (4, &[192, 0, 2, 1, 192, 0, 2, 2]);
const V6: (u8, &[u8]) = (6, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
const MAPPED: (u8, &[u8]) = (6, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 9]);
const ALPN: (u8, &[u8]) = (1, b"\x02h2");
const OWN: &str = "www.example.com";

#[test]
fn address_hints_of_https_and_svcb_records_are_addresses_of_the_name_asked_for() {
    type Records<'a> = &'a [(&'a str, u16, u8, Vec<u8>)];
    let plain = |params: &[(u8, &[u8])]| service(1, "", params);
    let cases: [(&str, Records<'_>, &[&str]); 11] = [
        (
            "hints of the owner",
            &[(OWN, HTTPS, 60, plain(&[ALPN, TWO_V4, V6]))],
            &["192.0.2.1 60", "192.0.2.2 60", "2001:db8::1 60"],
        ),
        ("SVCB too", &[(OWN, SVCB, 60, plain(&[V4]))], &["192.0.2.1 60"]),
        ("as the workload's packets will go", &[(OWN, HTTPS, 60, plain(&[MAPPED]))], &["192.0.2.9 60"]),
        ("hints of a target", &[(OWN, HTTPS, 60, service(1, "pool.example.net", &[V4]))], &["192.0.2.1 60"]),
        (
            "addresses of a target, by the lowest TTL on the way",
            &[
                (OWN, HTTPS, 20, service(1, "pool.example.net", &[])),
                ("pool.example.net", A, 60, vec![192, 0, 2, 7]),
            ],
            &["192.0.2.7 20"],
        ),
        (
            "an alias is followed, and has no hints",
            &[
                (OWN, HTTPS, 60, service(0, "svc.example.net", &[V4])),
                ("svc.example.net", HTTPS, 30, plain(&[V6])),
            ],
            &["2001:db8::1 30"],
        ),
        ("an alias to nowhere", &[(OWN, HTTPS, 60, service(0, "", &[]))], &[]),
        ("an owner that nothing leads to", &[("other.example.net", HTTPS, 60, plain(&[V4]))], &[]),
        (
            "one malformed record spoils its set and no other",
            &[
                (OWN, HTTPS, 60, plain(&[V4])),
                (OWN, HTTPS, 60, plain(&[(4, &[1, 2, 3])])),
                (OWN, SVCB, 60, plain(&[V6])),
            ],
            &["2001:db8::1 60"],
        ),
        (
            "a loop of aliases",
            &[(OWN, HTTPS, 60, service(0, OWN, &[])), (OWN, A, 9, vec![192, 0, 2, 3])],
            &["192.0.2.3 9"],
        ),
        (
            "several services",
            &[(OWN, HTTPS, 60, plain(&[V4])), (OWN, HTTPS, 60, service(2, "b.example.net", &[V6]))],
            &["192.0.2.1 60", "2001:db8::1 60"],
        ),
    ];
    for (what, records, expected) in cases {
        let addresses = answer(records).addresses;
        let told: Vec<_> = addresses.iter().map(|(address, ttl)| format!("{address} {ttl}")).collect();
        assert_eq!(told, expected, "{what}");
    }
}

#[test]
fn malformed_service_parameters_teach_nothing() {
    for (what, data) in [
        ("no name", vec![0, 1]),
        ("a name without an end", vec![0, 1, 3, b'a']),
        ("a compressed name", vec![0, 1, 0xc0, 12]),
        ("half a parameter", [service(1, "", &[V4]), vec![0, 6, 0]].concat()),
        ("a value that is longer than the rest", [service(1, "", &[V4]), vec![0, 6, 0, 16, 1]].concat()),
        ("a parameter twice", service(1, "", &[V4, V4])),
        ("parameters out of order", service(1, "", &[V6, V4])),
        ("no address", service(1, "", &[(4, b"")])),
        ("half an address", service(1, "", &[(6, &[0; 15])])),
        ("nothing", vec![]),
    ] {
        assert_eq!(answer(&[(OWN, HTTPS, 60, data)]).addresses, [], "{what}");
    }
}

proptest::proptest! {
    #[test]
    fn no_service_data_make_the_parser_panic(data in proptest::collection::vec(0..20u8, 0..60)) {
        let _ = answer(&[(OWN, HTTPS, 60, data)]);
    }
}
