//! Each way to misbehave is stopped, and told by its cause.

use std::time::{Duration, Instant};

use super::made::Made;
use super::{attempt, engine, fault, generous, load, policy};
use crate::wasm::{Answer, Fault, Limits, Manifest, Refused};

const LOOP: &str = "(loop $for_ever (br $for_ever)) (unreachable)";

#[test]
fn an_endless_loop_is_stopped_in_time() {
    let policy = policy(&Made { decide: LOOP, ..Made::default() }.component());
    let start = Instant::now();
    let fault = policy.decide(&attempt()).expect_err("stopped");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(fault.to_string(), "the module took longer than its limit of 200 ms (decide)");
}

#[test]
fn a_loop_in_a_start_function_stops_the_load_not_the_agent() {
    let module = Made { more: "(func $start (loop $l (br $l))) (start $start)", ..Made::default() };
    let manifest =
        Manifest { limits: Limits { time: Duration::from_millis(10), ..Limits::default() }, ..generous() };
    let refused = engine().load("test", &module.component(), &manifest).expect_err("stopped");
    assert_eq!(
        refused.to_string(),
        "the module cannot describe itself: the module took longer than its limit of 200 ms (start)"
    );
}

#[test]
fn a_loop_in_configure_or_describe_is_stopped_as_well() {
    let manifest =
        Manifest { limits: Limits { time: Duration::from_millis(10), ..Limits::default() }, ..generous() };
    let describes = Made { describe: LOOP, ..Made::default() }.component();
    let refused = engine().load("test", &describes, &manifest).expect_err("stopped").to_string();
    assert!(refused.ends_with("(describe)"), "{refused}");
    let configures = Made { configure: LOOP, ..Made::default() }.component();
    let module = engine().load("test", &configures, &manifest).expect("loaded");
    let fault = module.configure(&serde_json::Value::Null).expect_err("stopped").to_string();
    assert!(fault.ends_with("(configure)"), "{fault}");
}

#[test]
fn more_memory_than_the_limit_ends_the_module_by_that_name() {
    let grows = Made { decide: "(drop (memory.grow (i32.const 1000))) (i32.const 3072)", ..Made::default() };
    let bomb = Made {
        decide: "(loop $l (drop (memory.grow (i32.const 1))) (br $l)) (unreachable)",
        ..Made::default()
    };
    for module in [grows, bomb] {
        let told = fault(&module.component()).to_string();
        assert_eq!(told, "the module wanted more memory than its limit of 16384 KiB");
    }
    let begins = Made { pages: 1_000, ..Made::default() }.component();
    let refused = engine().load("test", &begins, &generous()).expect_err("too much").to_string();
    assert!(refused.contains("wanted more memory"), "{refused}");
}

#[test]
fn more_table_than_the_limit_ends_the_module_by_that_name() {
    let module = Made {
        more: "(table $t 1 funcref)",
        decide: "(drop (table.grow $t (ref.null func) (i32.const 10000000))) (i32.const 3072)",
        ..Made::default()
    };
    let told = fault(&module.component()).to_string();
    assert_eq!(told, "the module wanted more room in a table than its limit of 100000 entries");
}

#[test]
fn a_recursion_without_end_is_a_trap_in_the_function_that_does_it() {
    let module = Made {
        more: "(func $deeper (param i32) (result i32) (i32.add (call $deeper (local.get 0)) (i32.const 1)))",
        decide: "(call $deeper (i32.const 0))",
        ..Made::default()
    };
    let told = fault(&module.component()).to_string();
    assert_eq!(told, "the module trapped: call stack exhausted, in deeper");
}

#[test]
fn a_trap_says_what_and_where() {
    for (body, told) in [
        ("(unreachable)", "it gave up (a panic, or an `unreachable` instruction), in decide"),
        ("(i32.div_u (i32.const 1) (i32.const 0))", "integer divide by zero, in decide"),
        ("(i32.load (i32.const 0x7fffffff))", "out of bounds memory access, in decide"),
    ] {
        let module = Made { decide: body, ..Made::default() };
        assert_eq!(fault(&module.component()).to_string(), format!("the module trapped: {told}"));
    }
    let configures = Made { configure: "(unreachable)", ..Made::default() }.component();
    let fault = load(&configures).configure(&serde_json::Value::Null).expect_err("a trap");
    assert!(matches!(fault, Fault::Trap { .. }), "{fault}");
    assert_eq!(fault.kind(), "trap");
}

#[test]
fn last_words_are_escaped_bounded_and_read_from_nowhere_else() {
    const NONE: &str = "it gave up (a panic, or an `unreachable` instruction)";
    let nuls = format!("it gave up: {}", "\\u{0}".repeat(512 / 5));
    let words = |global: &str, data: &str| format!("(global (export \"egret_last_words\") {global}) {data}");
    let at_8192 = "i32 (i32.const 8192)";
    for (more, told) in [
        (
            words(at_8192, r#"(data (i32.const 8192) "\08\00\00\00no \1b[2J\n or")"#),
            r"it gave up: no \u{1b}[2J\n",
        ),
        (words(at_8192, r#"(data (i32.const 8192) "\03\00\00\00a\ffb")"#), "it gave up: a\u{fffd}b"),
        (words(at_8192, r#"(data (i32.const 8192) "\ff\ff\ff\ff")"#), &nuls),
        (words(at_8192, ""), NONE),
        (words("i32 (i32.const 196606)", ""), NONE),
        (words("i32 (i32.const 196600)", r#"(data (i32.const 196600) "\05\00\00\00abcd")"#), NONE),
        (words("i32 (i32.const -4)", ""), NONE),
        (words("i64 (i64.const 8192)", r#"(data (i32.const 8192) "\03\00\00\00abc")"#), NONE),
        (r#"(func (export "egret_last_words"))"#.to_owned(), NONE),
    ] {
        let more: &'static str = more.leak();
        let module = Made { decide: "(unreachable)", more, ..Made::default() };
        let fault = fault(&module.component()).to_string();
        assert_eq!(fault, format!("the module trapped: {told}, in decide"), "{more}");
    }
    // What only reads beyond its memory did not give up.
    let more = words(at_8192, r#"(data (i32.const 8192) "\03\00\00\00abc")"#).leak();
    let module = Made { decide: "(i32.load (i32.const 0x7fffffff))", more, ..Made::default() };
    assert!(fault(&module.component()).to_string().ends_with("out of bounds memory access, in decide"));
}

/// At 3072, a denial whose reason lies at `from` and has `length` bytes.
macro_rules! denial {
    ($from:literal, $length:literal) => {
        concat!(
            "(i32.store8 (i32.const 3072) (i32.const 1))",
            "(i32.store (i32.const 3076) (i32.const ",
            $from,
            "))",
            "(i32.store (i32.const 3080) (i32.const ",
            $length,
            "))",
            "(i32.const 3072)"
        )
    };
}

#[test]
fn a_long_reason_is_cut_and_escaped_and_a_giant_one_is_refused() {
    let long = Made { decide: denial!("8192", "50000"), ..Made::default() };
    let decision = policy(&long.component()).decide(&attempt()).expect("cut");
    let Answer::Deny(reason) = decision.answer else { panic!("a denial") };
    assert!((1_000..=1_024).contains(&reason.len()) && reason.starts_with("\\u{0}"), "{}", reason.len());
    let giant = Made { decide: denial!("0", "8000000"), pages: 128, ..Made::default() };
    let fault = fault(&giant.component());
    assert!(matches!(fault, Fault::BadOutput(_)), "{fault}");
}

#[test]
fn what_breaks_the_contract_is_bad_output() {
    let not_text =
        Made { more: r#"(data (i32.const 4096) "\ff\fe")"#, decide: denial!("4096", "2"), ..Made::default() };
    let outside = Made { decide: denial!("0x7fff0000", "100"), ..Made::default() };
    let no_verdict =
        Made { decide: "(i32.store8 (i32.const 3072) (i32.const 77)) (i32.const 3072)", ..Made::default() };
    let no_pointer = Made { decide: "(i32.const 0x7fff0000)", ..Made::default() };
    for module in [not_text, outside, no_verdict, no_pointer] {
        let fault = fault(&module.component());
        assert!(matches!(fault, Fault::BadOutput(_)), "{fault:?}");
        assert!(!fault.to_string().contains('\n'), "{fault}");
    }
}

#[test]
fn a_storm_of_calls_to_the_agent_is_stopped_in_time() {
    let logs = Made {
        imports: r#"(import "egret:policy/log@0.1.0" "write" (func $write (param i32 i32 i32)))"#,
        decide: "(loop $l (call $write (i32.const 2) (i32.const 0) (i32.const 100000)) (br $l)) (unreachable)",
        ..Made::default()
    };
    let counts = Made {
        imports: r#"(import "egret:policy/counters@0.1.0" "distinct"
                        (func $distinct (param i32 i32 i32 i32 i32) (result i32)))"#,
        // Another key and another member each time.
        decide: "(loop $l
                    (i32.store (i32.const 8192) (i32.add (i32.load (i32.const 8192)) (i32.const 0x01)))
                    (i32.store8 (i32.const 8195) (i32.const 0x20))
                    (i32.store8 (i32.const 8192) (i32.and (i32.load8_u (i32.const 8192)) (i32.const 0x7f)))
                    (drop (call $distinct (i32.const 8192) (i32.const 1) (i32.const 8192) (i32.const 1) (i32.const 60)))
                    (br $l)) (unreachable)",
        inputs: &[5],
        ..Made::default()
    };
    for module in [logs, counts] {
        let start = Instant::now();
        assert!(matches!(fault(&module.component()), Fault::Timeout { .. }));
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
}

#[test]
fn after_a_fault_the_next_flow_is_judged_as_if_nothing_had_been() {
    // It stops at the first attempt of each instance that sees a port.
    let module = Made {
        decide: "(if (i32.load16_u offset=64 (local.get 0)) (then (unreachable))) (i32.const 3072)",
        inputs: &[3],
        ..Made::default()
    };
    let policy = policy(&module.component());
    let mut without_port = attempt();
    without_port.destination.port = 0;
    for _ in 0..20 {
        assert!(policy.decide(&attempt()).is_err());
        assert_eq!(policy.decide(&without_port).map(|decision| decision.answer), Ok(Answer::Allow));
    }
}

#[test]
fn a_module_that_is_no_module_is_refused_by_its_kind() {
    let good = super::made::plain();
    let core = Made::default().core();
    let cut = &good[..good.len() / 2];
    let mut long = good.clone();
    long.resize((64 << 20) + 1, 0);
    for (bytes, words) in [
        (&b"not wasm at all"[..], "this is not Wasm"),
        (&b""[..], "this is not Wasm"),
        (&core, "this is a core module, not a component"),
        (cut, "the module does not compile: "),
        (&long, "the most that is loaded is 67108864"),
    ] {
        let refused: Refused = engine().load("test", bytes, &generous()).expect_err("refused");
        assert!(refused.to_string().contains(words), "{refused}");
    }
}
