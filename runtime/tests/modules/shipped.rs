//! Each module of `policies-wasm` answers its cases as Wasm, too, and says what it is.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{root, told};

/// The modules that are written in a language, by the file that says so.
fn shipped(file: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("policies-wasm")).expect("readable");
    let mut dirs: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    dirs.retain(|dir| dir.join(file).is_file());
    dirs.sort();
    dirs
}

fn name(dir: &Path) -> String {
    dir.file_name().expect("a name").to_string_lossy().into_owned()
}

/// Builds the module in `dir` into the folder `modules`, with its manifest beside it. The file, and what is told of it.
fn built(dir: &Path, modules: &Path) -> (String, Value) {
    let name = name(dir);
    let wasm = modules.join(format!("{name}.wasm"));
    let wasm = wasm.to_str().expect("a plain path").to_owned();
    let about = told(dir, &["module", "build", "--out", &wasm, "-o", "json"]);
    let manifest = dir.join(format!("{name}.yaml"));
    if manifest.exists() {
        fs::copy(&manifest, modules.join(format!("{name}.yaml"))).expect("copied");
    }
    (wasm, serde_json::from_str(&about).expect("JSON"))
}

fn answers_its_cases(dir: &Path, wasm: &str) {
    let lines = told(dir, &["module", "test", wasm, "--cases", "cases.yaml", "-o", "json"]);
    let lines: Vec<Value> = serde_json::from_str(&lines).expect("JSON");
    assert!(lines.len() >= 4 && lines.iter().all(|line| line["ok"] == true), "{wasm}: {lines:?}");
    let readme = fs::read_to_string(dir.join("README.md")).expect("a README");
    assert!(readme.starts_with(&format!("# {}\n", name(dir))), "{wasm}: {readme}");
}

#[test]
fn the_modules_in_rust_answer_their_cases_as_wasm() {
    let modules = tempfile::tempdir().expect("a folder");
    let dirs = shipped("Cargo.toml");
    assert!(dirs.len() >= 9, "{dirs:?}");
    for dir in dirs {
        let (name, (wasm, _)) = (name(&dir), built(&dir, modules.path()));
        let wasm = wasm.as_str();
        answers_its_cases(&dir, wasm);
        let about: Value =
            serde_json::from_str(&told(&dir, &["module", "inspect", wasm, "-o", "json"])).expect("JSON");
        assert_eq!(about["name"], name.as_str());
        assert!(about["settings"]["properties"].is_object(), "{name} has a schema: {about}");
        let advice =
            crate::egret(&dir, &["module", "lint", wasm, "--cases", "cases.yaml", "-o", "json"]).stdout;
        let advice: Vec<Value> = serde_json::from_slice(&advice).expect("JSON");
        assert!(advice.iter().all(|advice| advice["about"] == "digest"), "{name}: {advice:?}");
        assert!(!about["imports"].to_string().contains("wasi"), "{name}: {about}");
    }
}

/// Compiling them takes seconds each time: they are looked at once.
#[test]
fn the_modules_in_python_and_javascript_are_built_and_answer_their_cases_as_wasm() {
    let modules = tempfile::tempdir().expect("a folder");
    for (file, imports) in [("pyproject.toml", "[\"wasi\"]"), ("package.json", "[]")] {
        let [dir] = &shipped(file)[..] else { panic!("one module with a {file}") };
        let (wasm, about) = built(dir, modules.path());
        assert_eq!(about["imports"].to_string(), imports, "{about}");
        answers_its_cases(dir, &wasm);
    }
}
