//! What a module is told of DNS answers, and what it says of them.

use std::net::IpAddr;

use crate::Workload;

/// An answer of a trusted resolver to a look-up of a workload. What the module does not declare as an input is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsAnswer {
    /// Who looked it up.
    pub workload: Workload,
    /// The name that was asked for, in lower case and without a closing dot. Each dot ends a label; odd bytes are
    /// written as `\DDD`.
    pub name: String,
    /// The type of record that was asked for: 1 A, 16 TXT, 28 AAAA.
    pub record_type: u16,
    /// 0 no error, 2 server failure, 3 no such name.
    pub response_code: u8,
    /// Bytes of the message.
    pub size: u32,
    /// The addresses that the name leads to.
    pub addresses: Vec<IpAddr>,
    /// When: milliseconds since 1970-01-01 UTC.
    pub time: u64,
}

/// What a module says of a DNS answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Opinion {
    /// Nothing against it.
    Pass,
    /// Later answers about a domain are refused.
    Refuse(Refusal),
}

/// A domain about which a workload gets no answers for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// It and all names under it.
    pub domain: String,
    /// Why, which people read.
    pub reason: String,
    /// For how many seconds, 1 to [`LONGEST_REFUSAL`].
    pub seconds: u32,
}

/// The longest that a domain is refused before a module has to say so again, in seconds.
pub const LONGEST_REFUSAL: u32 = 3_600;

impl Opinion {
    /// For a minute, this workload gets no answers about `domain` and the names under it, for this reason.
    pub fn refuse(domain: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Refuse(Refusal { domain: domain.into(), reason: reason.into(), seconds: 60 })
    }

    /// The same, for `seconds`.
    pub fn for_seconds(self, seconds: u32) -> Self {
        match self {
            Self::Pass => Self::Pass,
            Self::Refuse(refusal) => Self::Refuse(Refusal { seconds, ..refusal }),
        }
    }

    /// `pass` or `refuse`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Refuse(_) => "refuse",
        }
    }
}

/// What is refused of `name`, where a module wants `domain` to be: the domain, if it is the name or is above it and has
/// two labels at least; else the name.
#[must_use]
pub fn refused_domain<'a>(name: &'a str, domain: &str) -> &'a str {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let start = name.len().saturating_sub(domain.len());
    let Some((before, suffix)) = name.split_at_checked(start) else { return name };
    let is_above = suffix.eq_ignore_ascii_case(domain) && (before.is_empty() || before.ends_with('.'));
    if is_above && domain.contains('.') { suffix } else { name }
}

/// The last `labels` labels of `name`, or all of it.
#[must_use]
pub fn parent(name: &str, labels: usize) -> &str {
    let dots = name.rmatch_indices('.').map(|(at, _)| at + 1);
    labels.checked_sub(1).and_then(|beyond| dots.into_iter().nth(beyond)).map_or(name, |at| &name[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_refused_only_where_the_name_is_under_it() {
        for (name, domain, refused) in [
            ("a.b.example.com", "example.com", "example.com"),
            ("a.b.example.com", "EXAMPLE.com.", "example.com"),
            ("a.b.example.com", "a.b.example.com", "a.b.example.com"),
            ("a.b.example.com", "com", "a.b.example.com"),
            ("a.b.example.com", "", "a.b.example.com"),
            ("a.b.example.com", "xample.com", "a.b.example.com"),
            ("a.b.example.com", "other.example", "a.b.example.com"),
            ("example.com", "a.example.com", "example.com"),
            ("\\233.com", "\u{e9}\u{e9}\u{e9}.com", "\\233.com"),
            ("localhost", "localhost", "localhost"),
        ] {
            assert_eq!(refused_domain(name, domain), refused, "{name} {domain}");
        }
    }

    #[test]
    fn a_parent_has_so_many_labels() {
        for (name, labels, expected) in [
            ("a.b.example.com", 2, "example.com"),
            ("a.b.example.com", 3, "b.example.com"),
            ("a.b.example.com", 9, "a.b.example.com"),
            ("com", 2, "com"),
            ("a.b", 0, "a.b"),
        ] {
            assert_eq!(parent(name, labels), expected, "{name} {labels}");
        }
    }
}
