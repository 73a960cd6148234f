//! Allows in working hours what no rule allows: for people's own machines and build jobs that somebody watches. Outside
//! them it has no opinion, so the policy's default counts.

use egret_sdk::zones::Hours;
use egret_sdk::{Attempt, Decision, policy};

#[policy(inputs(time))]
fn decide(attempt: &Attempt, hours: &Hours) -> Decision {
    let left = hours.seconds_until_change(attempt.time);
    if hours.contain(attempt.time) {
        Decision::allow().for_seconds(left)
    } else {
        Decision::next().for_seconds(left)
    }
}

#[cfg(test)]
mod tests {
    egret_sdk::cases!(super::Policy, "../cases.yaml");
}
