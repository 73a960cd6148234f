use hickory_proto::op::Message;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, TXT};
use hickory_proto::rr::{RData, Record};
use proptest::prelude::*;

use super::*;

fn wire(name: &str) -> WireName {
    WireName::from_labels(name.split('.').filter(|label| !label.is_empty()).map(str::as_bytes)).unwrap()
}

/// `owner A 192.0.2.1 ttl`, `owner AAAA 2001:db8::1 ttl`, `owner CNAME target ttl`, `owner TXT text ttl`.
fn record(line: &str) -> Record {
    let [owner, kind, data, ttl] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let data = match kind {
        "A" => RData::A(A(data.parse().unwrap())),
        "AAAA" => RData::AAAA(AAAA(data.parse().unwrap())),
        "CNAME" => RData::CNAME(CNAME(wire(data))),
        "TXT" => RData::TXT(TXT::new(vec![data.to_owned()])),
        other => panic!("no record of kind {other} here"),
    };
    Record::from_rdata(wire(owner), ttl.parse().unwrap(), data)
}

fn message(question: &str, answers: &[&str]) -> Message {
    let mut message = Message::response(7, OpCode::Query);
    message.add_query(Query::query(wire(question), RecordType::A));
    message.add_answers(answers.iter().map(|line| record(line)));
    message
}

fn learned(answer: &Answer) -> Vec<String> {
    answer.addresses.iter().map(|(address, ttl)| format!("{address} {ttl}")).collect()
}

#[test]
fn an_address_behind_nat64_is_bound_as_it_is_seen() {
    let message = message("a.example.", &["a.example. AAAA 64:ff9b::c000:201 60"]);
    let answer = parse(&message.to_vec().unwrap()).unwrap();
    assert_eq!(learned(&answer), ["64:ff9b::c000:201 60"]);
}

#[test]
fn addresses_are_learned_for_the_question_when_the_chain_of_owners_leads_to_them() {
    for (what, question, answers, expected) in [
        ("plain", "github.com.", &["github.com. A 192.0.2.1 60"][..], &["192.0.2.1 60"][..]),
        (
            "both families",
            "github.com.",
            &["github.com. A 192.0.2.1 60", "github.com. AAAA 2001:db8::1 5"],
            &["192.0.2.1 60", "2001:db8::1 5"],
        ),
        (
            "the lowest TTL of the chain counts, wherever it stands",
            "www.example.com.",
            &[
                "www.example.com. CNAME a.cdn.net. 300",
                "a.cdn.net. CNAME b.cdn.net. 20",
                "b.cdn.net. A 192.0.2.1 60",
                "b.cdn.net. A 192.0.2.2 10",
            ],
            &["192.0.2.1 20", "192.0.2.2 10"],
        ),
        (
            "also when it stands at the first of several aliases",
            "www.example.com.",
            &[
                "www.example.com. CNAME a.cdn.net. 10",
                "a.cdn.net. CNAME b.cdn.net. 20",
                "b.cdn.net. A 192.0.2.1 60",
            ],
            &["192.0.2.1 10"],
        ),
        (
            "records in the reverse order",
            "www.example.com.",
            &[
                "b.cdn.net. A 192.0.2.1 60",
                "a.cdn.net. CNAME b.cdn.net. 20",
                "www.example.com. CNAME a.cdn.net. 300",
            ],
            &["192.0.2.1 20"],
        ),
        (
            "case does not count",
            "wWw.ExAmPlE.com.",
            &["www.example.COM. CNAME A.cdn.net. 300", "a.CDN.net. A 192.0.2.1 60"],
            &["192.0.2.1 60"],
        ),
        (
            "an owner that nothing leads to is ignored",
            "evil.example.",
            &[
                "evil.example. A 192.0.2.1 60",
                "github.com. A 192.0.2.66 60",
                "x.evil.example. A 192.0.2.67 60",
            ],
            &["192.0.2.1 60"],
        ),
        (
            "a broken chain teaches nothing",
            "www.example.com.",
            &["www.example.com. CNAME a.cdn.net. 300", "b.cdn.net. A 192.0.2.1 60"],
            &[],
        ),
        (
            "an alias is not followed backwards",
            "a.cdn.net.",
            &["www.example.com. CNAME a.cdn.net. 300", "www.example.com. A 192.0.2.1 60"],
            &[],
        ),
        (
            "a loop ends",
            "a.example.",
            &["a.example. CNAME b.example. 9", "b.example. CNAME a.example. 9", "b.example. A 192.0.2.1 60"],
            &["192.0.2.1 9"],
        ),
        ("an alias of itself", "a.example.", &["a.example. CNAME a.example. 9"], &[]),
        (
            "an alias with characters that no rule can name is still an alias",
            "a.example.",
            &["a.example. CNAME b/c.example. 9", "b/c.example. A 192.0.2.1 60"],
            &["192.0.2.1 9"],
        ),
        (
            "the same address twice counts once, with its later end",
            "a.example.",
            &["a.example. A 192.0.2.1 5", "a.example. A 192.0.2.1 60", "a.example. A 192.0.2.1 7"],
            &["192.0.2.1 60"],
        ),
        ("a TTL of zero", "a.example.", &["a.example. A 192.0.2.1 0"], &["192.0.2.1 0"]),
        ("a negative TTL", "a.example.", &["a.example. A 192.0.2.1 2147483648"], &["192.0.2.1 0"]),
        (
            "other records",
            "a.example.",
            &["a.example. TXT hello 60", "a.example. A 192.0.2.1 60"],
            &["192.0.2.1 60"],
        ),
        (
            "an IPv4 address in IPv6 clothes",
            "a.example.",
            &["a.example. AAAA ::ffff:192.0.2.1 60"],
            &["192.0.2.1 60"],
        ),
        ("underscores", "_x._tcp.a.example.", &["_x._tcp.a.example. A 192.0.2.1 60"], &["192.0.2.1 60"]),
    ] {
        let answer = parse(&message(question, answers).to_vec().unwrap()).unwrap();
        assert_eq!(learned(&answer), expected, "{what}");
        assert_eq!(answer.question, Name::parse(question).unwrap(), "{what}");
        assert_eq!((answer.id, answer.rcode, answer.truncated), (7, 0, false), "{what}");
    }
}

#[test]
fn a_negative_answer_says_its_code_and_teaches_no_address() {
    for code in [ResponseCode::ServFail, ResponseCode::NXDomain, ResponseCode::Refused] {
        let mut message = message("github.com.", &["github.com. A 192.0.2.1 60"]);
        message.metadata.response_code = code;
        let answer = parse(&message.to_vec().unwrap()).unwrap();
        assert_eq!((answer.addresses, answer.rcode), (vec![], code.low()));
    }
}

#[test]
fn what_is_no_answer_to_one_question_of_the_internet_is_refused_with_its_reason() {
    type Change = fn(&mut Message);
    let cases: [(Unlearned, Change); 8] = [
        (Unlearned::NotAResponse, |m| m.metadata.message_type = MessageType::Query),
        (Unlearned::NotAResponse, |m| m.metadata.op_code = OpCode::Notify),
        (Unlearned::NotOneQuestion, |m| m.queries.clear()),
        (Unlearned::NotOneQuestion, |m| {
            m.add_query(Query::query(wire("b.example."), RecordType::A));
        }),
        (Unlearned::OtherClass, |m| {
            m.queries[0].set_query_class(DNSClass::CH);
        }),
        (Unlearned::NotAHostName, |m| {
            m.queries[0].set_name(WireName::root());
        }),
        (Unlearned::NotAHostName, |m| {
            m.queries[0].set_name(wire("*.example."));
        }),
        // One label with a dot inside: printed without care it would be `github.com`.
        (Unlearned::NotAHostName, |m| {
            m.queries[0].set_name(WireName::from_labels([&b"github.com"[..]]).unwrap());
        }),
    ];
    for (expected, change) in cases {
        let mut message = message("a.example.", &["a.example. A 192.0.2.1 60"]);
        change(&mut message);
        assert_eq!(parse(&message.to_vec().unwrap()), Err(expected));
    }
}

#[test]
fn records_of_another_class_teach_nothing() {
    let mut message = message("a.example.", &["a.example. A 192.0.2.1 60"]);
    message.answers[0].dns_class = DNSClass::CH;
    assert_eq!(parse(&message.to_vec().unwrap()).unwrap().addresses, vec![]);
}

#[test]
fn a_truncated_answer_teaches_what_is_in_it_and_any_other_cut_answer_teaches_nothing() {
    let mut message = message("a.example.", &["a.example. A 192.0.2.1 60", "a.example. A 192.0.2.2 60"]);
    let whole = message.to_vec().unwrap();
    message.metadata.truncation = true;
    let truncated = message.to_vec().unwrap();
    for missing in 1..16 {
        let end = whole.len() - missing;
        assert_eq!(parse(&whole[..end]), Err(Unlearned::Malformed), "{missing} bytes missing");
        let answer = parse(&truncated[..end]).unwrap();
        assert_eq!((learned(&answer), answer.truncated), (vec!["192.0.2.1 60".to_owned()], true));
    }
}

#[test]
fn an_alias_that_is_longer_than_its_name_leads_nowhere_in_a_truncated_answer_either() {
    let mut message = message("a.example.", &["b.example. A 192.0.2.1 60", "a.example. CNAME b.example. 60"]);
    message.metadata.truncation = true;
    let mut odd = message.to_vec().unwrap();
    assert_eq!(learned(&parse(&odd).unwrap()), ["192.0.2.1 60"]);
    let length_at = odd.len() - 3;
    assert_eq!(odd[length_at - 1..=length_at], [0, 2], "a pointer");
    odd[length_at] = 3;
    odd.push(0);
    assert_eq!(learned(&parse(&odd).unwrap()), [] as [&str; 0]);
}

#[test]
fn a_record_of_the_wrong_length_spoils_the_message() {
    let whole = message("a.example.", &["a.example. A 192.0.2.1 60"]).to_vec().unwrap();
    let length_at = whole.len() - 5;
    for (length, data) in [(3, &[1u8, 2, 3][..]), (5, &[1, 2, 3, 4, 5]), (0, &[])] {
        let mut odd = whole[..length_at].to_vec();
        odd.push(length);
        odd.extend(data);
        assert_eq!(parse(&odd), Err(Unlearned::Malformed), "{length} bytes");
    }
}

#[test]
fn compression_pointers_that_turn_in_circles_or_point_forward_are_refused() {
    let header = [0, 7, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0];
    for name in [&[0xc0u8, 12][..], &[0xc0, 14, 0xc0, 12], &[0xc0, 200], &[1, b'a', 0xc0, 12], &[0x40, 0]] {
        let message = [&header, name, &[0, 1, 0, 1]].concat();
        assert_eq!(parse(&message), Err(Unlearned::Malformed), "{name:02x?}");
    }
}

#[test]
fn the_number_of_addresses_is_bounded() {
    let lines: Vec<String> =
        (0..900).map(|n| format!("a.example. A 10.0.{}.{} 60", n / 256, n % 256)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let answer = parse(&message("a.example.", &lines).to_vec().unwrap()).unwrap();
    assert_eq!(answer.addresses.len(), MAX_ADDRESSES);
}

#[test]
fn what_follows_the_answers_does_not_matter() {
    let mut bytes = message("a.example.", &["a.example. A 192.0.2.1 60"]).to_vec().unwrap();
    bytes[9] = 3; // three authority records are announced, and none is there
    bytes.extend([0xff; 5]);
    assert_eq!(learned(&parse(&bytes).unwrap()), ["192.0.2.1 60"]);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn no_mutated_message_teaches_an_address_that_its_records_do_not_hold(
        changes in prop::collection::vec((2..200usize, any::<u8>()), 0..4),
        cut in 0..200usize,
    ) {
        let lines = [
            "www.example.com. CNAME a.cdn.net. 300",
            "a.cdn.net. CNAME b.cdn.net. 20",
            "b.cdn.net. A 192.0.2.1 60",
            "b.cdn.net. AAAA 2001:db8::1 60",
        ];
        let mut bytes = message("www.example.com.", &lines).to_vec().unwrap();
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        bytes.truncate(bytes.len().saturating_sub(cut.saturating_sub(150)));
        if let Ok(answer) = parse(&bytes) {
            for (address, _) in answer.addresses {
                let octets = match address {
                    IpAddr::V4(address) => address.octets().to_vec(),
                    IpAddr::V6(address) => address.octets().to_vec(),
                };
                prop_assert!(bytes.windows(octets.len()).any(|window| window == octets));
            }
        }
    }

    #[test]
    fn the_order_of_records_does_not_matter(
        order in Just((0..5usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let lines = [
            "www.example.com. CNAME a.cdn.net. 300",
            "a.cdn.net. CNAME b.cdn.net. 20",
            "b.cdn.net. A 192.0.2.1 60",
            "other.example. A 192.0.2.66 60",
            "b.cdn.net. A 192.0.2.2 10",
        ];
        let lines: Vec<&str> = order.into_iter().map(|at| lines[at]).collect();
        let answer = parse(&message("www.example.com.", &lines).to_vec().unwrap()).unwrap();
        prop_assert_eq!(learned(&answer), ["192.0.2.1 20", "192.0.2.2 10"]);
    }
}

#[test]
fn an_alias_that_takes_a_domain_off_the_question_names_what_was_searched() {
    let question = "api.github.com.shop.svc.cluster.local.";
    let found = |answers: &[&str]| {
        let answer = parse(&message(question, answers).to_vec().unwrap()).unwrap();
        answer.searched.map(|searched| {
            let addresses: Vec<_> =
                searched.addresses.iter().map(|(at, ttl)| format!("{at} {ttl}")).collect();
            (searched.name.to_string(), searched.domain.to_string(), addresses)
        })
    };
    let searched = |name: &str, domain: &str, addresses: &[&str]| {
        let addresses = addresses.iter().map(ToString::to_string).collect();
        Some((name.to_owned(), domain.to_owned(), addresses))
    };
    let alias = format!("{question} CNAME API.github.com. 9");
    for (what, answers, expected) in [
        (
            "an alias",
            &[&alias, "api.github.com. A 192.0.2.1 60"][..],
            searched("api.github.com", "shop.svc.cluster.local", &["192.0.2.1 9"]),
        ),
        (
            "further aliases",
            &[&alias, "api.github.com. CNAME edge.example. 5", "edge.example. A 192.0.2.2 60"],
            searched("api.github.com", "shop.svc.cluster.local", &["192.0.2.2 5"]),
        ),
        (
            "an address of the question itself is none of the name's",
            &[&alias, &format!("{question} A 192.0.2.66 60"), "api.github.com. A 192.0.2.1 60"],
            searched("api.github.com", "shop.svc.cluster.local", &["192.0.2.1 9"]),
        ),
        ("no alias", &[&format!("{question} A 192.0.2.1 60")], None),
        (
            "an alias to another name",
            &[&format!("{question} CNAME github.com. 60"), "github.com. A 192.0.2.1 60"],
            None,
        ),
        (
            "an alias of another name",
            &["x.example. CNAME api.github.com. 60", "api.github.com. A 192.0.2.1 60"],
            None,
        ),
        ("an alias to itself", &[&format!("{question} CNAME {question} 60")], None),
    ] {
        assert_eq!(found(answers), expected, "{what}");
    }
}
