//! Who tries to go where, and what should come of it. Pure data.

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
}

/// A pod that no policy selects.
pub const DATABASE: &str = "payment/database";
/// Where it listens.
pub const DATABASE_PORT: u16 = 5432;

/// What the resolver knows: a name and its address of each family. All of them listen on 22, 80 and 443.
pub const SITES: [(&str, [&str; 2]); 4] = [
    ("github.com", ["192.0.2.10", "2001:db8::10"]),
    ("pagerduty.com", ["192.0.2.20", "2001:db8::20"]),
    ("example.com", ["192.0.2.30", "2001:db8::30"]),
    ("paste.example.net", ["203.0.113.66", "2001:db8:66::66"]),
];

/// A place without a name.
const BARE: To = To::Address("198.51.100.7", "2001:db8:7::7");

/// The three applications.
pub const APPS: [App; 3] = [
    App {
        pod: "payment/payment",
        file: "payment.yaml",
        policy: include_str!("../../demo/payment.yaml"),
        attempts: &[
            Try { to: To::Database, port: DATABASE_PORT, allowed: true },
            Try { to: To::Name("github.com"), port: 443, allowed: false },
            Try { to: To::Name("pagerduty.com"), port: 443, allowed: false },
            Try { to: To::Name("paste.example.net"), port: 80, allowed: false },
            Try { to: BARE, port: 443, allowed: false },
        ],
    },
    App {
        pod: "updates/update",
        file: "updates.yaml",
        policy: include_str!("../../demo/updates.yaml"),
        attempts: &[
            Try { to: To::Name("github.com"), port: 22, allowed: true },
            Try { to: To::Name("github.com"), port: 443, allowed: false },
            Try { to: To::Name("pagerduty.com"), port: 443, allowed: false },
            Try { to: To::Name("example.com"), port: 80, allowed: false },
            Try { to: BARE, port: 22, allowed: false },
        ],
    },
    App {
        pod: "alerts/alert",
        file: "alerts.yaml",
        policy: include_str!("../../demo/alerts.yaml"),
        attempts: &[
            Try { to: To::Name("pagerduty.com"), port: 443, allowed: true },
            Try { to: To::Name("pagerduty.com"), port: 22, allowed: false },
            Try { to: To::Name("github.com"), port: 22, allowed: false },
            Try { to: To::Name("github.com"), port: 443, allowed: false },
            Try { to: To::Name("example.com"), port: 443, allowed: false },
        ],
    },
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
    fn every_name_that_is_tried_has_addresses() {
        let tries = APPS.iter().flat_map(|app| app.attempts);
        for name in
            tries.filter_map(|attempt| if let To::Name(name) = attempt.to { Some(name) } else { None })
        {
            assert!(SITES.iter().any(|(site, _)| *site == name), "{name}");
        }
    }
}
