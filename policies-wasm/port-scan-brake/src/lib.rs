//! Denies a workload that tries many ports of one address, or one port of many addresses: what a scan does, and hardly
//! anything else.

use egret_sdk::{Attempt, Decision, Protocol, counters, policy, settings};

/// What a policy says.
#[settings]
pub struct Settings {
    /// So many ports of one address are none too many.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 1000))]
    ports: u32,
    /// So many addresses without a name, on one port, are none too many.
    #[serde(default = "twenty")]
    #[schemars(range(min = 1, max = 1000))]
    addresses: u32,
    /// In so many seconds, 1 to 3600.
    #[serde(default = "a_minute")]
    #[schemars(range(min = 1, max = 3600))]
    seconds: u32,
}

fn ten() -> u32 {
    10
}

fn twenty() -> u32 {
    20
}

fn a_minute() -> u32 {
    60
}

#[policy(inputs(workload, names, address, port, counters))]
fn decide(attempt: &Attempt, settings: &Settings) -> Decision {
    let Settings { ports, addresses, seconds } = *settings;
    let to = &attempt.destination;
    if to.protocol == Protocol::Icmp {
        return Decision::next();
    }
    let workload = format!("{}/{}", attempt.workload.namespace, attempt.workload.name);
    let port = format!("{} {}", to.protocol, to.port);
    if counters::distinct(&format!("ports {workload} {}", to.address), &port, seconds) > ports {
        return Decision::deny(format!("more than {ports} ports of {} in {seconds} s", to.address));
    }
    // Who looks a name up does not scan.
    if to.names.is_empty() {
        let seen =
            counters::distinct(&format!("addresses {workload} {port}"), &to.address.to_string(), seconds);
        if seen > addresses {
            return Decision::deny(format!("{port} of more than {addresses} addresses in {seconds} s"));
        }
    }
    Decision::next()
}

#[cfg(test)]
mod tests {
    egret_sdk::cases!(super::Policy, "../cases.yaml");
}
