//! For any policies and attempts: the programs' own logic, over tables as they are written to the kernel, answers what the
//! plain evaluator answers. `PROPTEST_CASES=100000` makes it a long run.

use std::cell::RefCell;
use std::net::IpAddr;

use egret_abi::{
    Binding, Budget, Call, Class, Config, Counter, Dest, DestKey, Epoch, Event, Flow, Flow4Key, Flow6Key,
    Generation, Inbound, OwnKey, Query, QueryKey, RuleKey, RuleValue, Ruleset, RulesetId, Slot, Tick,
    WorkloadIndex, action_reason as why,
};
use egret_decide::{Egress, Packet, Tables, from_pod, parse::WINDOW};
use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::{Encoded, Numbers, encode};
use crate::dns::Matcher;
use crate::kernel::maps::address;
use crate::model::{Action, Attempt, Protocol, Reason, Verdict};
use crate::policy::tests::agreement::{attempt, policies, ranges};
use crate::policy::{compile, evaluate};

const POD: WorkloadIndex = WorkloadIndex(1);
const RULES: RulesetId = RulesetId(7);
const LOCAL4: [u8; 4] = [192, 0, 2, 1];
const LOCAL6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// The tables of one workload, looked up the slow way.
struct Written {
    encoded: Encoded,
    binding: Binding,
    event: RefCell<Option<Event>>,
}

/// The entry whose first bits are those of `key`, of the most bits.
fn longest<K: IntoBytes + zerocopy::Immutable, V: Copy>(entries: &[(u32, K, V)], key: &K) -> Option<V> {
    let fits = |(bits, entry, _): &&(u32, K, V)| {
        let (whole, rest) = ((bits / 8) as usize, bits % 8);
        let (entry, key) = (entry.as_bytes(), key.as_bytes());
        entry[..whole] == key[..whole] && (rest == 0 || (entry[whole] ^ key[whole]) >> (8 - rest) == 0)
    };
    entries.iter().filter(fits).max_by_key(|(bits, ..)| *bits).map(|(.., value)| *value)
}

macro_rules! nothing_known {
    ($key:ty, $value:ty, $with:ident, $remember:ident) => {
        fn $with<R>(&self, _: WorkloadIndex, _: &$key, _: impl FnOnce(&mut $value) -> R) -> Option<R> {
            None
        }
        fn $remember(&self, _: WorkloadIndex, _: &$key, _: &$value) -> bool {
            true
        }
    };
}

impl Tables for Written {
    fn now(&self) -> Tick {
        Tick(100)
    }
    fn nanoseconds(&self) -> u64 {
        0
    }
    fn config(&self) -> Config {
        Config { events: 1, refusals: 1, ..Config::default() }
    }
    fn generation(&self, _: WorkloadIndex) -> Option<Generation> {
        Some(Generation::new(Epoch(1), RULES))
    }
    fn ruleset(&self, _: RulesetId) -> Option<Ruleset> {
        Some(self.encoded.defaults)
    }
    fn owns(&self, key: &OwnKey) -> bool {
        key.address == address(IpAddr::from(LOCAL4)) || key.address == address(IpAddr::from(LOCAL6))
    }
    fn trusts(&self, _: &OwnKey) -> bool {
        false
    }
    fn binding(&self, _: &OwnKey) -> Option<&Binding> {
        Some(&self.binding)
    }
    fn dest(&self, key: &DestKey) -> Option<Dest> {
        longest(&self.encoded.dest, key)
    }
    fn rule(&self, key: &RuleKey) -> Option<RuleValue> {
        longest(&self.encoded.rules, key)
    }
    nothing_known!(Flow4Key, Flow, with_flow4, remember_flow4);
    nothing_known!(Flow6Key, Flow, with_flow6, remember_flow6);
    nothing_known!(Flow4Key, Inbound, with_inbound4, remember_inbound4);
    nothing_known!(Flow6Key, Inbound, with_inbound6, remember_inbound6);
    nothing_known!(Flow6Key, Call, with_call, remember_call);
    fn forget_flow4(&self, _: WorkloadIndex, _: &Flow4Key) {}
    fn forget_flow6(&self, _: WorkloadIndex, _: &Flow6Key) {}
    fn remember_query(&self, _: WorkloadIndex, _: &QueryKey, _: &Query) -> bool {
        true
    }
    fn take_query(&self, _: WorkloadIndex, _: &QueryKey) -> Option<Query> {
        None
    }
    fn with_budget<R>(&self, _: WorkloadIndex, f: impl FnOnce(&mut Budget) -> R) -> Option<R> {
        Some(f(&mut Budget::default()))
    }
    fn count(&self, _: Counter) {}
    fn report(&self, make: impl FnOnce() -> Event) {
        self.event.replace(Some(make()));
    }
}

struct Frame(Vec<u8>);

impl Packet for Frame {
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at + N)?.try_into().ok()
    }
    fn words<const N: usize>(&self, at: usize) -> Option<[u32; N]> {
        let (words, []) = self.0.get(at..at + N * 4)?.as_chunks::<4>() else { return None };
        Some(std::array::from_fn(|i| u32::from_ne_bytes(words[i])))
    }
    fn window(&self, _: usize) -> Option<(&[u8; WINDOW], usize)> {
        None
    }
    fn length(&self) -> u32 {
        self.0.len() as u32
    }
}

/// The first packet of `attempt`, and its ethertype.
fn first_packet(attempt: &Attempt) -> (Frame, u16) {
    let to = attempt.address.expect("an address");
    let mut transport = vec![0; 20];
    transport[..2].copy_from_slice(&40_000u16.to_be_bytes());
    transport[2..4].copy_from_slice(&attempt.port.to_be_bytes());
    match attempt.protocol {
        Protocol::TCP => transport[13] = 2,
        Protocol::ICMP => transport[0] = if to.is_ipv4() { 8 } else { 128 },
        _ => {}
    }
    let number = if attempt.protocol == Protocol::ICMP && to.is_ipv6() { 58 } else { attempt.protocol.0 };
    let mut bytes = vec![0; 14];
    let ethertype = match to {
        IpAddr::V4(to) => {
            bytes.extend([0x45, 0, 0, 40, 0, 0, 0, 0, 64, number, 0, 0]);
            bytes.extend(LOCAL4.iter().chain(&to.octets()));
            0x0800
        }
        IpAddr::V6(to) => {
            bytes.extend([0x60, 0, 0, 0, 0, 20, number, 64]);
            bytes.extend(LOCAL6.iter().chain(&to.octets()));
            0x86dd
        }
    };
    bytes.extend(transport);
    (Frame(bytes), ethertype)
}

/// The byte that an event carries for `verdict`.
fn reason_of(verdict: &Verdict) -> u8 {
    let reason = match verdict.reason {
        Reason::Rule => why::RULE,
        Reason::DefaultDeny => why::DEFAULT_DENY,
        Reason::NotEnforced => why::NOT_ENFORCED,
        Reason::Unmanaged => why::UNMANAGED,
        other => panic!("the evaluator never says {other}"),
    };
    if verdict.action == Action::Deny { reason | why::DENY } else { reason }
}

proptest! {
    #[test]
    fn the_programs_answer_over_the_written_tables_like_the_plain_evaluator(
        policies in policies(),
        ranges in ranges(),
        attempts in prop::collection::vec(attempt(), 1..24),
    ) {
        let all: Vec<_> = policies.iter().collect();
        let ruleset = compile(&all, &ranges).expect("a small ruleset");
        let mut numbers = Numbers::default();
        let patterns: Vec<_> = numbers.words_of(&ruleset).into_iter().map(|(p, class)| (p, class.0)).collect();
        let matcher = Matcher::new(&patterns);
        let encoded = encode(&ruleset, RULES, &mut numbers);
        for attempt in &attempts {
            let address = attempt.address.expect("an address");
            let matched = attempt.names.iter().flat_map(|name| matcher.classes(name));
            let mut classes: Vec<u32> =
                matched.filter(|matched| matched.holds(address)).map(|matched| matched.class).collect();
            classes.sort_unstable();
            classes.dedup();
            let mut binding = Binding::default();
            // More names than an address has slots is another story, and told as such.
            if classes.len() > binding.slots.len() {
                continue;
            }
            for (slot, class) in binding.slots.iter_mut().zip(classes) {
                *slot = Slot { class: Class(class), until: Tick::NEVER };
            }
            let written = Written { encoded: encoded.clone(), binding, event: RefCell::default() };
            let (frame, ethertype) = first_packet(attempt);
            let done = from_pod(&written, &frame, POD, ethertype);
            let event = written.event.take().expect("a first packet makes an event");
            let plain = evaluate(&all, attempt, ranges.kind_of(address));
            prop_assert_eq!(event.applied_why, reason_of(&plain.applied), "{:?} {:?}", attempt, plain);
            prop_assert_eq!(event.observed_why, reason_of(&plain.observed), "{:?} {:?}", attempt, plain);
            prop_assert_eq!(done == Egress::Pass, plain.applied.action == Action::Allow);
        }
    }
}
