//! The programs' learner, held against the agent's: it binds nothing that the agent would not, nor for longer; and all of it
//! where an answer is of ordinary shape. `PROPTEST_CASES=5000000` makes it a long run.

use std::collections::BTreeMap;
use std::net::IpAddr;

use egret_abi::{Address, NameKey, OwnKey, RulesetId, Tick, WorkloadIndex};
use egret_decide::learn::Next;
use egret_decide::testing::lessons::Learned;
use proptest::prelude::*;

use super::*;
use crate::dns::{self, Matcher};
use crate::kernel::maps::ip;

const WORKLOAD: WorkloadIndex = WorkloadIndex(3);
const RULESET: RulesetId = RulesetId(5);
const NOW: Tick = Tick(1000);
const LEAST: u32 = 30;
const PATTERNS: [&str; 9] = [
    "a.test",
    "www.a.test",
    "*.a.test",
    "**.a.test",
    "*.*.a.test",
    "**.*.test",
    "w*.a.test",
    "*.b.test",
    "cdn.b.test",
];
const QUESTIONS: [&str; 8] = [
    "a.test",
    "www.a.test",
    "x.www.a.test",
    "cdn.b.test",
    "other.example",
    "a_b-1.a.test",
    "bad name.a.test",
    "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.a.test",
];

fn classes() -> Vec<(NameClass, Class)> {
    let class = |(number, text): (u32, &&str)| {
        (NameClass::from(crate::model::Pattern::parse(text).expect("a pattern")), Class::name(number))
    };
    (1..).zip(&PATTERNS).map(class).collect()
}

fn learned() -> Learned {
    let taught = taught(&classes());
    assert!(!taught.is_complete, "w*.a.test is left to the agent");
    let names =
        taught.names.into_iter().map(|(name, named)| (NameKey { ruleset: RULESET, name }, named)).collect();
    Learned { names, ..Learned::default() }
}

/// How a name is spelled where it stands again.
#[derive(Clone, Copy, Debug)]
enum Spelled {
    Pointer,
    Whole,
    Case,
}

#[derive(Clone, Debug)]
enum Kind {
    A([u8; 4]),
    Aaaa([u8; 16]),
    /// To this name; its end is a pointer to the question's, or not.
    Alias(&'static str, bool),
    Other(u16),
}

#[derive(Clone, Debug)]
struct Record {
    spelled: Spelled,
    /// Another owner than the chain has led to.
    stray: bool,
    kind: Kind,
    ttl: u32,
}

fn record() -> impl Strategy<Value = Record> {
    let spelled =
        prop_oneof![4 => Just(Spelled::Pointer), 2 => Just(Spelled::Whole), 1 => Just(Spelled::Case)];
    let kind = prop_oneof![
        6 => (0u8..4, any::<bool>()).prop_map(|(last, _)| Kind::A([192, 0, 2, last])),
        3 => (0u8..4).prop_map(|last| {
            let mut address = [0; 16];
            (address[0], address[15]) = (0x20, last);
            Kind::Aaaa(address)
        }),
        1 => Just(Kind::Aaaa([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1])),
        3 => (prop::sample::select(vec!["edge.example", "a.test", "long-name-of-a-cdn.example"]), any::<bool>())
            .prop_map(|(name, compressed)| Kind::Alias(name, compressed)),
        1 => prop::sample::select(vec![46u16, 16, 64, 65, 39]).prop_map(Kind::Other),
    ];
    let ttl = prop_oneof![4 => 0u32..400, 1 => any::<u32>()];
    let stray = prop::bool::weighted(0.05);
    (spelled, stray, kind, ttl).prop_map(|(spelled, stray, kind, ttl)| Record { spelled, stray, kind, ttl })
}

fn spell(bytes: &mut Vec<u8>, name: &str, upper: bool) {
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        let cased = |byte: u8| if upper { byte.to_ascii_uppercase() } else { byte };
        bytes.extend(label.bytes().map(cased));
    }
    bytes.push(0);
}

fn pointer(bytes: &mut Vec<u8>, to: usize) {
    bytes.extend((0xc000 | to as u16).to_be_bytes());
}

fn message(question: &str, flags: u16, records: &[Record]) -> Vec<u8> {
    let mut bytes = vec![0, 7];
    bytes.extend(flags.to_be_bytes());
    for count in [1, records.len() as u16, 0, 0] {
        bytes.extend(count.to_be_bytes());
    }
    spell(&mut bytes, question, false);
    bytes.extend([0, 1, 0, 1]);
    let (mut chain, mut at) = (question.to_owned(), 12);
    for record in records {
        match record.spelled {
            _ if record.stray => spell(&mut bytes, "stray.example", false),
            Spelled::Pointer => pointer(&mut bytes, at),
            Spelled::Whole => spell(&mut bytes, &chain, false),
            Spelled::Case => spell(&mut bytes, &chain, true),
        }
        let (kind, data) = match &record.kind {
            Kind::A(address) => (1, address.to_vec()),
            Kind::Aaaa(address) => (28, address.to_vec()),
            Kind::Other(kind) => (*kind, vec![1, 2, 3]),
            Kind::Alias(name, compressed) => {
                let mut data = Vec::new();
                spell(&mut data, name, false);
                if *compressed {
                    data.pop();
                    pointer(&mut data, 12);
                }
                (5, data)
            }
        };
        bytes.extend(u16::to_be_bytes(kind));
        bytes.extend([0, 1]);
        bytes.extend(record.ttl.to_be_bytes());
        bytes.extend((data.len() as u16).to_be_bytes());
        if let Kind::Alias(name, compressed) = &record.kind {
            at = bytes.len();
            chain = if *compressed { format!("{name}.{question}") } else { (*name).to_owned() };
        }
        bytes.extend(data);
    }
    bytes
}

fn answer() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop_oneof![8 => Just(0x8180u16), 1 => any::<u16>()];
    let records = prop::collection::vec(record(), 0..18);
    let wrong = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    let wrong = prop_oneof![2 => Just(Vec::new()), 1 => wrong];
    let cut = prop_oneof![6 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)];
    (prop::sample::select(QUESTIONS.to_vec()), flags, records, wrong, cut).prop_map(
        |(question, flags, records, wrong, cut)| {
            let mut bytes = message(question, flags, &records);
            for (at, byte) in wrong {
                *at.get_mut(&mut bytes) = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes
        },
    )
}

/// What is bound: by address and class, until when.
fn bound(learned: &Learned) -> BTreeMap<(IpAddr, u32), Tick> {
    let bindings = learned.bindings.borrow();
    let slots = bindings.iter().flat_map(|(OwnKey { address, .. }, binding)| {
        let used = binding.slots.iter().filter(|slot| slot.class != Class::NONE);
        used.map(|slot| ((ip(Address(address.0)), slot.class.0), slot.until))
    });
    slots.collect()
}

/// What the agent would bind, without the patterns that are left to it.
fn wanted(message: &[u8]) -> Option<BTreeMap<(IpAddr, u32), u32>> {
    let answer = dns::parse(message).ok()?;
    let simple: Vec<_> =
        classes().into_iter().filter(|(names, class)| simple(names, *class).is_some()).collect();
    let numbers: Vec<_> = simple.into_iter().map(|(names, class)| (names, class.0)).collect();
    let matched = Matcher::new(&numbers).classes(&answer.question);
    let pairs = answer.addresses.iter().flat_map(|(address, ttl)| {
        matched.iter().map(|matched| ((*address, matched.class), (*ttl).clamp(LEAST, 7 * 24 * 3600)))
    });
    Some(pairs.collect())
}

/// What was learned of `message`, held against what the agent makes of it; and whether each end is the same. Where a chain
/// of aliases leads back to itself, the programs take the lowest TTL of all of it.
fn agrees(message: &[u8]) -> Result<(Next, bool), String> {
    let learned = learned();
    let next = learned.learn(WORKLOAD, RULESET, message, NOW, Tick::lasting_seconds(LEAST));
    let (bound, wanted) = (bound(&learned), wanted(message));
    if next == Next::Odd {
        return if bound.is_empty() {
            Ok((next, true))
        } else {
            Err(format!("{next:?}, and bound {bound:?}"))
        };
    }
    let wanted = wanted.unwrap_or_default();
    if bound.keys().ne(wanted.keys()) {
        return Err(format!("{next:?}: bound {bound:?} and not {wanted:?}"));
    }
    let ends = |pair| NOW.plus(Tick::lasting_seconds(wanted[pair]));
    match bound.iter().find(|(pair, until)| **until > ends(pair).plus(Tick(1))) {
        Some((pair, until)) => Err(format!("{pair:?} until {until:?}, {} s", wanted[pair])),
        None => Ok((next, bound.iter().all(|(pair, until)| *until >= ends(pair)))),
    }
}

proptest! {
    #[test]
    fn the_programs_learn_what_the_agent_would_and_nothing_else(message in answer()) {
        let next = agrees(&message);
        prop_assert!(next.is_ok(), "{message:?}: {next:?}");
    }
}

#[test]
fn answers_of_ordinary_shape_are_not_left_to_the_agent() {
    let a =
        |last| Record { spelled: Spelled::Pointer, stray: false, kind: Kind::A([192, 0, 2, last]), ttl: 60 };
    let alias = |name, compressed| Record { kind: Kind::Alias(name, compressed), ..a(0) };
    let whole = |record: Record| Record { spelled: Spelled::Case, ..record };
    let chain = [
        alias("edge.example", false),
        whole(alias("long-name-of-a-cdn.example", false)),
        whole(a(1)),
        whole(a(2)),
    ];
    for (what, records, expected) in [
        ("none", vec![], Next::Nothing),
        ("one", vec![a(1)], Next::On),
        ("sixteen", (0..16).map(a).collect(), Next::On),
        ("seventeen", (0..17).map(a).collect(), Next::Odd),
        ("a chain that is compressed", vec![alias("edge.example", true), a(1), a(2)], Next::On),
        ("a chain that is spelled out", chain.to_vec(), Next::On),
        ("a stray", vec![a(1), Record { stray: true, ..a(2) }], Next::Odd),
        ("signatures", vec![a(1), Record { kind: Kind::Other(46), ..a(2) }], Next::On),
        ("services", vec![Record { kind: Kind::Other(65), ..a(2) }], Next::Odd),
    ] {
        assert_eq!(agrees(&message("www.a.test", 0x8180, &records)), Ok((expected, true)), "{what}");
    }
    assert_eq!(agrees(&message("other.example", 0x8180, &[a(1)])), Ok((Next::Nothing, true)));
    assert_eq!(agrees(&message("www.a.test", 0x8183, &[])), Ok((Next::Nothing, true)));
    assert_eq!(agrees(&message("www.a.test", 0x8380, &[a(1)])), Ok((Next::Odd, true)), "truncated");
}
