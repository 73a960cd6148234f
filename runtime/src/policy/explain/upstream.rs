//! The layer of Kubernetes' own policies: which of their rules decides, and what comes near.

use crate::model::{Action, Policy, Tier, UpstreamAction, UpstreamRule};

use super::super::compile::ISOLATION;
use super::super::evaluate::{asks_unmatched, covers_destination, deciding, default_denies};
use super::super::tiers::{Outcome, of_tier, outcome, says};
use super::{Finding, Question, Stage, Step, shortened, words};

const STAGE: Stage = Stage::NetworkPolicies;

impl<'a> Question<'a> {
    /// What that layer says, as long as any of its policies selects the workload.
    pub(super) fn by_upstream(&self) -> Vec<Step> {
        let said = self.upstream();
        let decides = (self.is_told(said, &self.enforced), self.is_told(said, &self.policies));
        let decided = match said {
            Outcome::Nothing if self.policies.iter().any(|policy| policy.upstream.is_some()) => {
                return vec![Step::new(STAGE, Finding::Unknown, words::UPSTREAM_WITHOUT_ADDRESS)];
            }
            Outcome::Nothing => return Vec::new(),
            Outcome::Open => Step::new(STAGE, Finding::Nothing, words::UPSTREAM_OPEN),
            Outcome::Accepted(policy, rule) | Outcome::Denied(policy, rule) => {
                let says = words::upstream_says(policy, rule, matches!(said, Outcome::Denied(..)));
                Step::new(STAGE, Finding::Match, says).of_policy(policy).of_rule(rule)
            }
            Outcome::Isolated(first) => {
                let all = of_tier(&self.policies, Tier::NetworkPolicy);
                let all: Vec<_> = all.into_iter().map(|(policy, _)| policy).collect();
                let step = Step::new(STAGE, Finding::Match, words::isolated(&all)).of_policy(first);
                Step { rule: Some(ISOLATION.to_owned()), ..step }
            }
        };
        let mut steps = vec![decided.deciding(decides.0, decides.1)];
        steps.extend(self.near_upstream());
        shortened(STAGE, steps)
    }

    /// Rules that cover the destination, and not on this port.
    fn near_upstream(&self) -> impl Iterator<Item = Step> {
        let rules = self.policies.iter().flat_map(|policy| {
            let rules = policy.upstream.iter().flat_map(|upstream| &upstream.rules);
            rules.map(move |rule| (*policy, rule))
        });
        let near = |(policy, upstream): (&Policy, &UpstreamRule)| {
            let UpstreamRule { action, rule } = upstream;
            let asked = words::port(self.attempt.protocol, self.attempt.port);
            let text = match says(upstream, self.attempt) {
                None if covers_destination(rule, self.attempt) => {
                    let there = words::ports_at(rule, self.attempt);
                    let says = words::upstream_says(policy, rule, *action == UpstreamAction::Deny);
                    Some(format!("{says}, not on {asked}{there}"))
                }
                _ => None,
            };
            Some(Step::new(STAGE, Finding::NearMiss, text?).of_policy(policy).of_rule(rule))
        };
        rules.filter_map(near).collect::<Vec<_>>().into_iter()
    }

    /// What that layer says.
    pub(super) fn upstream(&self) -> Outcome<'a> {
        outcome(&self.policies, self.attempt, self.kind)
    }

    /// Whether that layer denies it.
    pub(super) fn upstream_denies(&self) -> bool {
        matches!(self.upstream(), Outcome::Denied(..) | Outcome::Isolated(_))
    }

    /// Whether what that layer says decides the verdict by `policies`. A rule that accepts does only where no other has a say.
    pub(super) fn is_told(&self, said: Outcome<'_>, policies: &[&Policy]) -> bool {
        let speaks = |action| deciding(policies, action, self.attempt).is_some();
        match said {
            Outcome::Nothing | Outcome::Open => false,
            Outcome::Denied(..) | Outcome::Isolated(_) => !speaks(Action::Deny),
            Outcome::Accepted(..) => {
                let denies = policies.iter().any(|policy| default_denies(policy, self.kind));
                !speaks(Action::Deny)
                    && !speaks(Action::Allow)
                    && !denies
                    && !asks_unmatched(policies, self.kind)
            }
        }
    }
}
