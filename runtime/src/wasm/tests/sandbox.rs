//! The empty machine of modules that import WASI.

use super::made::Made;
use super::{attempt, fault, policy};
use crate::wasm::{Answer, Fault};

const IO: (&str, &str) = (
    "io.wit",
    "package wasi:io@0.2.0; interface poll { resource pollable { block: func(); } poll: func(in: list<borrow<pollable>>) -> list<u32>; }",
);
const CLOCKS: (&str, &str) = (
    "clocks.wit",
    "package wasi:clocks@0.2.0;
     interface wall-clock { record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; }
     interface monotonic-clock { use wasi:io/poll@0.2.0.{pollable}; subscribe-duration: func(when: u64) -> pollable; }",
);
const RANDOM: (&str, &str) =
    ("random.wit", "package wasi:random@0.2.0; interface random { get-random-u64: func() -> u64; }");
const ENVIRONMENT: (&str, &str) = (
    "cli.wit",
    "package wasi:cli@0.2.0; interface environment { get-arguments: func() -> list<string>; }
     interface exit { exit: func(status: result); }",
);

/// Denies where the value on the stack is not zero.
macro_rules! deny_unless_zero {
    ($value:literal) => {
        concat!("(i32.store8 (i32.const 3072) (i32.ne (i32.const 0) ", $value, ")) (i32.const 3072)")
    };
}

#[test]
fn a_module_that_waits_is_stopped_before_it_does() {
    const SUBSCRIBE: &str = r#"
        (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
        (import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))"#;
    for decide in [
        "(call $block (call $subscribe (i64.const 3600000000000))) (i32.const 3072)",
        "(i32.store (i32.const 8192) (call $subscribe (i64.const 3600000000000)))
         (call $poll (i32.const 8192) (i32.const 1) (i32.const 8200)) (i32.const 3072)",
    ] {
        let module = Made {
            imports: SUBSCRIBE,
            decide,
            packages: &[IO, CLOCKS],
            world: "import wasi:io/poll@0.2.0; import wasi:clocks/monotonic-clock@0.2.0;",
            ..Made::default()
        };
        let told = fault(&module.component());
        let Fault::Trap { message, .. } = &told else { panic!("{told}") };
        assert_eq!(message, "a policy module may not wait");
    }
}

#[test]
fn the_clock_stands_still_and_nothing_is_around() {
    let module = Made {
        imports: r#"(import "wasi:clocks/wall-clock@0.2.0" "now" (func $now (param i32)))
                    (import "wasi:cli/environment@0.2.0" "get-arguments" (func $arguments (param i32)))"#,
        // Seconds since 1970 and the number of arguments.
        decide: deny_unless_zero!(
            "(block (result i32) (call $now (i32.const 8192)) (call $arguments (i32.const 8224))
               (i32.or (i32.load (i32.const 8192)) (i32.load (i32.const 8228))))"
        ),
        packages: &[IO, CLOCKS, ENVIRONMENT],
        world: "import wasi:clocks/wall-clock@0.2.0; import wasi:cli/environment@0.2.0;",
        ..Made::default()
    };
    let policy = policy(&module.component());
    assert_eq!(policy.decide(&attempt()).map(|decision| decision.answer), Ok(Answer::Allow));
    assert_eq!(policy.module().imports(), ["wasi"]);
}

#[test]
fn random_numbers_are_the_same_each_time() {
    // Denies where the first number is not that of the first instance that was ever made.
    let module = Made {
        imports: r#"(import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))"#,
        decide: deny_unless_zero!("(i64.ne (call $random) (i64.const 0x3539353134313333))"),
        packages: &[RANDOM],
        world: "import wasi:random/random@0.2.0;",
        ..Made::default()
    };
    let policy = policy(&module.component());
    let answers: Vec<_> = (0..5).map(|_| policy.decide(&attempt()).map(|decision| decision.answer)).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.is_ok()), "{answers:?}");
}

#[test]
fn a_module_that_ends_itself_is_a_trap() {
    let module = Made {
        imports: r#"(import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))"#,
        decide: "(call $exit (i32.const 1)) (i32.const 3072)",
        packages: &[ENVIRONMENT],
        world: "import wasi:cli/exit@0.2.0;",
        ..Made::default()
    };
    let told = fault(&module.component()).to_string();
    assert!(told.starts_with("the module trapped: it ended itself with code 1"), "{told}");
}
