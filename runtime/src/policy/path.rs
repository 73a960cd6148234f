//! Where in an object a mistake is: `spec.allow[0].to[0].fqdn`, for who applied it never saw lines. Pure.

use std::fmt::Write as _;
use std::sync::Arc;

use super::problem::{Problem, Span};
use super::yaml::{self, Node, Value};

/// How a reason tells of a second place, in the words of files.
const AT_LINE: &str = " at line ";

/// The same problems with their paths in the object that `text` shows.
pub(super) fn in_object(file: &Arc<str>, text: &Arc<str>, problems: Vec<Problem>) -> Vec<Problem> {
    let Ok(documents) = yaml::documents(file, text) else { return problems };
    let mut places = Vec::new();
    documents.iter().for_each(|document| gather(document, &mut String::new(), &mut places));
    let places: Vec<_> = places.into_iter().map(|(span, path)| (span.within_a_line_of(text), path)).collect();
    problems.into_iter().map(|problem| located(problem, &places)).collect()
}

fn located(mut problem: Problem, places: &[(Span, String)]) -> Problem {
    if let Some(span) = problem.span() {
        let starts = |other: &Span| (other.line, other.column) == (span.line, span.column);
        // A mapping begins where its first key does, and has no length; a list where its first item does, which is meant.
        let exact = places.iter().rev().find(|(other, _)| *other == span);
        let found = exact.or_else(|| places.iter().find(|(other, _)| starts(other)));
        problem.path = found.map(|(_, path)| path.clone()).filter(|path| !path.is_empty());
    }
    let other = problem.reason.rsplit_once(AT_LINE).and_then(|(before, line)| {
        let line: u32 = line.parse().ok()?;
        let (_, path) = places.iter().rev().find(|(span, _)| span.line == line && span.length == 0)?;
        Some(format!("{before} at {path}"))
    });
    problem.reason = other.unwrap_or(problem.reason);
    problem
}

/// Every place in `node`, outer ones first.
fn gather(node: &Node, path: &mut String, places: &mut Vec<(Span, String)>) {
    places.push((node.at, path.clone()));
    let length = path.len();
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                push_key(path, &entry.key);
                places.push((entry.at, path.clone()));
                gather(&entry.node, path, places);
                path.truncate(length);
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                let _ = write!(path, "[{index}]");
                gather(item, path, places);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// As the API server writes it: a key that would read as more than one is in brackets.
fn push_key(path: &mut String, key: &str) {
    let is_plain = key.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    match (is_plain, path.is_empty()) {
        (true, true) => path.push_str(key),
        (true, false) => _ = write!(path, ".{key}"),
        (false, _) => _ = write!(path, "[{key}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Good;

    #[test]
    fn a_mistake_in_an_object_is_told_by_its_path() {
        let head = "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  \
                    podSelector:\n    matchLabels:\n      app: web\n  mode: Enforce\n  scope: all\n";
        let labels = head.replace("app: web", "example.com/app: \"no value!\"");
        for (text, path, reason) in [
            (format!("{head}  allow:\n  - to:\n    - fqdn: a..b\n"), "spec.allow[0].to[0].fqdn", "a..b"),
            (format!("{head}  allow:\n  - to: []\n"), "spec.allow[0].to", "is empty"),
            (format!("{head}  allow:\n  - ports:\n    - protocol: TCP\n"), "spec.allow[0]", "no `to`"),
            (format!("{head}  alow: []\n"), "spec.alow", "no key `alow`"),
            (
                format!("{labels}  default: Deny\n"),
                "spec.podSelector.matchLabels[example.com/app]",
                "no value!",
            ),
            (
                format!(
                    "{head}  allow:\n  - name: a\n    to:\n    - fqdn: a.example\n  - name: a\n    to:\n    - fqdn: b.example\n"
                ),
                "spec.allow[1].name",
                "taken by the rule at spec.allow[0]",
            ),
        ] {
            let problems = Good::parse_object(&"EgressPolicy/shop/web".into(), text.as_str().into());
            let problem = &problems.expect_err(&text)[0];
            assert!(problem.reason.contains(reason), "{problem:?}");
            assert_eq!(problem.place(), format!("EgressPolicy/shop/web: {path}"), "{problem:?}");
        }
    }
}
