//! From flows that an agent tells to cases, to one attempt, and to what a new version would change.

use std::fs;
use std::path::Path;
use std::process::Output;

use egret::model::{Action, FlowRecord, Reason, Verdict};
use serde_json::Value;

use crate::memory::{Served, record};
use crate::{egret, root, told};

/// Builds the module whose crate is in `folder` as `name` into `dir`.
fn build(dir: &Path, folder: &str, name: &str) {
    let crate_folder = root().join(folder);
    let wasm = dir.join(name);
    told(&crate_folder, &["module", "build", "--out", wasm.to_str().expect("a plain path")]);
    // A slow machine needs longer than an agent gives.
    fs::write(wasm.with_extension("yaml"), "limits: {time: 900ms}\n").expect("written");
}

/// A denial of port 81 by the module.
fn denied_by_module() -> FlowRecord {
    let mut record = record("shop", "web", 3);
    record.destination.port = 81;
    let denied = Verdict {
        module: Some("obedient".into()),
        policy: Some("shop/web".into()),
        rule: Some("module/obedient".into()),
        message: Some("81 is closed".into()),
        ..Verdict::of(Action::Deny, Reason::Module)
    };
    (record.applied, record.observed) = (denied.clone(), denied);
    record
}

fn flows(served: &Served, arguments: &[&str]) -> String {
    let socket = served.socket.to_str().expect("a plain path");
    told(Path::new("/"), &[&["flows", "--socket", socket], arguments].concat())
}

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

#[test]
fn flows_of_an_agent_become_cases_that_the_module_answers() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    build(dir, "tests/modules/obedient", "obedient.wasm");
    let served = Served::start();
    served.memory.happens(denied_by_module());

    let cases = flows(&served, &["--as-case"]);
    insta::assert_snapshot!("flows_as_cases", cases);
    let write = |text: &str| fs::write(dir.join("cases.yaml"), text).expect("written");
    write(&format!("settings: {{deny: [81], seconds: 60}}\n{cases}"));
    let tested = told(dir, &["module", "test", "obedient.wasm"]);
    assert!(tested.contains("3 cases passed, 0 failed"), "{tested}");

    // Whoever wants it otherwise changes the word, and then the module.
    let wanted = cases.replace("expect: next", "expect: allow");
    write(&format!("settings: {{deny: [81], seconds: 60}}\n{wanted}"));
    let output = egret(dir, &["module", "test", "obedient.wasm"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("expected allow, answered next"), "{}", text(&output));
    write(&format!("settings: {{allow: [443, 22], deny: [81], seconds: 60}}\n{wanted}"));
    assert!(told(dir, &["module", "test", "obedient.wasm"]).contains("3 cases passed, 0 failed"));

    let none = flows(&served, &["--as-case", "--denied", "--workload", "a/b"]);
    assert_eq!(none, "# No flow was denied.\n");
    let mixed = egret(dir, &["flows", "--as-case", "-o", "json"]);
    assert_eq!(mixed.status.code(), Some(2), "{}", text(&mixed));
}

#[test]
fn one_captured_flow_is_asked_about_in_either_form() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    build(dir, "tests/modules/obedient", "obedient.wasm");
    let served = Served::start();
    served.memory.happens(denied_by_module());
    fs::write(dir.join("settings.yaml"), "{deny: [81], seconds: 60}").expect("written");
    fs::write(dir.join("all.json"), flows(&served, &["-o", "json"])).expect("written");
    let of_shop = ["--workload", "shop/web"];
    fs::write(dir.join("flow.json"), flows(&served, &[&of_shop[..], &["-o", "json"]].concat()))
        .expect("written");
    let case = flows(&served, &[&of_shop[..], &["--as-case"]].concat());
    fs::write(dir.join("case.yaml"), format!("settings: {{deny: [81], seconds: 60}}\n{case}"))
        .expect("written");
    for arguments in
        [&["--flow", "flow.json", "--settings", "settings.yaml"][..], &["--attempt", "case.yaml"]]
    {
        let asked = told(dir, &[&["module", "run", "obedient.wasm"], arguments].concat());
        assert!(asked.starts_with("deny: 81 is closed\ncounts for this workload"), "{arguments:?}: {asked}");
    }
    for (file, words) in [
        ("all.json", "it holds 3 attempts, and one is asked about"),
        ("settings.yaml", "egret flows --as-case"),
        ("nowhere.json", "No such file"),
    ] {
        let output = egret(dir, &["module", "run", "obedient.wasm", "--flow", file]);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains(words), "{}", text(&output));
    }
}

#[test]
fn what_a_new_version_changes_is_listed_and_has_a_code_of_its_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    build(dir, "tests/modules/obedient", "obedient.wasm");
    build(dir, "policies-wasm/geo-table", "geo-table.wasm");
    let served = Served::start();
    served.memory.happens(denied_by_module());
    let write = |name: &str, text: &str| fs::write(dir.join(name), text).expect("written");
    write("flows.json", &flows(&served, &["-o", "json"]));
    write("cases.yaml", &flows(&served, &["--as-case"]));
    write("old.yaml", "{deny: [81], allow: [22, 443], seconds: 60}");
    write("new.yaml", "{deny: [81], allow: [443], panic: [22], seconds: 60, byName: true}");
    write("table.yaml", "{table: {AA: [192.0.2.0/24]}, deny: [AA]}");
    let diff = |flows: &str, more: &[&str]| {
        let new = more.first().copied().unwrap_or("obedient.wasm");
        let more = more.get(1..).unwrap_or_default();
        let arguments = ["module", "diff", "obedient.wasm", new, "--flows", flows, "--settings", "old.yaml"];
        egret(dir, &[&arguments, more].concat())
    };

    let same = diff("flows.json", &[]);
    assert_eq!((same.status.code(), text(&same).as_str()), (Some(0), "none of 3 flows changes\n"));

    // The one that has a name counts by it now, another fails, the third has no name.
    for flows in ["flows.json", "cases.yaml"] {
        let changed = diff(flows, &["obedient.wasm", "--new-settings", "new.yaml"]);
        let told = text(&changed);
        assert_eq!(changed.status.code(), Some(5), "{told}");
        assert!(
            told.contains("allow by address for 60 s") && told.contains("allow by name for 60 s"),
            "{told}"
        );
        assert!(told.contains("fault: the module trapped"), "{told}");
        assert!(told.ends_with("2 of 3 flows change: 1 allow -> allow, 1 allow -> fault\n"), "{told}");
    }

    let other = diff("flows.json", &["geo-table.wasm", "--new-settings", "table.yaml", "-o", "json"]);
    assert_eq!(other.status.code(), Some(5), "{}", text(&other));
    let report: Value = serde_json::from_slice(&other.stdout).expect("JSON");
    let of = |address: &str| {
        let rows = report["rows"].as_array().expect("rows").iter();
        rows.filter(|row| row["attempt"]["address"] == address)
            .map(|row| row["to"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("192.0.2.1")[0]["reason"], "192.0.2.1 is in AA");
    assert_eq!(of("2001:db8::1")[0]["answer"], "next");
    assert_eq!((&report["flows"], &report["changed"]), (&3.into(), &3.into()));

    // Settings that neither version takes.
    write("old.yaml", "{close: true}");
    let unanswered = diff("flows.json", &[]);
    assert_eq!(unanswered.status.code(), Some(1));
    assert!(text(&unanswered).contains("neither version answers 3 flows"), "{}", text(&unanswered));
    for (flows, words) in [("nowhere.json", "No such file"), ("old.yaml", "close")] {
        let output = diff(flows, &[]);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains(words), "{}", text(&output));
    }
}
