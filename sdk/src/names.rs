//! Names, as rules of policies read them.

use egret_contract::{Attempt, Name, Pattern};

/// The first name of the attempt, the latest looked up first, that one of `patterns` means; and that pattern.
#[must_use]
pub fn first_match<'a>(patterns: &'a [Pattern], attempt: &Attempt) -> Option<(Name, &'a Pattern)> {
    let names = attempt.destination.names.iter().filter_map(|name| Name::parse(name).ok());
    names
        .filter_map(|name| {
            let pattern = patterns.iter().find(|pattern| pattern.matches(&name))?;
            Some((name, pattern))
        })
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use egret_contract::{Destination, Workload};

    #[test]
    fn the_latest_name_that_any_pattern_means_is_found() {
        let patterns = ["**.example.com", "example.net"].map(|text| text.parse().expect("a pattern"));
        let found = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let destination = Destination { names, ..Destination::default() };
            let attempt = Attempt { workload: Workload::default(), destination, time: 0 };
            first_match(&patterns, &attempt).map(|(name, pattern)| format!("{name} {pattern}"))
        };
        assert_eq!(
            found(&["a.test", "example.net", "a.example.com"]).as_deref(),
            Some("example.net example.net")
        );
        assert_eq!(found(&["a.b.example.com"]).as_deref(), Some("a.b.example.com **.example.com"));
        assert_eq!(found(&["example.com"]), None);
        assert_eq!(found(&[]), None);
    }
}
