//! The contract in `sdk/wit`, in Rust.

#[allow(missing_docs, clippy::all, reason = "generated from sdk/wit")]
mod generated {
    wasmtime::component::bindgen!({
        path: "../sdk/wit",
        world: "module",
        // What a module is asked is lent to it, not copied first.
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

#[allow(missing_docs, clippy::all, reason = "generated from sdk/wit")]
mod generated_answers {
    wasmtime::component::bindgen!({
        path: "../sdk/wit",
        world: "answers",
        ownership: Borrowing { duplicate_if_necessary: true },
        with: { "egret:policy/types": super::generated::egret::policy::types },
    });
}

pub(super) use generated::egret::policy::{clock, counters, log, types};
pub(super) use generated::{Module as World, ModulePre as WorldPre};
pub(super) use generated_answers::egret::policy::dns;
pub(super) use generated_answers::{Answers, AnswersPre};
