//! Does the contrary of what its settings say, for tests of one module in place of another; and calls the agent without
//! end where it is told to.

use egret_sdk::{Attempt, Decision, log, policy, settings};

/// What it does, by the port dialled; `next` for all others.
#[settings]
#[derive(Default)]
#[serde(default)]
pub struct Settings {
    /// It denies these.
    allow: Vec<u16>,
    /// It allows these.
    deny: Vec<u16>,
    /// It logs without end at these.
    storm: Vec<u16>,
    /// For how long what it says counts.
    seconds: u32,
}

#[policy(inputs(port), summary = "Does the contrary of what its settings say.")]
fn decide(attempt: &Attempt, settings: &Settings) -> Decision {
    let port = attempt.destination.port;
    while settings.storm.contains(&port) {
        log::warn(format!("a storm at {port}"));
    }
    let decision = if settings.allow.contains(&port) {
        Decision::deny(format!("{port} is open"))
    } else if settings.deny.contains(&port) {
        Decision::allow()
    } else {
        Decision::next()
    };
    decision.for_seconds(settings.seconds)
}
