//! DNS answers: no address is bound to a name that the message does not give it.
//!
//! Input: a byte of kind, then a whole frame, or a DNS message that is put into a frame that is right. Frames are held
//! against etherparse; what is learned against hickory's reading of the whole message and a plain walk of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use egret::dns::{
    Answer, Checksum, FrameError, Limits, Names, UdpFrame, asked, complete_checksum, parse, refuse,
};
use egret_decide::testing::frame::Ends;
use hickory_proto::op::Message;
use hickory_proto::rr::rdata::{HTTPS, svcb::SvcParamValue};
use hickory_proto::rr::{DNSClass, RData};

use crate::plain;
use message::{Records, walk};

pub(crate) mod message;

/// What one message may lead to.
const MOST_ADDRESSES: usize = 512;

/// More records than an input has room for.
const MOST_RECORDS: u16 = 512;

/// Reads the frame, learns from it, and makes its checksum whole.
pub fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let mut frame = match kind % 3 {
        0 => bytes.to_vec(),
        1 => Ends::new("10.0.0.53:53", "10.0.0.7:40000").udp(bytes).to_vec(),
        _ => Ends::new("[fd00::53]:53", "[fd00::7]:40000").udp(bytes).to_vec(),
    };
    let read = check_frame(&frame);
    check_checksum(&mut frame);
    check_made_refusal(&frame);
    let Some(payload) = read else { return };
    if let Some(asked) = asked(&payload) {
        assert!(asked.name.bytes().all(|byte| byte.is_ascii_graphic()) && asked.name.len() <= 4 * 255);
    }
    match parse(&payload) {
        Ok(answer) => check_answer(&payload, &answer),
        // A name that no rule can hold, or a message that hickory does not read either, or not as an answer.
        Err(why) => check_refusal(&payload, why),
    }
}

/// The payload, where the frame is read; etherparse, which is strict, must not read another.
fn check_frame(frame: &[u8]) -> Option<Vec<u8>> {
    let read = UdpFrame::parse(frame).ok()?;
    if let (Some(theirs), Some(payload)) = (plain::by_etherparse(frame), plain::udp_payload(frame)) {
        assert_eq!((read.source.ip(), read.destination.ip()), (theirs.from, theirs.to));
        assert_eq!((read.source.port(), read.destination.port()), theirs.ports);
        assert_eq!(read.payload, payload);
    }
    Some(read.payload.to_vec())
}

/// Nothing but the checksum is changed, and after that it is right.
fn check_checksum(frame: &mut [u8]) {
    let before = frame.to_owned();
    let read = UdpFrame::parse(frame).map(|read| (read.source, read.destination, read.payload.to_vec()));
    let done = complete_checksum(frame);
    // Checksums of TCP are made whole too.
    if read != Err(FrameError::Protocol(plain::TCP)) {
        assert_eq!(done.as_ref().err(), read.as_ref().err(), "one reader for both");
    }
    let changed = before.iter().zip(frame.iter()).filter(|(old, new)| old != new).count();
    match done {
        Ok(Checksum::Completed) => {
            assert!(changed <= 2);
            assert_eq!(complete_checksum(frame), Ok(Checksum::Right));
            let again =
                UdpFrame::parse(frame).map(|read| (read.source, read.destination, read.payload.to_vec()));
            assert_eq!(again, read);
        }
        _ => assert_eq!(changed, 0),
    }
}

/// A frame that is made a refusal is a frame still, right in its sums, and no longer than it was.
fn check_made_refusal(frame: &[u8]) {
    let mut refused = frame.to_owned();
    if refuse(&mut refused).is_err() {
        assert_eq!(refused, frame);
        return;
    }
    assert!(refused.len() <= frame.len());
    assert_eq!(complete_checksum(&mut refused), Ok(Checksum::Right));
    if let Ok(datagram) = UdpFrame::parse(&refused) {
        assert!(datagram.payload.len() >= 12 && datagram.payload[3] & 0xf == 5);
        assert_eq!(datagram.payload[6..12], [0; 6]);
    }
}

fn check_answer(payload: &[u8], answer: &Answer) {
    let given: BTreeMap<IpAddr, u32> = answer.addresses.iter().copied().collect();
    assert_eq!(given.len(), answer.addresses.len(), "each address once");
    assert!(given.len() <= MOST_ADDRESSES);
    let question = answer.question.as_str();
    assert!(question.split('.').all(|label| (1..=63).contains(&label.len())), "{question}");
    let records = Records::read(payload, u16::MAX).expect("what we read can be read");
    assert_eq!(records.question, question, "the name that was asked for");
    let plain = walk(&records, question);
    let gives = |plain: &BTreeMap<IpAddr, u32>| {
        given.iter().all(|(address, ttl)| plain.get(address).is_some_and(|longest| ttl <= longest))
    };
    // Of a message that is cut, the two readers may not give up at the same record, and a malformed one behind that takes
    // what others of its set say away.
    let gives_less = || {
        (0..MOST_RECORDS)
            .any(|most| Records::read(payload, most).is_some_and(|records| gives(&walk(&records, question))))
    };
    let is_given = gives(&plain) || answer.truncated && gives_less();
    assert!(is_given, "{question} is not {given:?}: {plain:?}");
    // Of a message that is cut, the two readers may see one record more or less.
    let all = given.len() == plain.len() || given.len() == MOST_ADDRESSES;
    assert!(all || answer.truncated, "{plain:?} but {given:?}");
    if let Ok(message) = Message::from_vec(payload) {
        let theirs = by_hickory(&message, question);
        assert!(given.keys().all(|address| theirs.contains(address)), "{given:?} but hickory: {theirs:?}");
    }
    if let Some(searched) = &answer.searched {
        let (name, given) = (searched.name.as_str(), &searched.addresses);
        assert_eq!(question, format!("{name}.{}", searched.domain));
        let plain = walk(&records, name);
        assert!(
            given.iter().all(|(address, ttl)| plain.get(address).is_some_and(|longest| ttl <= longest)),
            "{name} is not {given:?}: {plain:?}"
        );
    }
    learn(answer);
}

/// The addresses that hickory's records lead to.
pub(crate) fn by_hickory(message: &Message, question: &str) -> BTreeSet<IpAddr> {
    // Label by label: hickory's own text escapes what our names may hold, such as a `-` in front.
    let name = |name: &hickory_proto::rr::Name| {
        let labels: Vec<_> = name.iter().map(|label| String::from_utf8_lossy(label).to_lowercase()).collect();
        labels.join(".")
    };
    let mut reached = BTreeSet::from([question.to_owned()]);
    let internet = || message.answers.iter().filter(|record| record.dns_class == DNSClass::IN);
    loop {
        let before_all = reached.clone();
        for record in internet().filter(|record| before_all.contains(&name(&record.name))) {
            reached.extend(target(&record.data).map(name));
        }
        if reached == before_all {
            break;
        }
    }
    let addresses = internet().filter(|record| reached.contains(&name(&record.name)));
    let addresses = addresses.flat_map(|record| addresses_of(&record.data));
    addresses.map(|address| address.to_canonical()).collect()
}

/// The name that a record leads to.
fn target(data: &RData) -> Option<&hickory_proto::rr::Name> {
    match data {
        RData::CNAME(target) => Some(&target.0),
        RData::SVCB(service) | RData::HTTPS(HTTPS(service)) => Some(&service.target_name),
        _ => None,
    }
}

/// The addresses that stand in a record.
fn addresses_of(data: &RData) -> Vec<IpAddr> {
    let service = match data {
        RData::A(address) => return vec![address.0.into()],
        RData::AAAA(address) => return vec![address.0.into()],
        RData::SVCB(service) | RData::HTTPS(HTTPS(service)) => service,
        _ => return Vec::new(),
    };
    let hints = service.svc_params.iter().map(|(_, value)| match value {
        SvcParamValue::Ipv4Hint(hint) => hint.0.iter().map(|address| address.0.into()).collect(),
        SvcParamValue::Ipv6Hint(hint) => hint.0.iter().map(|address| address.0.into()).collect(),
        _ => Vec::new(),
    });
    hints.collect::<Vec<Vec<_>>>().concat()
}

/// A message that hickory reads whole, as an answer to one question about a host, teaches.
fn check_refusal(payload: &[u8], why: egret::dns::Unlearned) {
    use egret::dns::Unlearned as No;
    let Ok(message) = Message::from_vec(payload) else { return };
    let response = message.metadata.message_type == hickory_proto::op::MessageType::Response;
    let query = message.queries.first();
    let explained = match why {
        No::Malformed => false,
        No::NotAResponse => !response || message.metadata.op_code != hickory_proto::op::OpCode::Query,
        No::NotOneQuestion => message.queries.len() != 1,
        No::OtherClass => query.is_some_and(|query| query.query_class() != DNSClass::IN),
        No::NotAHostName => query.is_some_and(|query| {
            let host = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            query.name().is_root() || query.name().iter().any(|label| !label.iter().all(host))
        }),
    };
    assert!(explained, "{why}: {message}");
}

/// The memory of names holds no more than it may, and tells nothing that the answer does not say.
fn learn(answer: &Answer) {
    let limits = Limits { names: 2, addresses_per_name: 3, addresses: 5 };
    let mut names = Names::new(limits);
    for now in [1, 2].map(Duration::from_secs) {
        for learned in names.learn(&answer.question, &answer.addresses, now, Duration::from_secs(30)) {
            assert_eq!(learned.name, answer.question);
            assert!(answer.addresses.iter().any(|(address, _)| *address == learned.address));
            assert!(learned.until >= now + Duration::from_secs(30));
        }
        assert!(names.live(now).count() <= limits.addresses_per_name);
    }
}
