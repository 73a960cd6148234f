//! `docs/names.md` promises a test for each rule about names: each one that it names is there.

#![allow(missing_docs, reason = "a test file has no reader of its documentation")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_test_that_a_rule_about_names_is_held_by_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let table = fs::read_to_string(root.join("docs/names.md")).expect("docs/names.md");
    let tests: BTreeSet<&str> = table
        .lines()
        .filter(|line| line.starts_with('|'))
        .filter_map(|line| line.trim_end_matches('|').rsplit('|').next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    assert!(tests.len() > 30, "the table is read");
    let mut sources = String::new();
    for room in ["ebpf/decide/src", "runtime/src", "sdk/contract/src", "tests/netns"] {
        read_all(&root.join(room), &mut sources);
    }
    let missing: Vec<_> = tests.iter().filter(|test| !sources.contains(&format!("fn {test}("))).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

fn read_all(path: &PathBuf, sources: &mut String) {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path());
        entries.for_each(|entry| read_all(&entry, sources));
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        sources.push_str(&fs::read_to_string(path).expect("a source file"));
    }
}
