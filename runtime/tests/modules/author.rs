//! From an empty folder to a tested module.

use std::fs;
use std::process::Command;

use crate::{egret, root, told};

#[test]
fn a_new_module_works_as_it_is_and_fails_where_its_cases_say_otherwise() {
    let dir = tempfile::tempdir().expect("a folder");
    let sdk = root().join("sdk");
    let sdk = sdk.to_str().expect("a plain path");
    told(dir.path(), &["module", "new", "lunch-break", "--sdk", sdk]);
    let made = dir.path().join("lunch-break");
    // What is fetched here is what the repository was built with.
    fs::copy(root().join("Cargo.lock"), made.join("Cargo.lock")).expect("copied");

    let built = told(&made, &["module", "build"]);
    assert!(built.starts_with("./lunch-break.wasm: ") && built.contains("depends on names"), "{built}");
    let tested = told(&made, &["module", "test"]);
    assert!(tested.contains("4 cases passed, 0 failed"), "{tested}");
    let linted = egret(&made, &["module", "lint"]);
    assert!(String::from_utf8_lossy(&linted.stdout).contains("its manifest says no digest"));

    fs::write(made.join("attempt.yaml"), "{names: [shop.example.com]}").expect("written");
    fs::write(made.join("settings.yaml"), "{closed: [\"**.example.com\"]}").expect("written");
    let asked = told(&made, &["module", "run", "--attempt", "attempt.yaml", "--settings", "settings.yaml"]);
    assert!(asked.starts_with("deny: shop.example.com is closed\ncounts for this workload"), "{asked}");
    let measured = told(&made, &["module", "bench", "--seconds", "0.05", "-o", "json"]);
    assert!(measured.contains("\"what\":\"fresh\""), "{measured}");

    let cases = fs::read_to_string(made.join("cases.yaml")).expect("readable");
    fs::write(made.join("cases.yaml"), cases.replace("expect: next", "expect: allow")).expect("written");
    let output = egret(&made, &["module", "test"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("expected allow, answered next") && text.contains("2 cases passed, 2 failed"),
        "{text}"
    );

    fs::write(made.join("cases.yaml"), cases.replace("fuel: 1000000", "fuel: 10")).expect("written");
    let text = String::from_utf8_lossy(&egret(&made, &["module", "test"]).stdout).into_owned();
    assert!(text.contains("of fuel, the budget is 10"), "{text}");
}

#[test]
fn what_one_command_compiled_the_next_one_finds() {
    let home = tempfile::tempdir().expect("a folder");
    // Refused once it is compiled: it exports nothing.
    fs::write(home.path().join("empty.wasm"), wat::parse_str("(component)").expect("Wasm")).expect("written");
    let inspect = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
        command.args(["module", "inspect", "empty.wasm"]).current_dir(home.path()).env("HOME", home.path());
        let output = command.output().expect("egret runs");
        assert!(String::from_utf8_lossy(&output.stderr).contains("does not export describe"));
    };
    let kept = || {
        let files = fs::read_dir(home.path().join(".cache/egret/compiled")).expect("a folder").flatten();
        let written = files.map(|file| file.metadata().and_then(|about| about.modified()).expect("a time"));
        written.collect::<Vec<_>>()
    };
    inspect();
    let first = kept();
    assert_eq!(first.len(), 2, "the key and the code");
    inspect();
    assert_eq!(kept(), first, "it was compiled and written again");
    // A folder that others may enter is not used, and nothing fails.
    let folder = home.path().join(".cache/egret/compiled");
    fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
    inspect();
}

#[test]
fn what_cannot_be_made_or_read_is_told_with_the_code_for_it() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("there")).expect("made");
    fs::write(dir.path().join("text.wasm"), "no wasm").expect("written");
    for (arguments, code, words) in [
        (&["module", "new", "Upper"][..], 2, "is no name of a module"),
        (&["module", "new", "there"], 2, "is there already"),
        (&["module", "new", "other", "--sdk", "/nowhere"], 2, "is no folder of the SDK"),
        (&["module", "build"], 2, "egret module new NAME"),
        (&["module", "inspect", "text.wasm"], 1, "this is not Wasm"),
        (&["module", "inspect", "nowhere.wasm"], 2, "No such file"),
        (&["module", "test", "there"], 2, "egret module build"),
    ] {
        let output = egret(dir.path(), arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
}
