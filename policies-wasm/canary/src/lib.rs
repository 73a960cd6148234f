//! Tries a denial on a share of the workloads before all have it: which ones, their names decide, so it is the same ones
//! on every node and at every restart.

use egret_sdk::{Attempt, Decision, Pattern, Workload, first_match, policy, settings};

/// What a policy says.
#[settings]
pub struct Settings {
    /// Names that are to be closed.
    close: Vec<Pattern>,
    /// For how many workloads of a hundred.
    #[schemars(range(max = 100))]
    percent: u8,
    /// Another word chooses other workloads.
    #[serde(default)]
    salt: String,
}

#[policy(inputs(workload, names))]
fn decide(attempt: &Attempt, settings: &Settings) -> Decision {
    let Some((name, _)) = first_match(&settings.close, attempt) else {
        return Decision::next().for_seconds(300);
    };
    if place(&attempt.workload, &settings.salt) < u64::from(settings.percent) {
        Decision::deny(format!("{name} is to be closed; this workload is among the first")).for_seconds(300)
    } else {
        Decision::next().for_seconds(300)
    }
}

/// Where among a hundred a workload stands: FNV-1a of its name, which anybody can compute again.
fn place(workload: &Workload, salt: &str) -> u64 {
    let text = format!("{salt}/{}/{}", workload.namespace, workload.name);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    // The lower bits of the product mix least.
    (hash >> 32) % 100
}

#[cfg(test)]
mod tests {
    use super::*;

    egret_sdk::cases!(Policy, "../cases.yaml");

    #[test]
    fn about_as_many_workloads_are_chosen_as_was_said() {
        let among = |number: u32| {
            let workload = Workload { name: format!("app-{number}"), ..Workload::default() };
            place(&workload, "") < 10
        };
        let chosen = (0..10_000).filter(|number| among(*number)).count();
        assert!((800..1_200).contains(&chosen), "{chosen}");
    }
}
