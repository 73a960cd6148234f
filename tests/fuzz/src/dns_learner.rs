//! The programs' learner: it binds no address that the message does not give, to no class that the name is not of, and for
//! no longer; and what it takes, it takes whole.
//!
//! Input: a DNS message. Held against hickory's reading, and a plain walk of the answer section.

use std::collections::BTreeMap;
use std::net::IpAddr;

use egret::kernel::maps::ip;
use egret_abi::{Class, NamedClass, RulesetId, Tick, WorkloadIndex};
use egret_decide::learn::{LONGEST, Next};
use egret_decide::testing::lessons::Learned;
use hickory_proto::op::Message;

use crate::dns_answer::by_hickory;
use crate::dns_answer::message::{Records, walk};

const WORKLOAD: WorkloadIndex = WorkloadIndex(3);
const RULESET: RulesetId = RulesetId(5);
const NOW: Tick = Tick(1000);
/// Seconds that an address is bound for at least, and at most.
const LASTS: (u32, u32) = (30, 7 * 24 * 3600);
/// What names end with, and how many labels may come before that. The class of each is its place, from 1.
const PATTERNS: [(&str, u8, u8); 6] = [
    ("www.example.com", 0, 0),
    ("example.com", 1, 1),
    ("example.com", 1, NamedClass::ANY),
    ("com", 2, 2),
    ("test", 0, NamedClass::ANY),
    ("a.test", 0, 0),
];

/// Learns a message, and once more where there is no room.
pub fn run(message: &[u8]) {
    let mut learned = Learned::default();
    for (class, (suffix, least, most)) in (1..).map(Class::name).zip(PATTERNS) {
        assert!(learned.name(RULESET, suffix, class, least, most), "there is room");
    }
    let learn =
        |learned: &Learned| learned.learn(WORKLOAD, RULESET, message, NOW, Tick::lasting_seconds(LASTS.0));
    let next = learn(&learned);
    let bound = bound(&learned);
    assert_eq!(next == Next::On, !bound.is_empty(), "{next:?}: {bound:?}");
    if next == Next::On {
        assert!(message.len() <= LONGEST);
        check(message, &bound);
        assert_eq!(learn(&learned), Next::On, "what is bound can be bound again");
        assert_eq!(self::bound(&learned), bound);
    }
    let full = Learned { full: true, ..learned };
    full.bindings.borrow_mut().clear();
    assert_ne!(learn(&full), Next::On);
    assert!(full.bindings.borrow().is_empty());
}

/// By address and class, until when.
type Bound = BTreeMap<(IpAddr, u32), Tick>;

fn bound(learned: &Learned) -> Bound {
    let bindings = learned.bindings.borrow();
    let slots = bindings.iter().flat_map(|(key, binding)| {
        assert_eq!(key.workload, WORKLOAD);
        let used = binding.slots.iter().filter(|slot| slot.class != Class::NONE);
        used.map(|slot| ((ip(key.address), slot.class.0), slot.until))
    });
    slots.collect()
}

fn check(message: &[u8], bound: &Bound) {
    let records = Records::read(message, u16::MAX).expect("what is learned can be read");
    let given = walk(&records, &records.question);
    let classes: Vec<_> = (1..)
        .zip(PATTERNS)
        .filter(|(_, pattern)| names(pattern, &records.question))
        .map(|(class, _)| Class::name(class).0)
        .collect();
    let pairs = given.keys().flat_map(|address| classes.iter().map(|class| (*address, *class)));
    assert_eq!(bound.keys().copied().collect::<Vec<_>>(), pairs.collect::<Vec<_>>(), "{}", records.question);
    for ((address, _), until) in bound {
        // A tick more, for the one that had begun.
        let latest = NOW.plus(Tick::lasting_seconds(given[address].clamp(LASTS.0, LASTS.1))).plus(Tick(1));
        assert!(*until <= latest, "{address} until {until:?}, and not {latest:?}");
    }
    // What comes behind the answers is nobody's business here.
    let mut answers = message.to_vec();
    answers[8..12].fill(0);
    if let Ok(read) = Message::from_vec(&answers) {
        let theirs = by_hickory(&read, &records.question);
        assert!(given.keys().all(|address| theirs.contains(address)), "{given:?} but hickory: {theirs:?}");
    }
}

fn names((suffix, least, most): &(&str, u8, u8), question: &str) -> bool {
    let (name, suffix): (Vec<_>, Vec<_>) = (question.split('.').collect(), suffix.split('.').collect());
    let before = name.len().checked_sub(suffix.len());
    before.is_some_and(|before| {
        name[before..] == suffix && (usize::from(*least)..=usize::from(*most)).contains(&before)
    })
}
