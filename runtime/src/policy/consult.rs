//! The decision with modules: who decides an attempt, rules and modules together. Pure: whoever calls runs the modules.
//!
//! In this order: deny rules of the cluster, then of the namespace; modules of stage `always`, all of which are asked and
//! any of which denies; allow rules; modules of stage `unmatched`, of which the first that does not say `next` decides;
//! the default.

use crate::model::{Action, Attempt, Kind, ModuleAnswer, ModuleStage, Policy, Reason, Verdict, Verdicts};

use super::asked::{Asked, Which};
use super::evaluate::{counting, evaluate, within_ceilings};

/// Both verdicts on `attempt` by `policies`, those that select the workload, in any order, and by `modules`, those of
/// their ruleset, in its order. `kind` is that of the destination.
///
/// `ask` is called with what may change a verdict, and with each module once at the most; what it says counts in both
/// verdicts. What stands in for a module that gives no answer is its to say ([`Asked::failure`]).
#[must_use]
pub fn consult(
    policies: &[&Policy],
    modules: &[Asked],
    attempt: &Attempt,
    kind: Kind,
    ask: &mut dyn FnMut(&Asked) -> ModuleAnswer,
) -> Verdicts {
    consult_after(evaluate(policies, attempt, kind), policies, modules, attempt, kind, ask)
}

/// The same where it is known already what rules and default say: `by_rules`, as [`evaluate`] gives it.
#[must_use]
pub fn consult_after(
    by_rules: Verdicts,
    policies: &[&Policy],
    modules: &[Asked],
    attempt: &Attempt,
    kind: Kind,
    ask: &mut dyn FnMut(&Asked) -> ModuleAnswer,
) -> Verdicts {
    let mut round = Round { policies, modules, attempt, kind, answers: vec![None; modules.len()], ask };
    round.ask_always(&by_rules);
    let Verdicts { applied, observed } = by_rules;
    Verdicts {
        applied: round.judge(Which::Applied, applied),
        observed: round.judge(Which::Observed, observed),
    }
}

/// One attempt, and what modules have said of it so far.
struct Round<'a> {
    policies: &'a [&'a Policy],
    modules: &'a [Asked],
    attempt: &'a Attempt,
    kind: Kind,
    /// By place in `modules`.
    answers: Vec<Option<ModuleAnswer>>,
    ask: &'a mut dyn FnMut(&Asked) -> ModuleAnswer,
}

impl<'a> Round<'a> {
    /// Asks every module of stage `always` that counts where no rule denies: one that keeps count must see each attempt,
    /// whatever another says.
    fn ask_always(&mut self, by_rules: &Verdicts) {
        let open = |which| match which {
            Which::Applied => !is_by_rule(&by_rules.applied, Action::Deny),
            Which::Observed => !is_by_rule(&by_rules.observed, Action::Deny),
        };
        let modules = self.modules;
        for (place, asked) in modules.iter().enumerate() {
            let matters = Which::BOTH.into_iter().any(|which| open(which) && which.counts(asked.mode));
            if matters && asked.is_asked(ModuleStage::Always, self.kind) {
                self.answer(place, asked);
            }
        }
    }

    fn judge(&mut self, which: Which, by_rules: Verdict) -> Verdict {
        if is_by_rule(&by_rules, Action::Deny) {
            return by_rules;
        }
        for (place, asked) in self.counting(which, ModuleStage::Always) {
            if self.answer(place, asked) == ModuleAnswer::Deny {
                return asked.verdict(Action::Deny);
            }
        }
        if is_by_rule(&by_rules, Action::Allow) {
            return by_rules;
        }
        for (place, asked) in self.counting(which, ModuleStage::Unmatched) {
            match self.answer(place, asked) {
                ModuleAnswer::Deny => return asked.verdict(Action::Deny),
                ModuleAnswer::Allow if self.may_allow(which, asked) => return asked.verdict(Action::Allow),
                ModuleAnswer::Allow | ModuleAnswer::Next => {}
            }
        }
        by_rules
    }

    /// The modules that count in this verdict, with their places.
    fn counting(
        &self,
        which: Which,
        stage: ModuleStage,
    ) -> impl Iterator<Item = (usize, &'a Asked)> + use<'a> {
        let kind = self.kind;
        let all = self.modules.iter().enumerate();
        all.filter(move |(_, asked)| which.counts(asked.mode) && asked.is_asked(stage, kind))
    }

    fn answer(&mut self, place: usize, asked: &Asked) -> ModuleAnswer {
        *self.answers[place].get_or_insert_with(|| (self.ask)(asked))
    }

    /// Whether every ceiling above a module lets its allow pass, which is one of the attempt in every way.
    fn may_allow(&self, which: Which, asked: &Asked) -> bool {
        within_ceilings(&counting(self.policies, which), &asked.policy, self.attempt, |_| true)
    }
}

fn is_by_rule(verdict: &Verdict, action: Action) -> bool {
    verdict.reason == Reason::Rule && verdict.action == action
}
