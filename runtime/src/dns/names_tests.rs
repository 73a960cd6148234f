use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const FLOOR: Duration = Duration::from_secs(5);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// As an answer at `now` seconds says it.
fn learn(names: &mut Names, of: &str, addresses: &[(&str, u32)], now: u64) -> Vec<Learned> {
    let addresses: Vec<_> = addresses.iter().map(|(address, ttl)| (ip(address), *ttl)).collect();
    names.learn(&name(of), &addresses, at(now), FLOOR)
}

fn names_of(names: &Names, address: &str, now: u64) -> Vec<String> {
    names.names_of(ip(address), at(now), usize::MAX).iter().map(Name::to_string).collect()
}

#[test]
fn an_end_only_moves_later() {
    let mut names = Names::new(Limits::default());
    for (now, ttl, expected) in [(100, 60, 160), (110, 10, 160), (120, 60, 180), (130, 0, 180), (179, 0, 184)]
    {
        let learned = learn(&mut names, "a.example", &[("192.0.2.1", ttl)], now);
        assert_eq!(
            learned,
            [Learned { address: ip("192.0.2.1"), name: name("a.example"), until: at(expected) }],
            "at {now} with TTL {ttl}"
        );
    }
    assert_eq!(names_of(&names, "192.0.2.1", 183), ["a.example"]);
    assert_eq!(names_of(&names, "192.0.2.1", 184), [""; 0]);
}

#[test]
fn the_least_and_the_longest_time_are_bounded() {
    let mut names = Names::new(Limits::default());
    for (address, ttl, expected) in
        [("192.0.2.1", 0, 5), ("192.0.2.2", 4, 5), ("192.0.2.3", u32::MAX, 604_800)]
    {
        let learned = learn(&mut names, "a.example", &[(address, ttl)], 0);
        assert_eq!(learned[0].until, at(expected), "TTL {ttl}");
    }
}

#[test]
fn an_answer_of_one_family_or_without_addresses_leaves_the_other_addresses_alone() {
    let mut names = Names::new(Limits::default());
    learn(&mut names, "a.example", &[("192.0.2.1", 60)], 0);
    learn(&mut names, "a.example", &[("2001:db8::1", 10)], 1);
    assert_eq!(learn(&mut names, "a.example", &[], 2), []);
    assert_eq!(names_of(&names, "192.0.2.1", 59), ["a.example"]);
    assert_eq!(names_of(&names, "2001:db8::1", 10), ["a.example"]);
    assert_eq!(names_of(&names, "2001:db8::1", 11), [""; 0]);
}

#[test]
fn the_latest_looked_up_name_comes_first_and_the_last_one_is_known_after_its_end() {
    let mut names = Names::new(Limits::default());
    learn(&mut names, "a.example", &[("192.0.2.1", 60)], 0);
    learn(&mut names, "b.example", &[("192.0.2.1", 10)], 0);
    assert_eq!(names_of(&names, "192.0.2.1", 5), ["b.example", "a.example"]);
    assert_eq!(names.names_of(ip("192.0.2.1"), at(5), 1), [name("b.example")]);
    assert_eq!(names_of(&names, "192.0.2.1", 30), ["a.example"]);
    assert_eq!(names.last_name_of(ip("192.0.2.1")), Some(name("b.example")));
    learn(&mut names, "a.example", &[("192.0.2.2", 60)], 30);
    assert_eq!(names.last_name_of(ip("192.0.2.1")), Some(name("a.example")));
    assert_eq!(names.last_name_of(ip("192.0.2.9")), None);
}

#[test]
fn what_is_live_is_listed_with_its_end() {
    let mut names = Names::new(Limits::default());
    learn(&mut names, "a.example", &[("192.0.2.1", 60), ("192.0.2.2", 10)], 0);
    learn(&mut names, "b.example", &[("192.0.2.1", 30)], 0);
    let live: Vec<String> =
        names.live(at(10)).map(|(name, address, until)| format!("{name} {address} {until:?}")).collect();
    assert_eq!(live, ["b.example 192.0.2.1 30s", "a.example 192.0.2.1 60s"]);
}

#[test]
fn the_least_recently_looked_up_name_goes_when_there_are_too_many() {
    let limits = Limits { names: 2, ..Limits::default() };
    let mut names = Names::new(limits);
    for question in ["a.example", "b.example", "a.example", "c.example"] {
        learn(&mut names, question, &[("192.0.2.1", 60)], 0);
    }
    assert_eq!(names_of(&names, "192.0.2.1", 1), ["c.example", "a.example"]);
}

#[test]
fn a_name_keeps_what_was_just_answered_and_of_the_rest_what_lives_longest() {
    let limits = Limits { addresses_per_name: 3, ..Limits::default() };
    let mut names = Names::new(limits);
    let first = [("192.0.2.1", 60), ("192.0.2.2", 90), ("192.0.2.3", 70)];
    learn(&mut names, "a.example", &first, 0);
    learn(&mut names, "a.example", &[("192.0.2.4", 5), ("192.0.2.5", 5)], 0);
    let kept: Vec<IpAddr> = names.live(at(1)).map(|(_, address, _)| address).collect();
    assert_eq!(kept, [ip("192.0.2.2"), ip("192.0.2.4"), ip("192.0.2.5")]);
    assert_eq!(names.last_name_of(ip("192.0.2.1")), None);
}

proptest! {
    #[test]
    fn the_memory_stays_within_its_limits_and_both_of_its_sides_agree(
        answers in prop::collection::vec((0..12u8, prop::collection::vec((0..30u8, 0..100u32), 0..9)), 0..60),
    ) {
        let limits = Limits { names: 6, addresses_per_name: 5, addresses: 20 };
        let mut names = Names::new(limits);
        for (now, (question, addresses)) in answers.into_iter().enumerate() {
            let addresses: BTreeMap<IpAddr, u32> =
                addresses.into_iter().map(|(last, ttl)| (IpAddr::from([192, 0, 2, last]), ttl)).collect();
            let addresses: Vec<_> = addresses.into_iter().collect();
            let question = name(&format!("n{question}.example"));
            let learned = names.learn(&question, &addresses, at(now as u64), FLOOR);
            for one in &learned {
                prop_assert!(names.names_of(one.address, at(now as u64), usize::MAX).contains(&one.name));
            }
            let all: Vec<_> = names.live(Duration::ZERO).collect();
            prop_assert!(names.by_name.len() <= 6 && all.len() <= 20);
            prop_assert_eq!(all.len(), names.pairs);
            prop_assert_eq!(all.len(), names.by_address.values().map(Vec::len).sum::<usize>());
            for (name, address, _) in all {
                prop_assert!(names.names_of(address, Duration::ZERO, usize::MAX).contains(name));
            }
        }
    }
}
