//! The domains about which one workload gets no answers. Pure.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;

use crate::model::{Action, Mode, Reason, Verdict, Verdicts};

/// Domains of one workload; the one unused for longest goes.
const DOMAINS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// Domains, until when, and what is said of their answers.
pub struct Refused(LruCache<String, Until>);

#[derive(Clone, Default)]
struct Until {
    applied: Option<(Duration, Verdict)>,
    observed: Option<(Duration, Verdict)>,
}

impl Default for Refused {
    fn default() -> Self {
        Self(LruCache::new(DOMAINS))
    }
}

impl Refused {
    /// From now on `domain` is refused by `verdict`, that of a policy of `mode`, until `until`.
    pub fn add(&mut self, domain: String, mode: Mode, verdict: Verdict, until: Duration) {
        let entry = self.0.get_or_insert_mut(domain, Until::default);
        if mode == Mode::Enforce {
            entry.applied = Some((until, verdict.clone()));
        }
        entry.observed = Some((until, verdict));
    }

    /// Whether anything is refused at `now`.
    pub fn is_any(&self, now: Duration) -> bool {
        self.0.iter().any(|(_, until)| until.applied.as_ref().is_some_and(|(until, _)| now < *until))
    }

    /// The domain that `name` is in and about which there is something to say at `now`, and what; the innermost one.
    pub fn of(&mut self, name: &str, now: Duration) -> Option<(String, Verdicts)> {
        if self.0.is_empty() {
            return None;
        }
        let starts = std::iter::once(0).chain(name.match_indices('.').map(|(at, _)| at + 1));
        for domain in starts.filter_map(|start| name.get(start..)) {
            let Some(entry) = self.0.get(domain) else { continue };
            let live = |said: &Option<(Duration, Verdict)>| {
                let said = said.as_ref().filter(|(until, _)| now < *until);
                said.map(|(_, verdict)| verdict.clone())
            };
            match (live(&entry.applied), live(&entry.observed)) {
                (None, None) => drop(self.0.pop(domain)),
                (applied, observed) => {
                    let verdicts = Verdicts {
                        applied: applied.unwrap_or_else(allowed),
                        observed: observed.unwrap_or_else(allowed),
                    };
                    return Some((domain.to_owned(), verdicts));
                }
            }
        }
        None
    }
}

/// What the rule says that lets look-ups through.
fn allowed() -> Verdict {
    Verdict { rule: Some("dns".to_owned()), ..Verdict::of(Action::Allow, Reason::Rule) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn refused(domain: &str, mode: Mode) -> Refused {
        let mut refused = Refused::default();
        let verdict = Verdict::of(Action::Deny, Reason::Module);
        refused.add(domain.to_owned(), mode, verdict, NOW + Duration::from_secs(60));
        refused
    }

    #[test]
    fn a_domain_and_all_under_it_are_refused_until_the_time_is_over() {
        let mut refused = refused("evil.example", Mode::Enforce);
        for (name, after, is_refused) in [
            ("evil.example", 0, true),
            ("a.b.evil.example", 59, true),
            ("devil.example", 0, false),
            ("example", 0, false),
            ("a.b.evil.example", 60, false),
            ("evil.example", 0, false),
        ] {
            let said = refused.of(name, NOW + Duration::from_secs(after));
            assert_eq!(said.is_some(), is_refused, "{name} after {after} s");
            if let Some((domain, verdicts)) = said {
                assert_eq!((domain.as_str(), verdicts.applied.action), ("evil.example", Action::Deny));
            }
        }
    }

    #[test]
    fn what_a_policy_on_trial_says_is_told_and_refuses_nothing() {
        let (_, verdicts) =
            refused("evil.example", Mode::Observe).of("evil.example", NOW).expect("something");
        assert_eq!((verdicts.applied.action, verdicts.observed.action), (Action::Allow, Action::Deny));
    }
}
