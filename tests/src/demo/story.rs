//! Who tries to go where, and what should come of it. Pure data.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::civil::Weekday;

/// An application and the policy file that is about it.
#[derive(Clone, Copy, Debug)]
pub struct App {
    /// Its pod, as `namespace/name`.
    pub pod: &'static str,
    /// The file's name.
    pub file: &'static str,
    /// The file, in mode Observe.
    pub policy: &'static str,
    /// Where it tries to go.
    pub attempts: &'static [Try],
}

/// One thing an application tries, over IPv4 and over IPv6.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    /// Where to.
    pub to: To,
    /// TCP port.
    pub port: u16,
    /// Whether its policy lets it.
    pub allowed: bool,
    /// The module that says so; `None`: a rule does, or the default.
    pub by: Option<&'static str>,
}

impl Try {
    /// What its policy lets it.
    #[must_use]
    pub const fn allowed(to: To, port: u16) -> Self {
        Self { to, port, allowed: true, by: None }
    }

    /// What its policy denies.
    #[must_use]
    pub const fn denied(to: To, port: u16) -> Self {
        Self { to, port, allowed: false, by: None }
    }

    /// Because this module says so.
    #[must_use]
    pub const fn by(self, module: &'static str) -> Self {
        Self { by: Some(module), ..self }
    }
}

/// Where to.
#[derive(Clone, Copy, Debug)]
pub enum To {
    /// A name, looked up each time.
    Name(&'static str),
    /// An address of each family, dialled without a look-up.
    Address(&'static str, &'static str),
    /// The pod [`DATABASE`].
    Database,
    /// Each of the addresses that [`visited`] tells, once.
    Visits,
}

/// A pod that no policy selects.
pub const DATABASE: &str = "payment/database";
/// Where it listens.
pub const DATABASE_PORT: u16 = 5432;

/// What the resolver knows: a name and its address of each family. All of them listen on 22, 80 and 443.
pub const SITES: [(&str, [&str; 2]); 5] = [
    ("github.com", ["192.0.2.10", "2001:db8::10"]),
    ("pagerduty.com", ["192.0.2.20", "2001:db8::20"]),
    ("example.com", ["192.0.2.30", "2001:db8::30"]),
    ("examp1e.com", ["203.0.113.31", "2001:db8:66::31"]),
    ("paste.example.net", ["203.0.113.66", "2001:db8:66::66"]),
];

/// A place without a name.
const BARE: To = To::Address("198.51.100.7", "2001:db8:7::7");

/// The modules that policies ask, each with the folder of its crate.
pub const MODULES: [(&str, &str); 2] =
    [(WORKING_HOURS, "policies-wasm/working-hours"), (LOOKALIKE_GUARD, "policies-wasm/lookalike-guard")];
/// Allows what no rule decides, within hours.
pub const WORKING_HOURS: &str = "working-hours";
/// Denies names that imitate others.
const LOOKALIKE_GUARD: &str = "lookalike-guard";

/// How many addresses the last application visits, each for the first time and then again.
pub const VISITS: u8 = 9;

/// The addresses that are visited, by their number.
#[must_use]
pub fn visited(number: u8) -> [IpAddr; 2] {
    let ipv6 = Ipv6Addr::new(0x2001, 0xdb8, 8, 0, 0, 0, 0, number.into());
    [Ipv4Addr::new(198, 51, 100, 100 + number).into(), ipv6.into()]
}

/// The application that modules decide for.
pub const REPORTS: App = App {
    pod: "reports/report",
    file: "reports.yaml",
    policy: include_str!("../../demo/reports.yaml"),
    attempts: &[
        Try::allowed(To::Name("example.com"), 443).by(WORKING_HOURS),
        Try::allowed(BARE, 22).by(WORKING_HOURS),
        Try::denied(To::Name("examp1e.com"), 443).by(LOOKALIKE_GUARD),
    ],
};
/// What it tries twice, to be judged by a module once.
pub const VISIT: Try = Try::allowed(To::Visits, 443).by(WORKING_HOURS);
/// What it tries when the hours are over.
pub const AFTER_HOURS: Try = Try::denied(To::Name("example.com"), 443);
/// The days of its policy.
const ALL_DAYS: &str = "days: [mon, tue, wed, thu, fri, sat, sun]";

/// The policy of [`REPORTS`], in force, with hours that are nowhere near a day that is `today`.
#[must_use]
pub fn after_hours(today: Weekday) -> String {
    let far = match today.wrapping_add(3) {
        Weekday::Monday => "mon",
        Weekday::Tuesday => "tue",
        Weekday::Wednesday => "wed",
        Weekday::Thursday => "thu",
        Weekday::Friday => "fri",
        Weekday::Saturday => "sat",
        Weekday::Sunday => "sun",
    };
    REPORTS.policy_in("Enforce").replace(ALL_DAYS, &format!("days: [{far}]"))
}

/// The four applications.
pub const APPS: [App; 4] = [
    App {
        pod: "payment/payment",
        file: "payment.yaml",
        policy: include_str!("../../demo/payment.yaml"),
        attempts: &[
            Try::allowed(To::Database, DATABASE_PORT),
            Try::denied(To::Name("github.com"), 443),
            Try::denied(To::Name("pagerduty.com"), 443),
            Try::denied(To::Name("paste.example.net"), 80),
            Try::denied(BARE, 443),
        ],
    },
    App {
        pod: "updates/update",
        file: "updates.yaml",
        policy: include_str!("../../demo/updates.yaml"),
        attempts: &[
            Try::allowed(To::Name("github.com"), 22),
            Try::denied(To::Name("github.com"), 443),
            Try::denied(To::Name("pagerduty.com"), 443),
            Try::denied(To::Name("example.com"), 80),
            Try::denied(BARE, 22),
        ],
    },
    App {
        pod: "alerts/alert",
        file: "alerts.yaml",
        policy: include_str!("../../demo/alerts.yaml"),
        attempts: &[
            Try::allowed(To::Name("pagerduty.com"), 443),
            Try::denied(To::Name("pagerduty.com"), 22),
            Try::denied(To::Name("github.com"), 22),
            Try::denied(To::Name("github.com"), 443),
            Try::denied(To::Name("example.com"), 443),
        ],
    },
    REPORTS,
];

impl App {
    /// The policy file with `mode` (Observe, Enforce) written in it.
    #[must_use]
    pub fn policy_in(&self, mode: &str) -> String {
        self.policy.replace("mode: Observe", &format!("mode: {mode}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_file_says_its_mode_once_and_can_be_switched() {
        for app in APPS {
            assert_eq!(app.policy.matches("mode: Observe").count(), 1, "{}", app.file);
            assert!(app.policy_in("Enforce").contains("mode: Enforce"), "{}", app.file);
        }
    }

    #[test]
    fn the_hours_of_the_policy_with_modules_can_be_made_to_end() {
        assert_eq!(REPORTS.policy.matches(ALL_DAYS).count(), 1);
        assert!(after_hours(Weekday::Saturday).contains("days: [tue]"));
    }

    #[test]
    fn every_module_that_decides_is_built_and_asked() {
        for attempt in APPS.iter().flat_map(|app| app.attempts) {
            let Some(module) = attempt.by else { continue };
            assert!(MODULES.iter().any(|(name, _)| *name == module), "{module}");
            assert!(REPORTS.policy.contains(&format!("name: {module}\n")), "{module}");
        }
    }

    #[test]
    fn every_name_that_is_tried_has_addresses() {
        let tries = APPS.iter().flat_map(|app| app.attempts);
        for name in
            tries.filter_map(|attempt| if let To::Name(name) = attempt.to { Some(name) } else { None })
        {
            assert!(SITES.iter().any(|(site, _)| *site == name), "{name}");
        }
    }
}
