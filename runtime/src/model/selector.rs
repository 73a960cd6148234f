//! Which labels a policy asks for: the selectors of Kubernetes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Labels;

/// What labels must be like, in all of it; empty selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    /// Label to value.
    pub match_labels: BTreeMap<String, String>,
    /// What else is asked.
    pub match_expressions: Vec<Requirement>,
}

/// One entry of `matchExpressions`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// What it must be.
    pub operator: Operator,
}

/// What a label must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// One of these.
    In(BTreeSet<String>),
    /// None of these; one that is not there is none of them.
    NotIn(BTreeSet<String>),
    /// There.
    Exists,
    /// Not there.
    DoesNotExist,
}

impl Selector {
    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// Whether `labels` are as all of it asks.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.matches(labels))
    }
}

impl Requirement {
    fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

/// As `kubectl` takes it: `app=web,tier in (a,b),!canary`.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
        let all: Vec<_> = labels.chain(self.match_expressions.iter().map(Requirement::to_string)).collect();
        f.write_str(&all.join(","))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let listed = |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>().join(",");
        match &self.operator {
            Operator::In(values) => write!(f, "{key} in ({})", listed(values)),
            Operator::NotIn(values) => write!(f, "{key} notin ({})", listed(values)),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_selected_as_kubernetes_does() {
        let values = || BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        for (operator, of_a, of_c, of_none) in [
            (Operator::In(values()), true, false, false),
            (Operator::NotIn(values()), false, true, true),
            (Operator::Exists, true, true, false),
            (Operator::DoesNotExist, false, false, true),
        ] {
            let requirement = Requirement { key: "tier".into(), operator };
            let labels = |value: &str| Labels::from([("tier".to_owned(), value.to_owned())]);
            assert_eq!(requirement.matches(&labels("a")), of_a, "{requirement:?}");
            assert_eq!(requirement.matches(&labels("c")), of_c, "{requirement:?}");
            assert_eq!(requirement.matches(&Labels::new()), of_none, "{requirement:?}");
            let both = Selector { match_labels: labels("a"), match_expressions: vec![requirement] };
            assert_eq!(both.matches(&labels("a")), of_a);
            assert!(!both.matches(&labels("c")), "all of it is asked for");
        }
        assert!(Selector::default().matches(&Labels::new()));
    }
}
