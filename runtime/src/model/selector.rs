//! Which labels a policy asks for: the selectors of Kubernetes.

use std::collections::{BTreeMap, BTreeSet};

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
