//! Denies names that look like a protected one and are not: `examp1e.com`, `exarnple.com`, `exmaple.com`,
//! `example.com.login.test`, or in other letters `xn--exmple-qta.com`.

mod likeness;

use egret_sdk::{Attempt, Decision, Name, Pattern, policy, settings};

/// What a policy says.
#[settings]
pub struct Settings {
    /// Names that others imitate, such as `example.com`. They and all names below them are good.
    protected: Vec<String>,
    /// Names that look alike and are good all the same.
    #[serde(default)]
    good: Vec<Pattern>,
}

#[policy(inputs(names))]
fn decide(attempt: &Attempt, settings: &Settings) -> Decision {
    for text in &attempt.destination.names {
        let Ok(name) = Name::parse(text) else { continue };
        if settings.good.iter().any(|good| good.matches(&name)) || is_protected(text, &settings.protected) {
            continue;
        }
        if let Some(protected) =
            settings.protected.iter().find(|protected| likeness::imitates(text, protected))
        {
            return Decision::deny(format!("{text} looks like {protected}")).for_seconds(3_600);
        }
    }
    Decision::next().for_seconds(3_600)
}

fn is_protected(name: &str, protected: &[String]) -> bool {
    protected.iter().any(|protected| {
        name.strip_suffix(protected.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    egret_sdk::cases!(super::Policy, "../cases.yaml");
}
