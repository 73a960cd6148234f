//! The compiler's process, and what ends it.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use egret::wasm::{Compiler, Engine, Manifest, Refused};
use tempfile::TempDir;

/// An engine whose compiler is the program itself, in a folder that anybody may enter: it runs as nobody.
fn engine(folder: &TempDir) -> Engine {
    let program = folder.path().join("egret");
    fs::copy(env!("CARGO_BIN_EXE_egret"), &program).expect("copied");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("open to all");
    Engine::with(None, Compiler::Program(program), false).expect("an engine")
}

/// A component of one core module with so many functions of so many additions each.
fn large(functions: usize, additions: usize) -> Vec<u8> {
    let body = "(i32.add (local.get 0) ".repeat(additions) + "(local.get 0)" + &")".repeat(additions);
    let functions = format!("(func (param i32) (result i32) {body})").repeat(functions);
    wat::parse_str(format!("(component (core module {functions}))")).expect("a component")
}

#[test]
fn a_module_is_compiled_by_a_process_and_refused_for_what_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder);
    let refused = engine.load("test", &large(10, 10), &Manifest::default()).expect_err("no policy");
    assert!(matches!(refused, Refused::Missing("describe")), "it was compiled: {refused}");
    let mut broken = large(10, 10);
    let middle = broken.len() / 2;
    broken[middle] = 0xff;
    let refused = engine.load("test", &broken, &Manifest::default()).expect_err("broken");
    assert!(matches!(refused, Refused::Invalid(_)), "{refused}");
}

#[test]
fn a_compiler_that_ends_otherwise_is_told_of() {
    for program in ["/bin/true", "/bin/false", "/nowhere"] {
        let engine = Engine::with(None, Compiler::Program(program.into()), false).expect("an engine");
        let refused = engine.load("test", &large(1, 1), &Manifest::default()).expect_err("no compiler");
        assert!(!refused.to_string().contains('\n'), "{refused}");
        assert!(matches!(refused, Refused::Compiler(_) | Refused::Invalid(_)), "{program}: {refused:?}");
    }
}

#[test]
fn the_compiler_keeps_its_limits_whatever_the_shell_allows() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_egret"))
        .arg("compile-module")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stdin = child.stdin.take().expect("a pipe");
    // It has set its limits once it waits for the rest of the module.
    stdin.write_all(b"\0asm").expect("written");
    let limits = format!("/proc/{}/limits", child.id());
    let start = std::time::Instant::now();
    loop {
        let text = std::fs::read_to_string(&limits).expect("readable");
        let has = |start: &str| text.lines().any(|line| line.starts_with(start));
        if has("Max cpu time              30 ") && text.contains("3221225472") {
            break;
        }
        assert!(start.elapsed().as_secs() < 20, "{text}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    drop(stdin);
    let output = child.wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
}
