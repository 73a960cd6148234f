//! `deploy/crds` holds the definitions that `cluster::objects` gives, word for word. With `EGRET_WRITE=1` it is written.

#![allow(missing_docs, reason = "a test file has no reader of its documentation")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use egret::cluster::objects::definitions;

#[test]
fn the_definitions_of_objects_are_what_the_code_gives() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/crds");
    let definitions = definitions().expect("they are written");
    let named: BTreeSet<_> = definitions.iter().map(|(name, _)| name.clone()).collect();
    if std::env::var_os("EGRET_WRITE").is_some() {
        fs::create_dir_all(&folder).expect("made");
        for (name, text) in &definitions {
            fs::write(folder.join(name), text).expect("written");
        }
    }
    for (name, text) in &definitions {
        let found = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert_eq!(
            &found, text,
            "{name} is not what the code gives: EGRET_WRITE=1 cargo test -p egret --test definitions"
        );
    }
    let entries = fs::read_dir(&folder).expect("it is there");
    let found: BTreeSet<_> =
        entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(found, named);
}
