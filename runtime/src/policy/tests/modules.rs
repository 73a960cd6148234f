//! Which modules a ruleset asks, of what, and what counts where nobody answers.

use super::super::{Asks, Ranges, RuleRef, Ruleset, Which, compile, compile_bounds};
use super::policies;
use crate::model::{FailurePolicy, Kind, Mode, ModuleFacts, ModuleStage, Modules, Policy};

/// Modules by name, each with what counts where it fails; the digest of each is its name.
fn loaded(modules: &[(&str, FailurePolicy)]) -> Modules {
    let facts = |(name, failure): &(&str, _)| {
        ((*name).into(), ModuleFacts { digest: (*name).into(), failure: *failure })
    };
    modules.iter().map(facts).collect()
}

fn compiled(policies: &[Policy], modules: &Modules) -> Ruleset {
    compile(&policies.iter().collect::<Vec<_>>(), &Ranges::default(), modules).expect("a small ruleset")
}

#[test]
fn modules_are_asked_in_the_order_of_policies_and_then_as_they_are_written() {
    let specs = [
        "mode: Observe, scope: all, default: Deny, modules: [{name: z, stage: unmatched}, {name: a, stage: always}]",
        "cluster: mode: Enforce, scope: internet, modules: [{name: z, stage: always}]",
        "cluster: mode: Observe, scope: all, ceiling: [], modules: [{name: b, stage: unmatched, settings: {x: 1}}]",
    ];
    let modules = loaded(&[("z", FailurePolicy::Next), ("a", FailurePolicy::Allow)]);
    let ruleset = compiled(&policies(&specs), &modules);
    let told: Vec<_> = ruleset
        .modules
        .iter()
        .map(|asked| {
            let RuleRef { policy, rule } = asked.rule();
            let loaded = (asked.digest.as_deref(), asked.failure);
            (format!("{policy} {rule}"), asked.mode, loaded, asked.ceiling)
        })
        .collect();
    let (observe, enforce) = (Mode::Observe, Mode::Enforce);
    assert_eq!(
        told,
        [
            ("p1 module/z".to_owned(), enforce, (Some("z"), FailurePolicy::Next), None),
            ("p2 module/b".to_owned(), observe, (None, FailurePolicy::Deny), None),
            ("n/p0 module/z".to_owned(), observe, (Some("z"), FailurePolicy::Next), Some(observe)),
            ("n/p0 module/a".to_owned(), observe, (Some("a"), FailurePolicy::Allow), Some(observe)),
        ]
    );
    let last = &ruleset.modules[1];
    assert_eq!((last.module.stage, &*last.module.settings), (ModuleStage::Unmatched, r#"{"x":1}"#));
    assert_eq!(last.rule().module(), Some("b"));
    assert_eq!(RuleRef { policy: last.policy.clone(), rule: "b".to_owned() }.module(), None);
    assert_eq!(ruleset.missing_modules().into_iter().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn another_module_or_other_settings_make_another_ruleset_and_another_line_does_not() {
    let spec = |settings: &str| {
        policies(&[&format!(
            "mode: Enforce, scope: all, default: Deny, modules: [{{name: a, stage: unmatched, settings: {settings}}}]"
        )])
    };
    let modules = loaded(&[("a", FailurePolicy::Deny)]);
    let before = compiled(&spec("{x: 1, y: [2]}"), &modules);
    assert_eq!(before, compiled(&spec("{y: [2],\n\n    x: 0x1}"), &modules));
    assert_eq!(
        before,
        compiled(&spec("{x: 1, y: [2]}"), &loaded(&[("a", FailurePolicy::Deny), ("b", FailurePolicy::Deny)]))
    );
    assert_ne!(before, compiled(&spec("{x: 1, y: [3]}"), &modules));
    assert_ne!(before, compiled(&spec("{x: 1, y: [2]}"), &Modules::new()));
    assert_ne!(before, compiled(&spec("{x: 1, y: [2]}"), &loaded(&[("a", FailurePolicy::Next)])));
    let mut other = modules;
    other.values_mut().for_each(|facts| facts.digest = "other".into());
    assert_ne!(before, compiled(&spec("{x: 1, y: [2]}"), &other));
}

#[test]
fn a_module_is_asked_of_the_destinations_in_the_scope_of_its_policy() {
    let none = Asks::default();
    let unmatched = Asks { unmatched: true, ..none };
    let always = Asks { always: true, ..none };
    let both = Asks { unmatched: true, always: true };
    for (specs, internet, elsewhere) in [
        (&["mode: Enforce, scope: all, default: Deny"][..], none, none),
        (&["mode: Observe, scope: internet, modules: [{name: a, stage: always}]"], always, none),
        (
            &["mode: Enforce, scope: all, default: Deny, modules: [{name: a, stage: unmatched}]"],
            unmatched,
            unmatched,
        ),
        (
            &[
                "mode: Enforce, scope: all, modules: [{name: a, stage: always}]",
                "mode: Enforce, scope: internet, default: Deny, modules: [{name: b, stage: unmatched}]",
            ],
            both,
            always,
        ),
    ] {
        let ruleset = compiled(&policies(specs), &Modules::new());
        for (kind, expected) in
            [(Kind::Internet, internet), (Kind::Cluster, elsewhere), (Kind::Node, elsewhere)]
        {
            assert_eq!(ruleset.asks(kind), expected, "{specs:?} {kind}");
        }
    }
}

/// Of each verdict: what counts for the internet at `always`, at `unmatched`, and in one word.
#[test]
fn where_nobody_answers_deny_wins_and_an_allow_counts_only_where_the_module_could_have_given_one() {
    type Failures = [FailurePolicy; 3];
    use FailurePolicy::{Allow, Deny, Next};
    const NONE: Failures = [Next; 3];
    let modules = loaded(&[("deny", Deny), ("allow", Allow), ("next", Next)]);
    let cases: &[(&[&str], Failures, Failures)] = &[
        (&["mode: Enforce, scope: all, default: Deny"], NONE, NONE),
        (
            &["mode: Enforce, scope: all, default: Deny, modules: [{name: allow, stage: unmatched}]"],
            [Next, Allow, Allow],
            [Next, Allow, Allow],
        ),
        // On trial it counts in the observed verdict only.
        (
            &["mode: Observe, scope: all, default: Deny, modules: [{name: deny, stage: unmatched}]"],
            NONE,
            [Next, Deny, Deny],
        ),
        // One that is not loaded denies.
        (
            &["mode: Enforce, scope: all, modules: [{name: gone, stage: always}]"],
            [Deny, Next, Deny],
            [Deny, Next, Deny],
        ),
        // At `always` an allow opens nothing.
        (&["mode: Enforce, scope: all, modules: [{name: allow, stage: always}]"], NONE, NONE),
        (
            &["mode: Enforce, scope: all, default: Deny, \
                 modules: [{name: next, stage: always}, {name: allow, stage: unmatched}]"],
            [Next, Allow, Next],
            [Next, Allow, Next],
        ),
        (
            &["mode: Enforce, scope: all, default: Deny, \
                 modules: [{name: allow, stage: unmatched}, {name: deny, stage: unmatched}]"],
            [Next, Deny, Deny],
            [Next, Deny, Deny],
        ),
        // Asked of the internet only, it says nothing of the cluster, where another leaves it to the default.
        (
            &[
                "mode: Enforce, scope: internet, default: Deny, modules: [{name: allow, stage: unmatched}]",
                "mode: Enforce, scope: all, default: Deny, modules: [{name: next, stage: unmatched}]",
            ],
            [Next, Allow, Next],
            [Next, Allow, Next],
        ),
        // A ceiling bounds what namespaces allow, in the verdicts in which it counts.
        (
            &[
                "cluster: mode: Observe, scope: all, ceiling: [{to: [{fqdn: a.test}]}]",
                "mode: Enforce, scope: all, default: Deny, modules: [{name: allow, stage: unmatched}]",
            ],
            [Next, Allow, Allow],
            NONE,
        ),
        (
            &["cluster: mode: Enforce, scope: all, ceiling: [{to: [{fqdn: a.test}]}], \
                 modules: [{name: allow, stage: unmatched}]"],
            [Next, Allow, Allow],
            [Next, Allow, Allow],
        ),
    ];
    for (specs, applied, observed) in cases {
        let ruleset = compiled(&policies(specs), &modules);
        for (which, expected) in [(Which::Applied, applied), (Which::Observed, observed)] {
            let at = |stage| ruleset.failure_at(which, stage, Kind::Internet);
            let told = [at(ModuleStage::Always), at(ModuleStage::Unmatched), ruleset.failure(which)];
            assert_eq!(told, *expected, "{specs:?} {which:?}");
        }
    }
}

#[test]
fn policies_that_are_too_large_leave_the_modules_of_the_cluster_and_those_that_only_deny() {
    let specs = [
        "cluster: mode: Enforce, scope: internet, default: Deny, modules: [{name: c, stage: unmatched}]",
        "mode: Enforce, scope: internet, default: Deny, \
         modules: [{name: u, stage: unmatched}, {name: a, stage: always}]",
    ];
    let policies = policies(&specs);
    let bounds = compile_bounds(&policies.iter().collect::<Vec<_>>(), &Ranges::default(), &Modules::new());
    let names: Vec<_> = bounds.modules.iter().map(|asked| &*asked.module.name).collect();
    assert_eq!(names, ["c", "a"]);
}
