//! Refuses answers about a domain under which a workload looks up many long random names: what a tunnel through DNS does,
//! for it can send only as much as names can hold.

use std::collections::BTreeMap;

use egret_sdk::{Attempt, Decision, DnsAnswer, Opinion, Pattern, counters, parent, policy, settings};

/// What a policy says.
#[settings]
pub struct Settings {
    /// So many different names under one domain are none too many.
    #[serde(default = "fifty")]
    #[schemars(range(min = 1, max = 1000))]
    names: u32,
    /// In so many seconds, 1 to 3600.
    #[serde(default = "a_minute")]
    #[schemars(range(min = 1, max = 3600))]
    seconds: u32,
    /// A name counts where it has so many characters before its domain.
    #[serde(default = "sixteen")]
    length: usize,
    /// And where these have so many bits of entropy each: words have about 3, random letters and digits 4 or more.
    #[serde(default = "three")]
    entropy: f64,
    /// How many labels a domain has: 2 for example.com, 3 for example.co.uk.
    #[serde(default = "two")]
    #[schemars(range(min = 2, max = 10))]
    labels: usize,
    /// For so many seconds, 1 to 3600, a domain is refused.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = 1, max = 3600))]
    refuse_seconds: u32,
    /// Names that are never counted.
    #[serde(default)]
    except: Vec<Pattern>,
}

fn fifty() -> u32 {
    50
}

fn a_minute() -> u32 {
    60
}

fn sixteen() -> usize {
    16
}

fn three() -> f64 {
    3.0
}

fn two() -> usize {
    2
}

fn five_minutes() -> u32 {
    300
}

#[policy(inputs(workload, names, counters), on_answer = watch)]
fn decide(_attempt: &Attempt, _settings: &Settings) -> Decision {
    // It has a say about answers alone.
    Decision::next()
}

fn watch(answer: &DnsAnswer, settings: &Settings) -> Opinion {
    let domain = parent(&answer.name, settings.labels);
    let before = answer.name.strip_suffix(domain).unwrap_or_default();
    let is_long = before.len() >= settings.length;
    if !is_long || entropy(before) < settings.entropy || is_excepted(&answer.name, settings) {
        return Opinion::Pass;
    }
    let key = format!("{}/{} {domain}", answer.workload.namespace, answer.workload.name);
    let seen = counters::distinct(&key, before, settings.seconds);
    if seen <= settings.names {
        return Opinion::Pass;
    }
    let reason = format!(
        "more than {} long random names under {domain} in {} s: a tunnel through DNS?",
        settings.names, settings.seconds
    );
    Opinion::refuse(domain, reason).for_seconds(settings.refuse_seconds)
}

fn is_excepted(name: &str, settings: &Settings) -> bool {
    let name = egret_sdk::Name::parse(name);
    name.is_ok_and(|name| settings.except.iter().any(|pattern| pattern.matches(&name)))
}

/// Bits for each character, if each stood there as often as it does here. Dots say nothing.
fn entropy(text: &str) -> f64 {
    let mut counts: BTreeMap<u8, f64> = BTreeMap::new();
    for byte in text.bytes().filter(|byte| *byte != b'.') {
        *counts.entry(byte).or_default() += 1.0;
    }
    let all: f64 = counts.values().sum();
    counts.values().map(|count| count / all * (all / count).log2()).sum()
}

#[cfg(test)]
mod tests {
    egret_sdk::cases!(super::Policy, "../cases.yaml");

    #[test]
    fn words_have_less_entropy_than_random_letters() {
        for (text, low, high) in [
            ("aaaaaaaa", 0.0, 0.1),
            ("static-assets-production", 2.5, 3.6),
            ("4f2e9c81b7a06d53", 3.9, 4.1),
            ("mfrggzdfmztwq2lknnwg23tpob", 3.5, 4.5),
        ] {
            let entropy = super::entropy(text);
            assert!((low..high).contains(&entropy), "{text}: {entropy}");
        }
    }
}
