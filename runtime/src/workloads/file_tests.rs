use miette::{GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::*;

use super::*;

const GOOD: &str = "\
namespaces:
- {name: payment, labels: {tier: prod, example.com/team: money}}
workloads:
- namespace: payment
  name: api-0
  labels: {app: payment, version: \"1.2\"}
  serviceAccount: payment
  netns: payment
- namespace: updates
  name: update.0
  interface: veth1234
  addresses: [10.0.0.7, \"fd00::7\"]
  resolvers: [10.0.0.53]
";

#[test]
fn a_good_file_is_read_as_yaml_and_as_json() {
    let json = r#"{"namespaces": [{"name": "payment", "labels": {"tier": "prod", "example.com/team": "money"}}],
        "workloads": [
            {"namespace": "payment", "name": "api-0", "labels": {"app": "payment", "version": "1.2"},
             "serviceAccount": "payment", "netns": "payment"},
            {"namespace": "updates", "name": "update.0", "interface": "veth1234",
             "addresses": ["10.0.0.7", "fd00::7"], "resolvers": ["10.0.0.53"]}]}"#;
    let file = parse("workloads.yaml", GOOD).unwrap();
    assert_eq!(file.namespaces[0].labels["example.com/team"], "money");
    let [first, second] = &file.workloads[..] else { panic!("two workloads") };
    assert_eq!(
        (first.id.to_string(), &first.place),
        ("payment/api-0".into(), &Place::Netns("payment".into()))
    );
    assert_eq!((first.service_account.as_deref(), &first.labels["version"][..]), (Some("payment"), "1.2"));
    assert_eq!((&first.addresses[..], &first.resolvers), (&[][..], &None));
    assert_eq!(second.place, Place::Interface("veth1234".into()));
    assert_eq!(second.addresses, ["10.0.0.7".parse::<IpAddr>().unwrap(), "fd00::7".parse().unwrap()]);
    assert_eq!(second.resolvers, Some(vec!["10.0.0.53".parse().unwrap()]));
    assert_eq!(parse("workloads.json", json).unwrap(), file);
    assert_eq!(parse("empty", "workloads: []").unwrap(), WorkloadsFile::default());
    let of_node = parse("of-node", &workload("cgroup: /sys/fs/cgroup/system.slice/ntp.service")).unwrap();
    let path = "/sys/fs/cgroup/system.slice/ntp.service".to_owned();
    assert_eq!(of_node.workloads[0].place, Place::Cgroup(path));
}

/// A workload in flow style, with `fields` in place of its `netns`.
fn workload(fields: &str) -> String {
    format!("workloads:\n- {{namespace: a, name: b, {fields}}}\n")
}

#[test]
fn every_mistake_has_its_place_its_reason_and_its_fix() {
    let mut wrong = Vec::new();
    let long = "x".repeat(64);
    let many =
        format!("netns: x, addresses: [{}]", (1..18).map(|n| format!("10.0.0.{n},")).collect::<String>());
    for (text, expected) in [
        ("workload: []\n".to_owned(), "1:1: unknown field `workload`"),
        (workload("netns: x, colour: red"), "2:37: unknown field `colour`"),
        (workload("netns: x, netns: y"), "2:37: duplicate mapping key `netns`"),
        ("namespaces: [{name: a, label: {}}]".into(), "1:24: unknown field `label`"),
        ("workloads:\n- {name: b, netns: x}\n".into(), "2:13: missing field `namespace`"),
        (workload(""), "2:3: the workload has neither `netns` nor `interface`"),
        (workload("cgroup: /a, netns: x"), "2:35: the workload has `cgroup` and another place"),
        (workload("cgroup: a"), "2:35: `a` is not the path of a control group"),
        (workload("cgroup: /a/../b"), "2:35: `/a/../b` is not the path of a control group"),
        (workload("netns: x, interface: y"), "2:48: the workload has both `netns` and `interface`"),
        (workload("netns: ''"), "2:34: `` is not a network namespace"),
        (workload("netns: .."), "2:34: `..` is not a network namespace"),
        (workload("netns: run/netns/x"), "2:34: `run/netns/x` is not a network namespace"),
        (workload("netns: \"x\\u0000\""), "2:34: `x\\0` is not a network namespace"),
        (workload("interface: a-name-of-16-byt"), "2:38: `a-name-of-16-byt` is not an interface"),
        (workload("interface: 'veth0@if3 '"), "2:38: `veth0@if3 ` is not an interface"),
        (workload("netns: x, serviceAccount: Big"), "2:53: `Big` is not the name of a service account"),
        (workload("netns: x, labels: {-app: y}"), "2:52: `-app` is not the key of a label"),
        (workload("netns: x, labels: {a/b/c: y}"), "2:53: `a/b/c` is not the key of a label"),
        (workload("netns: x, labels: {app: y z}"), "2:51: `y z` is not a value for the label `app`"),
        (workload(&format!("netns: x, labels: {{app: {long}}}")), "2:51: `"),
        (workload("netns: x, addresses: [10.0.0.1/24]"), "2:49: `10.0.0.1/24` is not an address"),
        (workload("netns: x, addresses: [0.0.0.0]"), "2:49: `0.0.0.0` is an unspecified address"),
        (workload("netns: x, addresses: [127.0.0.1]"), "2:49: `127.0.0.1` is a loopback address"),
        (workload("netns: x, addresses: ['ff02::1']"), "2:49: `ff02::1` is a multicast address"),
        (
            workload("netns: x, addresses: [255.255.255.255]"),
            "2:49: `255.255.255.255` is a broadcast address",
        ),
        (
            workload("netns: x, addresses: ['::ffff:10.0.0.1']"),
            "2:49: `::ffff:10.0.0.1` is an IPv4 address in",
        ),
        (workload("netns: x, addresses: [10.0.0.1, 10.0.0.1]"), "2:59: `10.0.0.1` is listed twice"),
        (workload("netns: x, addresses: []"), "2:48: the list is empty"),
        (workload(&many), "2:48: the list has more than 16 addresses"),
        (workload("netns: x, resolvers: ['::1']"), "2:49: `::1` is a loopback address"),
        ("workloads: []\nnamespaces: [{name: A}]".into(), "2:21: `A` is not a namespace"),
        (
            "workloads: []\nnamespaces: [{name: a},\n {name: a}]".into(),
            "3:9: the namespace `a` is already on line 2",
        ),
        ("workloads: [{namespace: a.b, name: c, netns: x}]".into(), "1:25: `a.b` is not a namespace"),
        (
            "workloads: [{namespace: a, name: -c, netns: x}]".into(),
            "1:34: `-c` is not the name of a workload",
        ),
        (
            format!("{}- {{namespace: a, name: b, netns: y}}\n", workload("netns: x")),
            "3:24: the workload `a/b` is already on line 2",
        ),
        (
            format!("{}- {{namespace: a, name: c, netns: /var/run/netns/x}}\n", workload("netns: x")),
            "3:34: another workload is in the same place, on line 2",
        ),
        (
            format!("{}- {{namespace: a, name: c, interface: x}}\n", workload("interface: x")),
            "3:38: another workload is in the same place, on line 2",
        ),
        ("namespaces: []\n".into(), "1:1: missing field `workloads`"),
        (String::new(), "1:1: unexpected end of file"),
        ("# nothing\n".into(), "2:1: unexpected end of file"),
        ("workloads: [".into(), "1:12: unclosed bracket"),
        ("workloads:\n\t- x".into(), "2:2: tabs disallowed"),
        ("workloads: []\n---\nworkloads: []\n".into(), "3:1: only single YAML document expected"),
        ("workloads: 7".into(), "1:12: expected a list"),
        ("a: &a [x, x]\nworkloads: [<<: *a]".into(), "1:1: unknown field `a`"),
    ] {
        let error = parse("w.yaml", &text).expect_err(&text).to_string();
        let (place_and_reason, fix) = error.split_once("; ").unwrap_or_default();
        let good = place_and_reason.starts_with(&format!("w.yaml:{expected}")) && !fix.is_empty();
        if !good || error.lines().count() != 1 {
            wrong.push(format!("{text}\n  expected {expected}\n  found    {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file_and_their_number_is_bounded() {
    let text = "workloads:\n- {namespace: A, name: b, netns: x}\nnamespaces: [{name: B}]\n";
    let error = parse("w.yaml", text).unwrap_err();
    let lines: Vec<u32> = error.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [2, 3]);
    let many: String = (0..100).map(|n| format!("- {{namespace: A, name: n{n}, netns: n{n}}}\n")).collect();
    assert_eq!(parse("w.yaml", &format!("workloads:\n{many}")).unwrap_err().problems.len(), MAX_PROBLEMS);
}

#[test]
fn a_mistake_is_shown_in_its_line_with_its_fix() {
    let error = parse("w.yaml", &workload("netns: x, addresses: [127.0.0.1]")).unwrap_err();
    let mut shown = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
    handler.render_report(&mut shown, &error).unwrap();
    for part in
        ["w.yaml:2:49", "{namespace: a, name: b", "127.0.0.1` is a loopback", "help: give the workload's own"]
    {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
}

#[test]
fn a_file_that_would_grow_beyond_its_bounds_is_refused_in_good_time() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for n in 1..20 {
        bomb += &format!("a{n}: &a{n} [{}]\n", format!("*a{},", n - 1).repeat(9));
    }
    let workloads = |count: usize| -> String {
        let lines = (0..count).map(|n| format!("- {{namespace: a, name: n{n}, netns: n{n}}}\n"));
        format!("workloads:\n{}", lines.collect::<String>())
    };
    assert_eq!(parse("w.yaml", &workloads(MAX_WORKLOADS)).unwrap().workloads.len(), MAX_WORKLOADS);
    for (what, text) in [
        ("aliases", format!("{bomb}workloads: *a19\n")),
        (
            "aliases where a workload should be",
            format!("workloads:\n- &a {{namespace: a, name: b, netns: c}}\n{}", "- *a\n".repeat(20_000)),
        ),
        ("nesting", "[".repeat(100_000)),
        ("block nesting", "- ".repeat(100_000)),
        ("length", format!("#{}", "x".repeat(MAX_FILE_BYTES as usize))),
        ("workloads", workloads(MAX_WORKLOADS + 1)),
    ] {
        let start = std::time::Instant::now();
        assert!(parse("w.yaml", &text).is_err(), "{what}");
        assert!(start.elapsed().as_secs() < 10, "{what} took {:?}", start.elapsed());
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.yaml");
    let refused = |path: &Path| read(path).unwrap_err().to_string();
    assert!(refused(&path).contains("w.yaml: the file cannot be read: No such file"), "{}", refused(&path));
    assert!(refused(folder.path()).contains("it is not a regular file"));
    std::fs::write(&path, b"workloads: []\n# \xff\n").unwrap();
    assert!(refused(&path).contains("line 2 is not UTF-8"), "{}", refused(&path));
    std::fs::write(&path, GOOD).unwrap();
    assert_eq!(read(&path).unwrap(), parse("w.yaml", GOOD).unwrap());
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(
        changes in prop::collection::vec((0..GOOD.len(), "[\\[\\]{}:,&*!|>'\"%@`\\-? \t\nx0<é]"), 0..8),
    ) {
        let mut text = GOOD.to_owned();
        for (at, piece) in changes {
            if text.is_char_boundary(at) {
                text.insert_str(at, &piece);
            }
        }
        if let Err(error) = parse("w.yaml", &text) {
            prop_assert!(!error.problems.is_empty());
            let mut shown = String::new();
            let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
            prop_assert!(handler.render_report(&mut shown, &error).is_ok());
        }
    }
}
