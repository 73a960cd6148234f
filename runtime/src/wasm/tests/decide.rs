//! What a module sees, and what its instances remember.

use std::time::{Duration, Instant};

use serde_json::json;

use super::made::{Made, plain};
use super::{attempt, engine, generous, load, policy};
use crate::wasm::{Answer, Compiler, Engine, Fault, Manifest, Scope};

/// Denies, with the text whose pointer and length lie at an offset of the attempt.
macro_rules! echo {
    ($offset:literal) => {
        concat!(
            "(i32.store8 (i32.const 3072) (i32.const 1))",
            "(i32.store (i32.const 3076) (i32.load offset=",
            $offset,
            " (local.get 0)))",
            "(i32.store (i32.const 3080) (i32.load offset=",
            $offset,
            "4 (local.get 0)))",
            "(i32.const 3072)"
        )
    };
}

#[test]
fn an_input_that_is_not_declared_is_empty() {
    // The namespace is the attempt's first field; its length is 4 bytes further, at offset 04.
    let told = |inputs| {
        let module = Made { decide: echo!("0"), inputs, ..Made::default() };
        policy(&module.component()).decide(&attempt()).map(|decision| decision.answer)
    };
    assert_eq!(told(&[0]), Ok(Answer::Deny("shop".to_owned())));
    assert_eq!(told(&[1, 2, 3, 4]), Ok(Answer::Deny(String::new())));
}

/// Counts what its instance has decided, and denies from the third time on.
const REMEMBERS: Made = Made {
    more: "(global $seen (mut i32) (i32.const 0))",
    imports: "",
    decide: "(global.set $seen (i32.add (global.get $seen) (i32.const 1)))
             (i32.store8 (i32.const 3072) (i32.ge_u (global.get $seen) (i32.const 3)))
             (i32.const 3072)",
    configure: "(i32.const 2048)",
    describe: "(i32.const 1024)",
    inputs: &[],
    pages: 3,
    packages: &[],
    world: "",
};

#[test]
fn each_decision_is_made_by_a_fresh_instance_unless_the_manifest_says_otherwise() {
    let module = REMEMBERS.component();
    let allowed = |reuse| {
        let manifest = Manifest { reuse, ..generous() };
        let loaded = engine().load("test", &module, &manifest).expect("loaded");
        let policy = loaded.configure(&json!(null)).expect("configured");
        let answers = (0..12).map(|_| policy.decide(&attempt()).expect("answered").answer);
        answers.filter(|answer| *answer == Answer::Allow).count()
    };
    assert_eq!(allowed(1), 12, "no instance sees a second attempt");
    assert_eq!(allowed(2), 12);
    assert!(allowed(1_000) < 12, "instances see more than two");
}

#[test]
fn instances_are_made_off_the_path() {
    let policy = policy(&plain());
    let start = Instant::now();
    for _ in 0..3 {
        // Half of them may be gone before somebody is woken.
        for _ in 0..4 {
            let _ = policy.decide(&attempt());
        }
        policy.tidy();
        while policy.ready() < 8 {
            assert!(start.elapsed() < Duration::from_secs(20), "only {} are ready", policy.ready());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn settings_that_the_module_refuses_come_back_with_its_text() {
    let module = Made {
        more: r#"(data (i32.const 2048) "\01\00\00\00\00\10\00\00\0b\00\00\00") (data (i32.const 4096) "no\1b[2J days")"#,
        ..Made::default()
    };
    let fault = load(&module.component()).configure(&json!({"days": []})).expect_err("refused");
    assert_eq!(fault, Fault::Settings("no\\u{1b}[2J days".to_owned()));
    let long = "x".repeat(70_000);
    let fault = load(&plain()).configure(&json!(long)).expect_err("too long");
    assert!(fault.to_string().contains("the most is 65536"), "{fault}");
}

#[test]
fn many_threads_may_ask_at_once() {
    let policy = policy(&plain());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let decision = policy.decide(&attempt()).expect("answered");
                    assert_eq!((decision.answer, decision.scope), (Answer::Allow, Scope::Flow));
                }
            });
        }
    });
}

#[test]
fn an_engine_that_counts_tells_the_same_work_each_time() {
    let engine = Engine::with(None, Compiler::Here, true).expect("an engine");
    let loaded = engine.load("test", &plain(), &generous()).expect("loaded");
    let policy = loaded.configure(&json!(null)).expect("configured");
    let fuel = |_| {
        let (decision, measured) = policy.measure(&attempt()).expect("asked");
        assert!(decision.is_ok());
        assert_eq!(measured.memory, 3 << 16);
        measured.fuel.expect("counted")
    };
    let told: Vec<u64> = (0..5).map(fuel).collect();
    assert!(told[0] > 0 && told.iter().all(|fuel| *fuel == told[0]), "{told:?}");
    // An engine that does not count says so.
    let (_, measured) = super::policy(&plain()).measure(&attempt()).expect("asked");
    assert_eq!(measured.fuel, None);
}

#[test]
fn time_and_counters_are_those_of_the_attempt() {
    // Denies from the third event of a minute on; what it counts outlives its instances.
    let module = Made {
        imports: r#"(import "egret:policy/counters@0.1.0" "hits" (func $hits (param i32 i32 i32) (result i32)))"#,
        decide: "(i32.store8 (i32.const 3072)
                    (i32.ge_u (call $hits (i32.const 0) (i32.const 1) (i32.const 60)) (i32.const 3)))
                 (i32.const 3072)",
        inputs: &[5],
        ..Made::default()
    };
    let policy = policy(&module.component());
    // What is asked aside goes on from what was counted, and leaves it: each of these would be one more.
    let aside = |_| policy.try_out(&attempt()).expect("answered").answer != Answer::Allow;
    assert_eq!([0, 1, 2].map(aside), [false; 3]);
    let denied = |seconds: u64| {
        let mut attempt = attempt();
        attempt.time += seconds * 1_000;
        policy.decide(&attempt).expect("answered").answer != Answer::Allow
    };
    let told: Vec<bool> = [0, 1, 2, 3, 200, 201, 202].map(denied).into();
    assert_eq!(told, [false, false, true, true, false, false, true]);
    let mut later = attempt();
    later.time += 203_000;
    let denied = policy.try_out(&later).expect("answered").answer;
    assert_ne!(denied, Answer::Allow, "what was counted counts aside too");
}
