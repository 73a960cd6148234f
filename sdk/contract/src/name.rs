//! DNS names and the patterns that rules write.

use std::fmt;
use std::str::FromStr;

use idna::{AsciiDenyList, domain_to_ascii_cow};
use serde::{Deserialize, Serialize};

/// A DNS name in canonical form: lower-case ASCII, no trailing dot, 1 to 253 bytes, labels of 1 to 63 bytes of
/// letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

/// Why a text is not a DNS name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left once a trailing dot is taken off.
    #[error("the name is empty")]
    Empty,
    /// More than 253 bytes.
    #[error("the name is longer than 253 characters")]
    TooLong,
    /// A label of no or more than 63 bytes.
    #[error("the label `{0}` is not 1 to 63 characters long")]
    Label(String),
    /// A character outside letters, digits, `-` and `_`.
    #[error("the character `{0}` cannot stand in a DNS name")]
    Character(char),
}

impl Name {
    /// Reads `text` in any case, with or without its trailing dot.
    ///
    /// # Errors
    /// [`NameError`] names the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        check_length(text)?;
        for label in text.split('.') {
            check_label(label, |c| is_name_character(c).then_some(()).ok_or(NameError::Character(c)))?;
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// What a rule's `fqdn` says: an exact name, or labels in which `*` stands for one whole label, `*` inside a label for
/// any characters of that label, and a leading `**` for one or more labels. An apex never matches its own wildcard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    text: String,
}

/// Why a text is not a pattern, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The text without its wildcards is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// `**` somewhere other than as the whole first label.
    #[error(
        "`**` may only be the whole first label; write `**.{rest}` for any depth, `*` for exactly one label"
    )]
    DeepWildcard {
        /// What follows the first label, as a suggestion.
        rest: String,
    },
    /// Every label is a wildcard.
    #[error(
        "a pattern needs at least one label without a wildcard; to allow every address write `cidr: 0.0.0.0/0` and `cidr: ::/0`"
    )]
    Everything,
    /// A URL, a port or a path in the place of a name.
    #[error("`{0}` does not belong in a name; write the host name alone, and ports under `ports`")]
    NotAHost(char),
    /// Characters beyond ASCII that make no internationalized name (UTS 46), or beside a wildcard in one label.
    #[error("`{0}` is no internationalized name; a wildcard stands in a label of ASCII alone")]
    International(String),
    /// An address in the place of a name.
    #[error("this is an address; write `cidr: {0}` instead of `fqdn`")]
    Address(String),
}

impl Pattern {
    /// Reads `text` in any case, with or without its trailing dot. Labels beyond ASCII become what DNS carries of them,
    /// `bücher` `xn--bcher-kva`.
    ///
    /// # Errors
    /// [`PatternError`] says what to write instead.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if let Ok(address) = text.parse::<std::net::IpAddr>() {
            return Err(PatternError::Address(ipnet::IpNet::from(address).to_string()));
        }
        if let Some(odd) = text.chars().find(|c| matches!(c, '/' | ':' | '@' | '?')) {
            return Err(PatternError::NotAHost(odd));
        }
        let text = to_ascii(text.strip_suffix('.').unwrap_or(text))?;
        check_length(&text)?;
        let rest = text.strip_prefix("**.").unwrap_or(&text);
        if rest.contains("**") || text == "**" {
            let plain = rest.replace('*', "");
            let rest = plain.trim_matches('.');
            return Err(if rest.is_empty() {
                PatternError::Everything
            } else {
                PatternError::DeepWildcard { rest: rest.to_owned() }
            });
        }
        for label in rest.split('.') {
            check_label(label, |c| {
                (c == '*' || is_name_character(c)).then_some(()).ok_or(NameError::Character(c))
            })?;
        }
        if rest.split('.').all(|label| label == "*") {
            return Err(PatternError::Everything);
        }
        Ok(Self { text })
    }

    /// Whether `name` is one that this pattern means.
    #[must_use]
    pub fn matches(&self, name: &Name) -> bool {
        if self.is_exact() {
            return self.text == name.0;
        }
        let (rest, true) = self.labels() else {
            return same_labels(self.text.split('.'), name.0.split('.'));
        };
        let (wanted, given) = (rest.split('.').count(), name.0.split('.').count());
        given > wanted && same_labels(rest.split('.'), name.0.split('.').skip(given - wanted))
    }

    /// Whether every name that this pattern means is one that `other` means. Not all such pairs are found.
    #[must_use]
    pub fn implies(&self, other: &Self) -> bool {
        let ((own, own_deep), (wanted, wanted_deep)) = (self.labels(), other.labels());
        let (own_count, wanted_count) = (own.split('.').count(), wanted.split('.').count());
        let fits = match (own_deep, wanted_deep) {
            (false, false) => own_count == wanted_count,
            (true, false) => false,
            (false, true) => own_count > wanted_count,
            (true, true) => own_count >= wanted_count,
        };
        // A `*` here is matched by a `*` there and by nothing else, so the text itself may be held against it.
        fits && own.rsplit('.').zip(wanted.rsplit('.')).all(|(own, wanted)| glob(wanted, own))
    }

    /// Whether some name may be one that both patterns mean. Not all pairs that never meet are found.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let ((left, left_deep), (right, right_deep)) = (self.labels(), other.labels());
        let (left_count, right_count) = (left.split('.').count(), right.split('.').count());
        let fits = match (left_deep, right_deep) {
            (false, false) => left_count == right_count,
            (true, false) => left_count < right_count,
            (false, true) => right_count < left_count,
            (true, true) => true,
        };
        fits && left.rsplit('.').zip(right.rsplit('.')).all(|(left, right)| globs_meet(left, right))
    }

    /// The labels, those after a leading `**`, and whether there was one.
    fn labels(&self) -> (&str, bool) {
        self.text.strip_prefix("**.").map_or((&self.text, false), |rest| (rest, true))
    }

    /// Whether the pattern is a plain name.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.text.contains('*')
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// In lower case, with the A-labels of what is not ASCII.
fn to_ascii(text: &str) -> Result<String, PatternError> {
    if text.is_ascii() {
        return Ok(text.to_ascii_lowercase());
    }
    let wrong = || PatternError::International(text.to_owned());
    let ascii = domain_to_ascii_cow(text.as_bytes(), AsciiDenyList::EMPTY).map_err(|_| wrong())?;
    let is_mixed = |label: &str| label.starts_with("xn--") && label.contains('*');
    if ascii.split('.').any(is_mixed) { Err(wrong()) } else { Ok(ascii.into_owned()) }
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

fn check_length(text: &str) -> Result<(), NameError> {
    match text.len() {
        0 => Err(NameError::Empty),
        1..=253 => Ok(()),
        _ => Err(NameError::TooLong),
    }
}

fn check_label(label: &str, allowed: impl Fn(char) -> Result<(), NameError>) -> Result<(), NameError> {
    label.chars().try_for_each(allowed)?;
    if label.is_empty() || label.len() > 63 {
        return Err(NameError::Label(label.to_owned()));
    }
    Ok(())
}

fn same_labels<'a>(
    mut wanted: impl Iterator<Item = &'a str>,
    mut given: impl Iterator<Item = &'a str>,
) -> bool {
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(pattern), Some(label)) if glob(pattern, label) => {}
            _ => return false,
        }
    }
}

/// `*` in `pattern` stands for any run of characters, none included, of this one label.
fn glob(pattern: &str, label: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == label };
    let Some(mut left) = label.strip_prefix(head) else { return false };
    let mut parts = tail.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    true
}

/// Whether a label may be one that both mean, by what they begin and end with.
fn globs_meet(left: &str, right: &str) -> bool {
    match (left.split_once('*'), right.split_once('*')) {
        (None, _) => glob(right, left),
        (_, None) => glob(left, right),
        (Some((left_head, left_rest)), Some((right_head, right_rest))) => {
            let end = |rest: &str| rest.rsplit('*').next().unwrap_or_default().to_owned();
            let (left_end, right_end) = (end(left_rest), end(right_rest));
            (left_head.starts_with(right_head) || right_head.starts_with(left_head))
                && (left_end.ends_with(&right_end) || right_end.ends_with(&left_end))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_its_wildcards_say() {
        for (pattern, name, expected) in [
            ("github.com", "GitHub.com.", true),
            ("github.com", "api.github.com", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", "a.evilexample.com", false),
            ("**.example.com", "a.b.example.com", true),
            ("**.example.com", "a.example.com", true),
            ("**.example.com", "example.com", false),
            ("**.example.com", "evilexample.com", false),
            ("blob*.example.net", "blob.example.net", true),
            ("blob*.example.net", "blob7.example.net", true),
            ("blob*.example.net", "ablob7.example.net", false),
            ("a*b*c.example.net", "axbbc.example.net", true),
            ("a*b*c.example.net", "abxd.example.net", false),
            ("*a*a.example.net", "a.example.net", false),
            ("**.*.example.net", "a.b.example.net", true),
            ("**.*.example.net", "b.example.net", false),
            ("api.*.example.net", "api.eu.example.net", true),
            ("Bücher.example", "xn--bcher-kva.example", true),
            ("*.bücher.example", "a.xn--bcher-kva.example", true),
            ("bücher。example", "xn--bcher-kva.example", true),
            ("BÜCHER.example", "bucher.example", false),
            ("_ldap._tcp.example.net", "_LDAP._tcp.example.net", true),
        ] {
            let given = Name::parse(name).expect("a name");
            assert_eq!(
                Pattern::parse(pattern).expect("a pattern").matches(&given),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn what_is_not_a_pattern_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "empty"),
            ("*", "at least one label without a wildcard"),
            ("**", "at least one label without a wildcard"),
            ("*.*", "at least one label without a wildcard"),
            ("a.**.example.com", "whole first label"),
            ("**example.com", "whole first label"),
            ("https://example.com", "host name alone"),
            ("example.com:443", "host name alone"),
            ("192.0.2.1", "cidr: 192.0.2.1/32"),
            ("exa mple.com", "cannot stand"),
            ("a..b", "1 to 63"),
            ("büch*.example", "internationalized"),
            ("\u{ad}.example", "1 to 63"),
            ("a\u{200d}.example", "internationalized"),
            ("bücher$.example", "cannot stand"),
        ] {
            let error = Pattern::parse(text).expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn patterns_imply_and_meet_one_another_as_their_names_do(
            left in "(\\*\\*\\.)?([ab*]{1,3}\\.){0,2}[ab*]{1,3}",
            right in "(\\*\\*\\.)?([ab*]{1,3}\\.){0,2}[ab*]{1,3}",
            names in proptest::collection::vec("([ab]{1,3}\\.){0,4}[ab]{1,3}", 0..40),
        ) {
            let (Ok(left), Ok(right)) = (Pattern::parse(&left), Pattern::parse(&right)) else { return Ok(()) };
            for name in names.iter().map(|name| Name::parse(name).expect("a name")) {
                let (of_left, of_right) = (left.matches(&name), right.matches(&name));
                proptest::prop_assert!(!left.implies(&right) || !of_left || of_right, "{} {} {}", left, right, name);
                proptest::prop_assert!(left.meets(&right) || !(of_left && of_right), "{} {} {}", left, right, name);
            }
            proptest::prop_assert!(left.implies(&left) && left.meets(&left));
            proptest::prop_assert_eq!(left.meets(&right), right.meets(&left));
        }
    }
}
