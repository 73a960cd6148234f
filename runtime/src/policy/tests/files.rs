//! Files as people write them: the good ones are read, the bad ones refused with one clear reason, place and fix each.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::super::load::parse_bytes;
use super::super::{CheckResult, check, parse};
use crate::model::{Mode, ModuleStage, OnDeny, Operator, PolicyKind, Scope, Target};

fn dir(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/policies").join(kind)
}

fn files(kind: &str) -> Vec<(String, String)> {
    let mut paths: Vec<_> =
        fs::read_dir(dir(kind)).expect("a directory").map(|entry| entry.expect("one").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension != "txt"));
    paths.sort();
    let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).expect("a text"))).collect()
}

/// The expected text is `tests/policies/bad/expected.txt`: for each file its problems, as `line:column reason / fix`.
#[test]
fn every_bad_file_is_refused_with_its_place_reason_and_fix() {
    let mut told = String::new();
    for (name, text) in files("bad") {
        let problems = parse(&name, &text).expect_err(&name);
        writeln!(told, "{name}").expect("written");
        for problem in problems {
            assert!(!problem.fix.is_empty(), "{name}: {problem:?}");
            writeln!(told, "  {}:{} {} / {}", problem.line, problem.column, problem.reason, problem.fix)
                .expect("written");
            // The renderer accepts the span.
            assert!(format!("{:?}", miette::Report::new(problem.clone())).contains(&problem.fix[..10]));
        }
    }
    let expected = fs::read_to_string(dir("bad").join("expected.txt")).unwrap_or_default();
    for (now, then) in told.lines().zip(expected.lines()) {
        assert_eq!(now, then);
    }
    assert_eq!(told.lines().count(), expected.lines().count(), "the problems are now:\n{told}");
}

#[test]
fn every_good_file_is_read() {
    for (name, text) in files("good") {
        parse(&name, &text).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
    }
}

#[test]
fn the_example_of_the_documentation_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policies.md");
    let page = fs::read_to_string(path).expect("docs/policies.md");
    let examples: Vec<_> =
        page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 1);
    assert!(parse("policies.md", examples[0]).is_ok_and(|policies| policies[0].modules.len() == 1));
}

#[test]
fn every_word_of_a_policy_is_understood() {
    let text = fs::read_to_string(dir("good/everything.yaml")).expect("a text");
    let policies = parse("everything.yaml", &text).expect("good");
    let policy = &policies[0];
    assert_eq!((policy.mode, policy.scope, policy.on_deny), (Mode::Observe, Scope::All, OnDeny::Drop));
    assert!(policy.default_deny && policies[1].default_deny && policies.len() == 3);
    assert_eq!(policy.id.to_string(), "shop/every.word");
    assert_eq!(policy.pod_selector.match_labels["tier"], "1");
    let rules: Vec<_> =
        policy.allow.iter().chain(&policy.deny).map(|rule| (&*rule.name, rule.origin.line)).collect();
    assert_eq!(rules, [("names", 22), ("allow[1]", 33), ("mirror", 40), ("cluster", 43), ("deny[0]", 51)]);
    let to: Vec<_> = policy.allow[3].to.iter().map(Target::to_string).collect();
    assert_eq!(
        to,
        [
            "service shop/db",
            "service data/db",
            "pods `app=cache` of namespace shop",
            "all pods of namespaces `tier=data`",
            "all pods of all namespaces",
        ]
    );
    assert!(matches!(&policy.allow[0].to[0], Target::Fqdn(name) if name.as_str() == "github.com"));
    assert_eq!(policy.allow[0].ports, policy.allow[2].ports);
    let ports: Vec<_> = policy.allow[1].ports.iter().map(|range| range.ports.clone()).collect();
    assert_eq!(ports, [Some(1..=65535), None, None]);
    assert!(
        matches!(&policy.pod_selector.match_expressions[0].operator, Operator::NotIn(values) if values.len() == 2)
    );
    let modules: Vec<_> =
        policy.modules.iter().map(|module| (&*module.name, module.stage, &*module.settings)).collect();
    let hours = r#"{"days":["mon","tue"],"from":"08:00","to":"18:00","zone":"Europe/Paris"}"#;
    assert_eq!(
        modules,
        [("working-hours", ModuleStage::Unmatched, hours), ("port-scan-brake", ModuleStage::Always, "{}")]
    );
    // The same name in a namespace and in the cluster are two policies.
    let of_cluster = &policies[2];
    assert_eq!(
        (of_cluster.id.to_string().as_str(), of_cluster.id.kind),
        ("second", PolicyKind::ClusterEgressPolicy)
    );
    assert_eq!(of_cluster.namespace_selector.match_expressions.len(), 3);
    let ceiling = of_cluster.ceiling.as_ref().expect("a ceiling");
    let entries: Vec<_> = ceiling.entries.iter().map(|entry| (&*entry.name, entry.origin.line)).collect();
    assert_eq!((ceiling.origin.line, entries), (86, vec![("company", 87), ("ceiling[1]", 90)]));
    assert_eq!(of_cluster.modules[0].stage, ModuleStage::Always);
}

#[test]
fn a_check_tells_good_bad_and_missing_files_apart() {
    let report = check(&[dir("good"), dir("bad/host-bits.yaml"), dir("none.yaml"), dir("good/json.json")]);
    assert_eq!((report.files.len(), report.exit_code()), (files("good").len() + 2, 2));
    assert_eq!(check(&[dir("good")]).exit_code(), 0);
    assert_eq!(check(&[dir("good"), dir("bad/host-bits.yaml")]).exit_code(), 1);
}

#[test]
fn a_policy_in_two_of_the_files_checked_is_refused() {
    let copy = tempfile::tempdir().expect("a directory");
    let copied = copy.path().join("copy.yaml");
    fs::copy(dir("good/updates.yaml"), &copied).expect("copied");
    let report = check(&[dir("good/updates.yaml"), copied]);
    let problems = report.files.iter().filter_map(|checked| match &checked.result {
        CheckResult::Bad(problems) => Some(problems),
        _ => None,
    });
    let reasons: Vec<_> = problems.flatten().map(|problem| &*problem.reason).collect();
    assert!(matches!(reasons[..], [reason] if reason.contains("updates/updates is also in")), "{reasons:?}");
}

#[test]
fn an_allow_that_a_deny_covers_whole_is_warned_of() {
    let check_spec = |spec: &str| {
        let file = tempfile::NamedTempFile::with_suffix(".yaml").expect("a file");
        let head = "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {name: a, namespace: a}\n";
        fs::write(
            file.path(),
            format!("{head}spec: {{podSelector: {{}}, mode: Enforce, scope: all, {spec}}}\n"),
        )
        .expect("written");
        let CheckResult::Good { warnings, .. } = check(&[file.path().into()]).files.remove(0).result else {
            panic!("not good")
        };
        warnings.len()
    };
    for (deny, allow, expected) in [
        ("{to: [{cidr: 10.0.0.0/8}]}", "{to: [{cidr: 10.1.0.0/16}]}", 1),
        ("{to: [{cidr: 10.0.0.0/8}]}", "{to: [{cidr: 10.1.0.0/16}, {fqdn: a.test}]}", 0),
        ("{to: [{cidr: 10.1.0.0/16}]}", "{to: [{cidr: 10.0.0.0/8}]}", 0),
        ("{to: [{cidr: 10.0.0.0/8}], ports: [{protocol: TCP}]}", "{to: [{cidr: 10.1.0.0/16}]}", 0),
        ("{to: [{service: {name: db}}]}", "{to: [{service: {name: db, namespace: a}}]}", 1),
        ("{to: [{service: {name: db}}]}", "{to: [{service: {name: db, namespace: b}}]}", 0),
        (
            "{to: [{pods: {podSelector: {}}}]}",
            "{to: [{pods: {podSelector: {}}}], ports: [{protocol: TCP}]}",
            1,
        ),
        (
            "{to: [{cidr: 10.0.0.0/8}], ports: [{protocol: TCP, port: 1, endPort: 1024}]}",
            "{to: [{cidr: 10.1.0.0/16}], ports: [{protocol: TCP, port: 22}]}",
            1,
        ),
    ] {
        assert_eq!(check_spec(&format!("deny: [{deny}], allow: [{allow}]")), expected, "{deny} {allow}");
    }
}

#[test]
fn a_megabyte_of_anything_is_refused_in_good_time() {
    let begin = std::time::Instant::now();
    for unit in [
        "[",
        "{a: ",
        "- ",
        "? ",
        "a: &a [*a]\n",
        "- &a x\n- *a\n",
        "---\n- x\n",
        "x: y\n",
        "\"",
        "- !t x\n",
        "#\n",
        "k",
    ] {
        let text = unit.repeat((1 << 20) / unit.len());
        assert!(parse("big.yaml", &text).is_err(), "{unit}");
    }
    assert!(begin.elapsed().as_secs() < 60, "{:?}", begin.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever a slip of the keyboard or half a write leaves of a good file: policies or problems, never a panic, and
    /// every problem can be shown.
    #[test]
    fn a_damaged_file_never_panics(
        pick in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..6),
    ) {
        let files = files("good");
        let mut bytes = pick.get(&files).1.clone().into_bytes();
        for (place, byte, kind) in damage {
            if bytes.is_empty() {
                break;
            }
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.truncate(at),
                2 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        for problem in parse_bytes(&"damaged.yaml".into(), bytes).err().into_iter().flatten() {
            let shown = format!("{:?}", miette::Report::new(problem));
            prop_assert!(!shown.is_empty());
        }
    }
}

#[test]
fn what_a_file_says_is_quoted_in_one_line_without_control_characters_and_not_at_any_length() {
    for (word, quoted) in [
        ("a\\nb".to_owned(), "`a\\nb`"),
        ("\\e[2Jgone".to_owned(), "`\\u{1b}[2Jgone`"),
        ("a\\u202eb".to_owned(), "`a\\u{202e}b`"),
        ("it's \\\"é\\\"".to_owned(), "`it's \"é\"`"),
        ("x".repeat(100_000), "xxx…"),
    ] {
        let text = format!("apiVersion: egret.dev/v1alpha1\nkind: \"{word}\"\n");
        let problems = parse("a.yaml", &text).expect_err("no such kind");
        let reason = &problems[0].reason;
        assert!(reason.contains(quoted), "{reason}");
        assert!(!reason.contains(char::is_control) && reason.len() < 2000, "{reason}");
    }
}
