//! Allows for a while what no rule allows: an incident at three in the morning must not wait for a change of policy. Each
//! grant says who, where to, until when and why, and ends by itself.

use std::collections::BTreeMap;

use egret_sdk::zones::Moment;
use egret_sdk::{Attempt, Decision, Pattern, Workload, first_match, policy, settings};

/// What a policy says.
#[settings]
pub struct Settings {
    /// What is allowed for a while.
    grants: Vec<Grant>,
}

/// Something that is allowed for a while.
#[settings]
pub struct Grant {
    /// Why: a ticket, an incident.
    #[allow(dead_code, reason = "for whoever reads the policy")]
    reason: String,
    /// For whom: the namespace.
    namespace: String,
    /// And, if given, these labels.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Where to.
    names: Vec<Pattern>,
    /// When it ends, `2026-11-23T12:00:00+01:00`.
    until: Moment,
}

#[policy(inputs(workload, names, time))]
fn decide(attempt: &Attempt, settings: &Settings) -> Decision {
    let of_workload = settings.grants.iter().filter(|grant| grant.is_for(&attempt.workload));
    let left = of_workload
        .filter(|grant| first_match(&grant.names, attempt).is_some())
        .map(|grant| grant.until.seconds_after(attempt.time))
        .max();
    match left {
        Some(seconds) if seconds > 0 => Decision::allow().for_seconds(seconds),
        _ => Decision::next(),
    }
}

impl Grant {
    fn is_for(&self, workload: &Workload) -> bool {
        let has = |(key, value): (&String, &String)| workload.label(key) == Some(value);
        self.namespace == workload.namespace && self.labels.iter().all(has)
    }
}

#[cfg(test)]
mod tests {
    egret_sdk::cases!(super::Policy, "../cases.yaml");
}
