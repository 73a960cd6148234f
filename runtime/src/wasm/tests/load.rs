//! What is loaded, what is refused, and what is kept.

use super::made::{Made, of_world, plain};
use super::{attempt, engine, generous};
use crate::wasm::{Answer, Compiler, Engine, Grants, Input, Manifest};

fn refused(module: &[u8], manifest: &Manifest) -> String {
    engine().load("test", module, manifest).expect_err("refused").to_string()
}

const LOG: &str = r#"(import "egret:policy/log@0.1.0" "write" (func (param i32 i32 i32)))"#;
const HITS: &str = r#"(import "egret:policy/counters@0.1.0" "hits" (func (param i32 i32 i32) (result i32)))"#;
const NOW: &str = r#"(import "egret:policy/clock@0.1.0" "now" (func (result i64)))"#;

#[test]
fn the_digest_of_the_manifest_must_be_that_of_the_file() {
    let module = plain();
    let loaded = engine().load("test", &module, &generous()).expect("loaded");
    let with = |digest: String| Manifest { digest: Some(digest), ..generous() };
    for digest in [loaded.digest().to_owned(), format!("sha256:{}", loaded.digest().to_uppercase())] {
        assert!(engine().load("test", &module, &with(digest)).is_ok());
    }
    let told = refused(&module, &with("sha256:00".to_owned()));
    assert_eq!(told, format!("the digest is sha256:{}, the manifest says sha256:00", loaded.digest()));
}

#[test]
fn what_is_imported_must_be_granted_and_declared() {
    let none = Manifest { grants: Grants::default(), ..generous() };
    for (imports, inputs, granted, not_declared) in [
        (LOG, &[][..], "log", None),
        (
            HITS,
            &[5],
            "counters",
            Some("the module imports counters and does not declare the input `counters`"),
        ),
        (NOW, &[4], "clock", Some("the module imports clock and does not declare the input `time`")),
    ] {
        let module = Made { imports, inputs, ..Made::default() }.component();
        let told = refused(&module, &none);
        let words = format!("the module imports egret:policy/{granted}, which it was not granted");
        assert!(told.starts_with(&words), "{told}");
        let loaded = engine().load("test", &module, &generous()).expect("granted");
        assert_eq!(loaded.imports(), [granted]);
        if let Some(words) = not_declared {
            assert_eq!(refused(&Made { imports, ..Made::default() }.component(), &generous()), words);
        }
    }
}

#[test]
fn an_import_that_no_module_gets_is_named() {
    let module = Made {
        imports: r#"(import "a:b/files" "read" (func))"#,
        packages: &[("a.wit", "package a:b; interface files { read: func(); }")],
        world: "import a:b/files;",
        ..Made::default()
    };
    assert_eq!(
        refused(&module.component(), &generous()),
        "the module imports a:b/files, which no module gets"
    );
}

#[test]
fn an_export_that_is_missing_or_of_another_type_is_named() {
    let missing = of_world(
        "package test:test; world test { export describe: func(); }",
        r#"(module (func (export "describe")))"#,
    );
    let told = refused(&missing, &generous());
    assert!(told.starts_with("the module does not export configure;"), "{told}");
    let other = of_world(
        "package test:test; world test { export describe: func(); export configure: func(); export decide: func(); }",
        r#"(module (func (export "describe")) (func (export "configure")) (func (export "decide")))"#,
    );
    let told = refused(&other, &generous());
    assert!(told.starts_with("the module does not fit egret:policy@0.1: "), "{told}");
}

#[test]
fn a_description_that_breaks_the_contract_is_refused() {
    let twice = Made { inputs: &[4, 4], ..Made::default() }.component();
    let told = refused(&twice, &generous());
    assert_eq!(told, "the module's description is wrong: it declares the input `time` twice");
    let long = Made { more: r#"(data (i32.const 1024) "\00\00\00\00\ff\00\00\00")"#, ..Made::default() };
    let told = refused(&long.component(), &generous());
    assert_eq!(told, "the module's description is wrong: its summary has 255 bytes; the most is 200");
    let schema = Made {
        more: r#"(data (i32.const 1048) "\00\10\00\00\01\00\00\00") (data (i32.const 4096) "{")"#,
        ..Made::default()
    };
    let told = refused(&schema.component(), &generous());
    assert!(told.contains("its settings' schema is no JSON"), "{told}");
    let good = Made { inputs: &[4, 2], ..Made::default() }.component();
    let module = engine().load("test", &good, &generous()).expect("loaded");
    assert_eq!(module.description().inputs, [Input::Names, Input::Time]);
}

#[test]
fn what_was_compiled_once_is_revived_without_a_compiler() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = dir.path().join("modules");
    let module = plain();
    let none = Compiler::Program("/bin/false".into());
    let warm = || Engine::with(Some(&cache), none.clone(), false).expect("an engine");
    assert!(warm().load("test", &module, &generous()).is_err(), "nothing is there yet");
    let compiles = Engine::with(Some(&cache), Compiler::Here, false).expect("an engine");
    compiles.load("test", &module, &generous()).expect("compiled");
    let loaded = warm().load("test", &module, &generous()).expect("revived");
    let policy = loaded.configure(&serde_json::Value::Null).expect("configured");
    assert_eq!(policy.decide(&attempt()).map(|decision| decision.answer), Ok(Answer::Allow));
    // An engine of other settings needs other code.
    let counts = Engine::with(Some(&cache), none, true).expect("an engine");
    assert!(counts.load("test", &module, &generous()).is_err());
}

#[test]
fn forged_code_in_the_cache_is_not_run() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = dir.path().join("modules");
    let module = plain();
    let engine = || Engine::with(Some(&cache), Compiler::Here, false).expect("an engine");
    engine().load("test", &module, &generous()).expect("compiled");
    let kept = std::fs::read_dir(&cache).expect("readable").flatten().map(|entry| entry.path());
    let kept = kept.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm"));
    let [path] = &kept.collect::<Vec<_>>()[..] else { panic!("one file") };
    let mut code = std::fs::read(path).expect("readable");
    let middle = code.len() / 2;
    code[middle] ^= 0xff;
    std::fs::write(path, &code).expect("written");
    let none = Engine::with(Some(&cache), Compiler::Program("/bin/false".into()), false).expect("an engine");
    assert!(none.load("test", &module, &generous()).is_err(), "it was not taken from the cache");
    engine().load("test", &module, &generous()).expect("compiled again");
}
