//! Which ceilings keep an allow from an attempt that it covers.

use crate::model::{Attempt, Mode, Policy, Rule};

use super::super::asked::Which;
use super::super::evaluate::{allows, ceilings_above, counting, covers, is_within, ways};
use super::{Finding, Stage, words};

/// That ceilings keep an allow from an attempt.
pub(super) struct Cut {
    /// [`Finding::Cut`], or a match where only ceilings on trial are in the way.
    pub finding: Finding,
    /// Which ceilings.
    pub text: String,
}

/// What the ceilings among `policies` do to `rule` of `policy`, which covers `attempt`; `None` for nothing.
pub(super) fn by_ceilings(
    policies: &[&Policy],
    policy: &Policy,
    rule: &Rule,
    stage: Stage,
    attempt: &Attempt,
) -> Option<Cut> {
    if stage != Stage::Allow || allows(policies, policy, rule, attempt) {
        return None;
    }
    let ways: Vec<_> = ways(attempt).into_iter().filter(|way| covers(rule, way)).collect();
    let mut names: Vec<String> = ceilings_above(policies, &policy.id)
        .into_iter()
        .filter(|(_, ceiling)| !ways.iter().any(|way| is_within(ceiling, way)))
        .map(|(above, _)| words::ceiling(above))
        .collect();
    names.dedup();
    let text = if names.is_empty() {
        "no one name of it is within all ceilings".to_owned()
    } else {
        format!("{} does not allow it", names.join(" and "))
    };
    let in_force =
        allows(&counting(policies, Which::Applied), policy, rule, attempt) && policy.mode == Mode::Enforce;
    Some(Cut { finding: if in_force { Finding::Match } else { Finding::Cut }, text })
}
