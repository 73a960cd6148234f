//! Each module of `policies-wasm` answers its cases as Wasm, too, and says what it is.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::{root, told};

fn shipped() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("policies-wasm")).expect("readable");
    let mut dirs: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    dirs.retain(|dir| dir.join("Cargo.toml").is_file());
    dirs.sort();
    assert!(dirs.len() >= 9, "{dirs:?}");
    dirs
}

#[test]
fn the_modules_that_are_shipped_answer_their_cases_as_wasm() {
    let modules = tempfile::tempdir().expect("a folder");
    for dir in shipped() {
        let name = dir.file_name().expect("a name").to_string_lossy().into_owned();
        let wasm = modules.path().join(format!("{name}.wasm"));
        let wasm = wasm.to_str().expect("a plain path");
        told(&dir, &["module", "build", "--out", wasm]);
        let manifest = dir.join(format!("{name}.yaml"));
        if manifest.exists() {
            fs::copy(&manifest, modules.path().join(format!("{name}.yaml"))).expect("copied");
        }
        let lines = told(&dir, &["module", "test", wasm, "--cases", "cases.yaml", "-o", "json"]);
        let lines: Vec<Value> = serde_json::from_str(&lines).expect("JSON");
        assert!(lines.len() >= 4 && lines.iter().all(|line| line["ok"] == true), "{name}: {lines:?}");

        let about: Value =
            serde_json::from_str(&told(&dir, &["module", "inspect", wasm, "-o", "json"])).expect("JSON");
        assert_eq!(about["name"], name.as_str());
        assert!(about["settings"]["properties"].is_object(), "{name} has a schema: {about}");
        let advice =
            crate::egret(&dir, &["module", "lint", wasm, "--cases", "cases.yaml", "-o", "json"]).stdout;
        let advice: Vec<Value> = serde_json::from_slice(&advice).expect("JSON");
        assert!(advice.iter().all(|advice| advice["about"] == "digest"), "{name}: {advice:?}");
        assert!(!about["imports"].to_string().contains("wasi"), "{name}: {about}");
        let readme = fs::read_to_string(dir.join("README.md")).expect("a README");
        assert!(readme.starts_with(&format!("# {name}\n")), "{name}: {readme}");
    }
}
