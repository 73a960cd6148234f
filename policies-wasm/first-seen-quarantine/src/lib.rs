//! Denies names that this node has not known for long: a domain that was registered for one attack is asked for on the
//! day of the attack. A name is known once some workload tried it before the quarantine began; who asks again after it
//! gets through. A name that nobody tries for an hour is new again.

use egret_sdk::{Attempt, Decision, Pattern, counters, policy, settings};

/// What a policy says.
#[settings]
pub struct Settings {
    /// How long a name is denied after it was tried first, in seconds: 60 to 1800.
    #[serde(default = "ten_minutes")]
    #[schemars(range(min = 60, max = 1800))]
    seconds: u32,
    /// Names that need no quarantine.
    #[serde(default)]
    known: Vec<Pattern>,
}

fn ten_minutes() -> u32 {
    600
}

/// How long a name stays known.
const MEMORY: u32 = 3_600;

#[policy(inputs(names, counters))]
fn decide(attempt: &Attempt, settings: &Settings) -> Decision {
    let Some(name) = attempt.destination.names.first() else { return Decision::next() };
    if egret_sdk::first_match(&settings.known, attempt).is_some() {
        return Decision::next();
    }
    let seconds = settings.seconds.clamp(60, 1_800);
    let lately = counters::hits(name, seconds);
    let ever = counters::hits(name, MEMORY);
    // More in an hour than in the quarantine: somebody tried it before.
    if ever > lately {
        Decision::next()
    } else {
        Decision::deny(format!("{name} was not known on this node {seconds} s ago"))
    }
}

#[cfg(test)]
mod tests {
    egret_sdk::cases!(super::Policy, "../cases.yaml");
}
