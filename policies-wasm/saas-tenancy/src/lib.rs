//! Keeps workloads to the company's own tenants of services that many companies share: `acme.chat.example` is ours, any
//! other `*.chat.example` is where data would leave.

use egret_sdk::{Attempt, Decision, Name, Pattern, policy, settings};

/// What a policy says.
#[settings]
pub struct Settings {
    /// The services.
    services: Vec<Service>,
}

/// A service that many share.
#[settings]
pub struct Service {
    /// What people call it.
    name: String,
    /// All of its names, `**.chat.example`.
    names: Vec<Pattern>,
    /// Those that are the company's own, or that all tenants share.
    own: Vec<Pattern>,
}

#[policy(inputs(names))]
fn decide(attempt: &Attempt, settings: &Settings) -> Decision {
    let names = attempt.destination.names.iter().filter_map(|name| Name::parse(name).ok());
    for name in names {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(&name));
        let stranger = settings.services.iter().find(|service| any(&service.names) && !any(&service.own));
        if let Some(service) = stranger {
            return Decision::deny(format!("{name} is a tenant of {} that is not ours", service.name))
                .for_seconds(600);
        }
    }
    Decision::next().for_seconds(600)
}

#[cfg(test)]
mod tests {
    egret_sdk::cases!(super::Policy, "../cases.yaml");
}
