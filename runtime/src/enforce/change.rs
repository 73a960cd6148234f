//! What a change of policy changes.

use ipnet::IpNet;

use crate::policy::Ruleset;

/// The one range by which two rulesets differ: new, gone, or of another class or kind. `None`: they are equal, or differ
/// by more.
pub fn only_range(before: &Ruleset, after: &Ruleset) -> Option<IpNet> {
    // Field by field, so that a new one is not forgotten here.
    let Ruleset {
        unmanaged,
        enforced,
        denies_ranges,
        on_deny,
        applied_default,
        observed_default,
        open,
        names,
        dest,
        rules,
        modules,
    } = after;
    let same = before.unmanaged == *unmanaged
        && before.enforced == *enforced
        && before.denies_ranges == *denies_ranges
        && before.on_deny == *on_deny
        && before.applied_default == *applied_default
        && before.observed_default == *observed_default
        && before.open == *open
        && before.names == *names
        && before.rules == *rules
        && before.modules == *modules;
    if !same {
        return None;
    }
    let (mut old, mut new) = (before.dest.iter(), dest.iter());
    loop {
        match (old.next(), new.next()) {
            (None, None) => return None,
            (Some(one), Some(other)) if one == other => {}
            (Some((range, _)), Some((other, _))) if range == other => return old.eq(new).then_some(*range),
            (gone, come) => {
                // What follows is equal once the one that is gone, or the one that came, is passed over.
                let is_gone = gone.is_some() && come.into_iter().chain(new.clone()).eq(old.clone());
                let is_new = come.is_some() && gone.into_iter().chain(old).eq(new);
                let range = if is_gone { gone } else { come.filter(|_| is_new) };
                return range.map(|(range, _)| *range);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Modules;
    use crate::policy::{Ranges, compile, parse};

    fn ruleset(ranges: &[&str], ports: &str) -> Ruleset {
        with_modules(ranges, ports, "[]")
    }

    fn with_modules(ranges: &[&str], ports: &str, modules: &str) -> Ruleset {
        let to: Vec<_> = ranges.iter().map(|range| format!("{{cidr: {range}}}")).collect();
        let text = format!(
            "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {{name: a, namespace: a}}\nspec:\n  \
             podSelector: {{}}\n  mode: Enforce\n  scope: all\n  allow:\n  - to: [{}]\n    ports: [{{protocol: TCP, port: {ports}}}]\n  \
             modules: {modules}\n",
            to.join(", ")
        );
        let policies = parse("a", &text).expect("a policy");
        compile(&policies.iter().collect::<Vec<_>>(), &Ranges::default(), &Modules::new())
            .expect("a small ruleset")
    }

    #[test]
    fn a_change_of_one_range_is_told_from_every_other() {
        let [a, b, c, d] = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"];
        let before = ruleset(&[b, c], "443");
        for (ranges, ports, expected) in [
            (&[b, c][..], "443", None),
            (&[a, b, c], "443", Some(a)),
            (&[b, c, d], "443", Some(d)),
            (&[b], "443", Some(c)),
            (&[c], "443", Some(b)),
            (&[a, c], "443", None),
            (&[a, b, c, d], "443", None),
            (&[d], "443", None),
            (&[a, b, c], "80", None),
        ] {
            let changed = only_range(&before, &ruleset(ranges, ports));
            assert_eq!(changed.map(|range| range.to_string()).as_deref(), expected, "{ranges:?} {ports}");
        }
    }
    #[test]
    fn a_range_that_changes_together_with_a_module_is_not_all_that_changes() {
        let [a, b] = ["192.0.2.0/24", "198.51.100.0/24"];
        let asking = |ranges: &[&str]| with_modules(ranges, "443", "[{name: guard, stage: always}]");
        assert_eq!(only_range(&ruleset(&[a], "443"), &asking(&[a, b])), None);
        assert_eq!(
            only_range(&asking(&[a]), &asking(&[a, b])).map(|range| range.to_string()).as_deref(),
            Some(b)
        );
    }
}
