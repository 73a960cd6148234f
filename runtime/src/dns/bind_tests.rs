use proptest::prelude::*;

use super::*;

fn patterns(texts: &[&str]) -> Vec<(Pattern, u32)> {
    texts.iter().zip(1..).map(|(text, class)| (Pattern::parse(text).unwrap(), class)).collect()
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
        assert_eq!(matcher.classes(&Name::parse(name).unwrap()), expected, "{name}");
    }
    assert!(matcher.is_exact(1) && !matcher.is_exact(2) && !matcher.is_exact(99));
}

#[test]
fn a_class_that_two_patterns_give_is_told_once() {
    let mut patterns = patterns(&["a.example", "*.example"]);
    patterns[1].1 = 1;
    assert_eq!(Matcher::new(&patterns).classes(&Name::parse("a.example").unwrap()), [1]);
}

proptest! {
    #[test]
    fn the_matcher_agrees_with_asking_every_pattern(
        texts in prop::collection::vec("(\\*\\*\\.)?([abc*]{1,2}\\.){0,3}[abc*]{1,2}", 0..20),
        name in "([abc]{1,2}\\.){0,4}[abc]{1,2}",
    ) {
        let patterns: Vec<(Pattern, u32)> =
            texts.iter().filter_map(|text| Pattern::parse(text).ok()).zip(1..).collect();
        let name = Name::parse(&name).unwrap();
        let asked: Vec<u32> =
            patterns.iter().filter(|(pattern, _)| pattern.matches(&name)).map(|(_, class)| *class).collect();
        prop_assert_eq!(Matcher::new(&patterns).classes(&name), asked);
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
