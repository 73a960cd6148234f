//! Words: lists of them for a sentence, the one that was meant, and which may be names.

/// The word of `known` that `word` most likely means: equal but for case, or one or two letters off.
pub(super) fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_lowercase();
    let distance = |candidate: &str| edits(&word, &candidate.to_lowercase());
    let (best, best_distance) =
        known.iter().map(|known| (*known, distance(known))).min_by_key(|(_, distance)| *distance)?;
    (best_distance <= (best.len() / 3).min(2)).then_some(best)
}

/// `a, b, c`, each in back-ticks.
pub(super) fn listed(words: &[&str]) -> String {
    format!("`{}`", words.join("`, `"))
}

/// Letters to insert, delete or replace to get from one word to the other; at most what a key's length allows, so
/// that a megabyte of a key costs nothing.
fn edits(left: &str, right: &str) -> usize {
    if left.len().abs_diff(right.len()) > 2 {
        return usize::MAX;
    }
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, letter) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (place, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[place + 1];
            row[place + 1] = replaced.min(row[place] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

/// Whether `text` is an RFC 1123 label: 1 to 63 lower-case letters, digits and `-`, no `-` at either end.
pub(super) fn is_label(text: &str) -> bool {
    let inside = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inside)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether `text` is an RFC 1123 subdomain: labels joined by dots, at most 253 characters.
pub(super) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Whether Kubernetes lets `text` be a label's value: empty, or 1 to 63 letters, digits, `-`, `_`, `.`, with a letter
/// or digit at either end.
pub(super) fn is_label_value(text: &str) -> bool {
    let inside = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    let end = |c: Option<u8>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63 && text.bytes().all(inside) && end(text.bytes().next()) && end(text.bytes().last())
}

/// Whether Kubernetes lets `text` be a label's key: a name like a value, after an optional subdomain and `/`.
pub(super) fn is_label_key(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_subdomain) && !name.is_empty() && is_label_value(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_word_that_was_meant() {
        let keys = ["podSelector", "mode", "scope", "onDeny", "default", "allow", "deny", "to", "cidr"];
        for (written, meant) in [
            ("podselector", Some("podSelector")),
            ("podSelectr", Some("podSelector")),
            ("alow", Some("allow")),
            ("Deny", Some("deny")),
            ("cdir", None),
            ("mod", Some("mode")),
            ("t", None),
            ("egress", None),
            ("", None),
        ] {
            assert_eq!(closest(written, &keys), meant, "{written}");
        }
    }

    #[test]
    fn names_and_labels_follow_the_rules_of_kubernetes() {
        for (text, expected) in [
            ("payment", true),
            ("a-1", true),
            ("-a", false),
            ("a-", false),
            ("A", false),
            ("a.b", false),
            ("", false),
        ] {
            assert_eq!(is_label(text), expected, "{text}");
        }
        assert!(is_subdomain("a.b-c.d") && !is_subdomain("a..b") && !is_subdomain(&"a.".repeat(127)));
        assert!(is_label_value("") && is_label_value("A_b.c-1") && !is_label_value("a b"));
        assert!(is_label_key("app.kubernetes.io/name") && !is_label_key("a/b/c") && !is_label_key("x/"));
    }
}
