//! Does what its settings say, for tests of who asks modules and what becomes of what they say.

use std::hint::black_box;

use egret_sdk::{Attempt, Decision, Scope, policy, settings};

/// What it does, by the port dialled; `next` for all others.
#[settings]
#[derive(Default)]
#[serde(default)]
pub struct Settings {
    /// It allows these.
    allow: Vec<u16>,
    /// It denies these.
    deny: Vec<u16>,
    /// It gives up at these.
    panic: Vec<u16>,
    /// It never comes to an end at these.
    hang: Vec<u16>,
    /// It wants ever more memory at these.
    grow: Vec<u16>,
    /// It calls itself for ever at these.
    recurse: Vec<u16>,
    /// It denies these with a reason of a megabyte.
    talk: Vec<u16>,
    /// For how long what it says counts.
    seconds: u32,
    /// It counts for every address of the same names.
    by_name: bool,
    /// Rounds of work before each answer, of about a nanosecond.
    work: u64,
    /// It allows where the workload has this label.
    label: Option<String>,
}

#[policy(inputs(workload, names, port), summary = "Does what its settings say.")]
fn decide(attempt: &Attempt, settings: &Settings) -> Decision {
    let port = attempt.destination.port;
    let works =
        (0..settings.work).fold(1u64, |sum, round| black_box(sum.wrapping_mul(31).wrapping_add(round)));
    black_box(works);
    if settings.panic.contains(&port) {
        panic!("told to give up at {port}");
    }
    while settings.hang.contains(&port) {
        black_box(port);
    }
    if settings.grow.contains(&port) {
        let mut all = Vec::new();
        loop {
            all.push(vec![1u8; 1 << 20]);
            black_box(&all);
        }
    }
    if settings.recurse.contains(&port) {
        black_box(deeper(1));
    }
    let has_label = settings.label.as_deref().is_some_and(|label| attempt.workload.label(label).is_some());
    let decision = if settings.talk.contains(&port) {
        Decision::deny("words ".repeat(1 << 18))
    } else if settings.deny.contains(&port) {
        Decision::deny(format!("{port} is closed"))
    } else if has_label || settings.allow.contains(&port) {
        Decision::allow()
    } else {
        Decision::next()
    };
    let scope = if settings.by_name { Scope::Name } else { Scope::Address };
    decision.for_seconds(settings.seconds).scope(scope)
}

fn deeper(depth: u64) -> u64 {
    black_box([depth; 64]).iter().sum::<u64>() + black_box(deeper as fn(u64) -> u64)(depth + 1)
}
