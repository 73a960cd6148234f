use proptest::prelude::*;

use super::*;
use crate::model::Pattern;

fn patterns(texts: &[&str]) -> Vec<(NameClass, u32)> {
    texts.iter().zip(1..).map(|(text, class)| (text.parse().unwrap(), class)).collect()
}

fn classes(matcher: &Matcher, name: &str) -> Vec<u32> {
    matcher.classes(&Name::parse(name).unwrap()).iter().map(|matched| matched.class).collect()
}

#[test]
fn a_name_has_the_classes_of_all_patterns_that_mean_it() {
    let patterns = patterns(&[
        "github.com",
        "*.github.com",
        "**.github.com",
        "api*.github.com",
        "**.com",
        "github.*",
        "*.eu.*.example",
        "**.a.b.example",
    ]);
    let matcher = Matcher::new(&patterns);
    for (name, expected) in [
        ("github.com", &[1, 5, 6][..]),
        ("GitHub.com.", &[1, 5, 6]),
        ("api2.github.com", &[2, 3, 4, 5]),
        ("a.b.github.com", &[3, 5]),
        ("evilgithub.com", &[5]),
        ("github.com.evil.net", &[]),
        ("github.net", &[6]),
        ("x.eu.y.example", &[7]),
        ("eu.y.example", &[]),
        ("a.b.example", &[]),
        ("x.a.b.example", &[8]),
        ("com", &[]),
    ] {
        assert_eq!(classes(&matcher, name), expected, "{name}");
    }
    assert!(matcher.is_exact(1) && !matcher.is_exact(2) && !matcher.is_exact(99));
}

#[test]
fn a_class_that_two_patterns_give_is_told_once() {
    let mut patterns = patterns(&["a.example", "*.example"]);
    patterns[1].1 = 1;
    assert_eq!(classes(&Matcher::new(&patterns), "a.example"), [1]);
}

#[test]
fn a_class_of_several_patterns_and_of_a_range_asks_for_all_of_it() {
    let patterns = patterns(&[
        "*.a.example & x*.a.example",
        "x*.a.example & *.*.example",
        "a.example within 192.0.2.0/24",
        "*.example within 2001:db8::/32",
    ]);
    let matcher = Matcher::new(&patterns);
    for (name, address, expected) in [
        ("x1.a.example", "192.0.2.1", &[1, 2][..]),
        ("y1.a.example", "192.0.2.1", &[]),
        ("x.y.a.example", "192.0.2.1", &[]),
        ("a.example", "192.0.2.1", &[3]),
        ("a.example", "192.0.3.1", &[]),
        ("a.example", "2001:db8::1", &[4]),
    ] {
        let (name, address) = (Name::parse(name).unwrap(), address.parse().unwrap());
        let matched = matcher.classes(&name).into_iter().filter(|matched| matched.holds(address));
        assert_eq!(matched.map(|matched| matched.class).collect::<Vec<_>>(), expected, "{name} {address}");
    }
    assert!(matcher.is_exact(3) && !matcher.is_exact(1));
}

proptest! {
    #[test]
    fn the_matcher_agrees_with_asking_every_pattern(
        texts in prop::collection::vec(
            prop::collection::vec("(\\*\\*\\.)?([abc*]{1,2}\\.){0,3}[abc*]{1,2}", 1..3), 0..20),
        name in "([abc]{1,2}\\.){0,4}[abc]{1,2}",
    ) {
        // What is left where the second pattern comes under the first as a ceiling; nothing where they never meet.
        let class = |texts: Vec<String>| {
            let mut patterns = texts.iter().filter_map(|text| Pattern::parse(text).ok());
            let first = NameClass::from(patterns.next()?);
            patterns.try_fold(first, |class, pattern| class.and(&pattern))
        };
        let patterns: Vec<(NameClass, u32)> = texts.into_iter().filter_map(class).zip(1..).collect();
        let asked: Vec<u32> = patterns
            .iter()
            .filter(|(class, _)| class.patterns().iter().all(|pattern| pattern.matches(&Name::parse(&name).unwrap())))
            .map(|(_, class)| *class)
            .collect();
        prop_assert_eq!(classes(&Matcher::new(&patterns), &name), asked);
    }
}

#[test]
fn a_class_gets_a_slot_by_the_rules_and_an_end_only_moves_later() {
    // Classes below 100 are of exact names. Each slot as (class, until); now is 50.
    for (what, before, new, expected, after) in [
        ("the first", [(0, 0), (0, 0)], (1, 60), Merge::Written, [(1, 60), (0, 0)]),
        ("later", [(1, 60), (0, 0)], (1, 70), Merge::Written, [(1, 70), (0, 0)]),
        ("earlier", [(1, 60), (0, 0)], (1, 55), Merge::Unchanged, [(1, 60), (0, 0)]),
        ("the same", [(1, 60), (0, 0)], (1, 60), Merge::Unchanged, [(1, 60), (0, 0)]),
        ("its own slot, ended", [(0, 0), (1, 40)], (1, 60), Merge::Written, [(0, 0), (1, 60)]),
        ("beside another", [(1, 60), (0, 0)], (2, 55), Merge::Written, [(1, 60), (2, 55)]),
        ("over one that ended", [(1, 60), (2, 50)], (3, 55), Merge::Written, [(1, 60), (3, 55)]),
        ("ended itself", [(0, 0), (0, 0)], (3, 50), Merge::Unchanged, [(0, 0), (0, 0)]),
        ("no room for a wildcard", [(100, 60), (101, 70)], (102, 80), Merge::Full, [(100, 60), (101, 70)]),
        ("no room among exact names", [(1, 60), (2, 70)], (3, 80), Merge::Full, [(1, 60), (2, 70)]),
        ("over a wildcard", [(1, 51), (101, 70)], (3, 55), Merge::Replaced(101), [(1, 51), (3, 55)]),
        (
            "over the sooner wildcard",
            [(100, 80), (101, 70)],
            (3, 55),
            Merge::Replaced(101),
            [(100, 80), (3, 55)],
        ),
    ] {
        let slot = |(class, until)| Slot { class, until };
        let mut slots = before.map(slot);
        assert_eq!(merge(&mut slots, slot(new), 50, |class| class < 100), expected, "{what}");
        assert_eq!(slots, after.map(slot), "{what}");
    }
}
