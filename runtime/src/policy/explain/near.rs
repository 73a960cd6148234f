//! Near misses of names: what the author of a rule most likely thought that it covers.

use crate::model::{Attempt, Name, Pattern, Rule, Target};

/// Why `rule` does not cover the names of `attempt`, where one of its names is close to one of them.
pub(super) fn miss(rule: &Rule, attempt: &Attempt) -> Option<String> {
    let patterns = rule.to.iter().filter_map(|target| match target {
        Target::Fqdn(pattern) => Some(pattern),
        _ => None,
    });
    patterns.flat_map(|pattern| attempt.names.iter().map(move |name| (pattern, name))).find_map(near)
}

fn near((pattern, name): (&Pattern, &Name)) -> Option<String> {
    let deep = pattern.as_str().strip_prefix("**.");
    let shallow = pattern.as_str().strip_prefix("*.");
    let apex = deep.or(shallow).unwrap_or(pattern.as_str());
    let (wild, same) = (apex != pattern.as_str(), apex == name.as_str());
    if wild && same {
        return Some(format!("a wildcard does not cover its own apex {name}; add `fqdn: {name}`"));
    }
    if is_below(name.as_str(), apex) && deep.is_none() {
        return Some(match shallow {
            Some(_) => {
                format!("`*` is exactly one label, so {name} is not covered; `**.{apex}` covers any depth")
            }
            None => format!("{name} is another name; add it, or `fqdn: \"*.{apex}\"`"),
        });
    }
    (!wild && is_below(apex, name.as_str())).then(|| format!("{name} is another name; add `fqdn: {name}`"))
}

/// Whether `name` is `apex` with labels before it. A top-level domain is near nothing.
fn is_below(name: &str, apex: &str) -> bool {
    apex.contains('.') && name.strip_suffix(apex).is_some_and(|head| head.ends_with('.'))
}
