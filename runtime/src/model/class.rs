//! Sets of names and addresses that rules and ceilings mean together.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::{Name, Pattern};

/// The addresses that a name leads to, where the name matches every pattern and the address lies in the range. A rule
/// alone has one pattern and no range; what is left of it under a ceiling may have more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameClass {
    /// Sorted, each once, none that another implies; never empty.
    patterns: Vec<Pattern>,
    within: Option<IpNet>,
}

impl NameClass {
    /// What is in both this and `pattern`; `None` where nothing is.
    #[must_use]
    pub fn and(&self, pattern: &Pattern) -> Option<Self> {
        if !self.patterns.iter().all(|own| own.meets(pattern)) {
            return None;
        }
        let mut patterns = self.patterns.clone();
        if !patterns.iter().any(|own| own.implies(pattern)) {
            patterns.retain(|own| !pattern.implies(own));
            patterns.push(pattern.clone());
            patterns.sort();
        }
        Some(Self { patterns, ..self.clone() })
    }

    /// What of it lies in `range`; `None` where nothing does.
    #[must_use]
    pub fn within(&self, range: IpNet) -> Option<Self> {
        let within = self.within.map_or(Some(range), |own| both(own, range))?;
        Some(Self { within: Some(within), ..self.clone() })
    }

    /// Whether all of `other` is in this.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let is_implied = |pattern: &Pattern| other.patterns.iter().any(|own| own.implies(pattern));
        let is_around = |range: IpNet| other.within.is_some_and(|inner| range.contains(&inner));
        self.patterns.iter().all(is_implied) && self.within.is_none_or(is_around)
    }

    /// The same names, wherever they lead.
    #[must_use]
    pub fn anywhere(&self) -> Self {
        Self { within: None, ..self.clone() }
    }

    /// Whether `name` is one of its names.
    #[must_use]
    pub fn matches(&self, name: &Name) -> bool {
        self.patterns.iter().all(|pattern| pattern.matches(name))
    }

    /// Whether `address` is one that its names may lead to.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        self.within.is_none_or(|range| range.contains(&address))
    }

    /// The one name it can be, where it is one.
    #[must_use]
    pub fn exact(&self) -> Option<&Pattern> {
        // An exact name implies every pattern that it meets, so it stands alone.
        self.patterns.iter().find(|pattern| pattern.is_exact())
    }

    /// All that its names match.
    #[must_use]
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Where its addresses lie; `None`: anywhere.
    #[must_use]
    pub fn range(&self) -> Option<IpNet> {
        self.within
    }
}

/// The names that match one pattern, wherever they lead.
impl From<Pattern> for NameClass {
    fn from(pattern: Pattern) -> Self {
        Self { patterns: vec![pattern], within: None }
    }
}

/// The smaller of two ranges, where they meet: one of any two ranges that meet holds the other.
pub(crate) fn both(left: IpNet, right: IpNet) -> Option<IpNet> {
    if left.contains(&right) { Some(right) } else { right.contains(&left).then_some(left) }
}

/// `*.a.test & x*.a.test within 192.0.2.0/24`: no name has a space.
impl fmt::Display for NameClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns: Vec<_> = self.patterns.iter().map(Pattern::as_str).collect();
        f.write_str(&patterns.join(AND))?;
        self.within.map_or(Ok(()), |range| write!(f, "{WITHIN}{range}"))
    }
}

const AND: &str = " & ";
const WITHIN: &str = " within ";

impl FromStr for NameClass {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (names, range) =
            text.split_once(WITHIN).map_or((text, None), |(names, range)| (names, Some(range)));
        let within = range.map(str::parse).transpose().map_err(|error| format!("{text}: {error}"))?;
        let mut patterns = names.split(AND).map(Pattern::parse);
        let told = |error: &dyn fmt::Display| format!("{text}: {error}");
        let first = patterns.next().ok_or_else(|| told(&"no name"))?.map_err(|error| told(&error))?;
        let class = patterns.try_fold(Self::from(first), |class, pattern| {
            class.and(&pattern.map_err(|error| told(&error))?).ok_or_else(|| told(&"nothing is in all of it"))
        })?;
        Ok(Self { within, ..class })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(texts: &[&str]) -> Option<NameClass> {
        let mut patterns = texts.iter().map(|text| Pattern::parse(text).expect("a pattern"));
        let first = NameClass::from(patterns.next().expect("a first"));
        patterns.try_fold(first, |class, pattern| class.and(&pattern))
    }

    #[test]
    fn patterns_together_are_as_few_as_say_the_same() {
        for (texts, expected) in [
            (&["a.test", "a.test"][..], Some("a.test")),
            (&["a.test", "*.test"], Some("a.test")),
            (&["**.test", "a.test"], Some("a.test")),
            (&["a.test", "b.test"], None),
            (&["a.test", "*.a.test"], None),
            (&["*.test", "**.test"], Some("*.test")),
            (&["**.a.test", "**.test"], Some("**.a.test")),
            (&["**.a.test", "*.test"], None),
            (&["**.a.test", "**.b.test"], None),
            (&["x*.a.test", "*.a.test"], Some("x*.a.test")),
            (&["x*.a.test", "*y.a.test"], Some("*y.a.test & x*.a.test")),
            (&["x*.a.test", "y*.a.test"], None),
            (&["*x.a.test", "*y.a.test"], None),
            (&["**.*.test", "**.test", "*.a.test"], Some("*.a.test")),
            (&["*.a.test", "b.*.test"], Some("*.a.test & b.*.test")),
            (&["*.a.test", "b.*.test", "b.a.test"], Some("b.a.test")),
        ] {
            let class = class(texts);
            assert_eq!(class.as_ref().map(NameClass::to_string).as_deref(), expected, "{texts:?}");
            if let Some(class) = class {
                assert_eq!(class.to_string().parse(), Ok(class));
            }
        }
    }

    #[test]
    fn ranges_together_are_the_smaller_one() {
        let within = |ranges: &[&str]| {
            let mut ranges = ranges.iter().map(|range| range.parse::<IpNet>().expect("a range"));
            ranges.try_fold(class(&["a.test"]).expect("a class"), |class, range| class.within(range))
        };
        let class = within(&["192.0.2.0/24", "192.0.0.0/16"]).expect("they meet");
        assert_eq!(class.to_string(), "a.test within 192.0.2.0/24");
        assert_eq!(class.to_string().parse(), Ok(class.clone()));
        for (address, expected) in [("192.0.2.1", true), ("192.0.3.1", false), ("2001:db8::1", false)] {
            assert_eq!(class.holds(address.parse().expect("an address")), expected, "{address}");
        }
        assert_eq!(within(&["192.0.2.0/24", "192.0.3.0/24"]), None);
        assert_eq!(within(&["0.0.0.0/0", "::/0"]), None);
    }
}
