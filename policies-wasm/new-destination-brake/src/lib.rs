//! Denies a workload that goes to too many different destinations in a short time: a program that was taken over looks
//! around, a healthy one goes where it always goes. What it reached within the window stays reachable: only what is new
//! counts against it.

use egret_sdk::{Attempt, Decision, counters, policy, settings};

/// What a policy says.
#[settings]
pub struct Settings {
    /// So many different destinations are none too many.
    #[schemars(range(min = 1, max = 1000))]
    most: u32,
    /// In so many seconds, 1 to 3600.
    #[serde(default = "a_minute")]
    #[schemars(range(min = 1, max = 3600))]
    seconds: u32,
}

fn a_minute() -> u32 {
    60
}

#[policy(inputs(workload, names, address, counters))]
fn decide(attempt: &Attempt, settings: &Settings) -> Decision {
    let workload = format!("{}/{}", attempt.workload.namespace, attempt.workload.name);
    let address = attempt.destination.address.to_string();
    // All addresses of one name are one destination.
    let destination = attempt.destination.names.first().unwrap_or(&address);
    let seen = counters::distinct(&workload, destination, settings.seconds);
    if seen > settings.most {
        let Settings { most, seconds } = settings;
        Decision::deny(format!("{destination} is one of more than {most} destinations in {seconds} s"))
    } else {
        Decision::next()
    }
}

#[cfg(test)]
mod tests {
    egret_sdk::cases!(super::Policy, "../cases.yaml");
}
