//! Denies addresses by a table of countries, or of anything else that addresses belong to. The table is the policy's own:
//! a module has no files.

use std::collections::BTreeMap;

use egret_sdk::{Attempt, Cidr, Decision, policy, settings};

/// What a policy says.
#[settings]
pub struct Settings {
    /// Country to its ranges: `{AA: [192.0.2.0/24]}`.
    table: BTreeMap<String, Vec<Cidr>>,
    /// Countries that are closed.
    #[serde(default)]
    deny: Vec<String>,
    /// If given: all other countries, and addresses that are in no range, are closed.
    #[serde(default)]
    only: Vec<String>,
}

#[policy(inputs(address))]
fn decide(attempt: &Attempt, settings: &Settings) -> Decision {
    let address = attempt.destination.address;
    let country = country(settings, address);
    let is_in = |countries: &[String]| {
        country.is_some_and(|country| countries.iter().any(|closed| closed == country))
    };
    let shown = country.unwrap_or("no country of the table");
    if is_in(&settings.deny) || !settings.only.is_empty() && !is_in(&settings.only) {
        Decision::deny(format!("{address} is in {shown}")).for_seconds(3_600)
    } else {
        Decision::next().for_seconds(3_600)
    }
}

/// The country of the narrowest range that holds the address.
fn country(settings: &Settings, address: std::net::IpAddr) -> Option<&str> {
    let ranges =
        settings.table.iter().flat_map(|(country, ranges)| ranges.iter().map(move |range| (country, range)));
    let holding = ranges.filter(|(_, range)| range.contains(address));
    holding.max_by_key(|(_, range)| range.net().prefix_len()).map(|(country, _)| country.as_str())
}

#[cfg(test)]
mod tests {
    egret_sdk::cases!(super::Policy, "../cases.yaml");
}
