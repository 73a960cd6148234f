//! Why: the decision order walked aloud, for whoever asks "why was I denied?". Pure; the body of `/v1/explain`.

mod cut;
mod modules;
mod near;
mod upstream;
mod words;

use serde::{Deserialize, Serialize};

use crate::model::{
    Action, Attempt, Ceiling, Kind, ModuleStage, Origin, Policy, Reason, Rule, Target, Verdict, Verdicts,
};

use super::asked::Which;
use super::evaluate::{
    ceilings, counting, covers, covers_destination, covers_port, deciding, default_denies, evaluate,
    in_order, rules, ways,
};

pub use modules::{Answered, Decider, Undecided};

/// More steps of one stage than anyone reads are counted, not listed.
const MAX_STEPS: usize = 20;

/// Both verdicts on an attempt, and how they came about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The verdicts: `applied` and `observed`. Where these are undecided, what they are if every module says `next`.
    #[serde(flatten)]
    pub verdicts: Verdicts,
    /// On which modules they depend, where these were not asked.
    #[serde(default, skip_serializing_if = "Undecided::is_empty")]
    pub undecided: Undecided,
    /// What modules said when they were asked for this explanation, in that order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked_now: Vec<Answered>,
    /// Why none was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_asked: Option<String>,
    /// What was looked at, in the order of decision.
    pub steps: Vec<Step>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// At which point of the decision.
    pub stage: Stage,
    /// What came of it.
    pub finding: Finding,
    /// Whether it decides the applied verdict.
    pub decides_applied: bool,
    /// Whether it decides the observed verdict.
    pub decides_observed: bool,
    /// A sentence for a person.
    pub text: String,
    /// The policy, as `namespace/name`, or by its name alone if it is of the cluster.
    pub policy: Option<String>,
    /// The rule's name, or `allow[0]`; of a ceiling that entry which covers the attempt.
    pub rule: Option<String>,
    /// The module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Where the rule or the policy is written.
    pub origin: Option<Origin>,
}

/// A point of the decision, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Whether it is a question to a resolver that the workload trusts.
    Resolver,
    /// Which policies select the workload.
    Policies,
    /// Deny rules.
    Deny,
    /// NetworkPolicy and ClusterNetworkPolicy, where the agent follows them: a layer of its own.
    NetworkPolicies,
    /// The modules that are asked wherever no rule denies.
    Always,
    /// The ceilings of policies of the cluster, which bound the allows below them.
    Ceiling,
    /// Allow rules.
    Allow,
    /// The modules that are asked where no rule speaks.
    Unmatched,
    /// The default.
    Default,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// It speaks of the attempt.
    Match,
    /// It speaks of the attempt, or is a module that is asked, and a ceiling above it does not allow the attempt.
    Cut,
    /// It almost does: most likely what the asker had in mind.
    NearMiss,
    /// Nothing here speaks of the attempt.
    Nothing,
    /// It cannot be told from what was asked.
    Unknown,
    /// A module is asked, and what it says may decide.
    Asked,
}

/// Both verdicts on `attempt`, as [`evaluate`] gives them, the modules that may turn them, and the way there.
#[must_use]
pub fn explain(policies: &[&Policy], attempt: &Attempt, kind: Kind) -> Explanation {
    let policies = in_order(policies);
    let verdicts = evaluate(&policies, attempt, kind);
    let enforced = counting(&policies, Which::Applied);
    let question = Question { policies, enforced, attempt, kind, verdicts };
    let mut steps = question.selecting();
    if !question.policies.is_empty() {
        steps.extend(question.by_rules(Stage::Deny, Action::Deny));
        steps.extend(question.by_upstream());
        steps.extend(question.by_modules(ModuleStage::Always, Stage::Always));
        steps.extend(question.by_ceilings());
        steps.extend(question.by_rules(Stage::Allow, Action::Allow));
        steps.extend(question.by_modules(ModuleStage::Unmatched, Stage::Unmatched));
        steps.extend(question.by_default());
    }
    let undecided = question.undecided();
    Explanation { undecided, verdicts: question.verdicts, asked_now: Vec::new(), not_asked: None, steps }
}

/// The explanation of a question to a resolver that the workload trusts: no policy is asked about it.
#[must_use]
pub fn explain_question() -> Explanation {
    let verdict = Verdict { rule: Some("dns".to_owned()), ..Verdict::of(Action::Allow, Reason::Rule) };
    let text = "a question to a resolver that the workload trusts; it is allowed whatever the policies say";
    let step = Step::new(Stage::Resolver, Finding::Match, text).deciding(true, true);
    let verdicts = Verdicts { applied: verdict.clone(), observed: verdict };
    let undecided = Undecided::default();
    Explanation { verdicts, undecided, asked_now: Vec::new(), not_asked: None, steps: vec![step] }
}

struct Question<'a> {
    policies: Vec<&'a Policy>,
    enforced: Vec<&'a Policy>,
    attempt: &'a Attempt,
    kind: Kind,
    /// By rules and defaults.
    verdicts: Verdicts,
}

impl Question<'_> {
    fn selecting(&self) -> Vec<Step> {
        if self.policies.is_empty() {
            let text = "no policy selects the workload: it is unmanaged, and everything is allowed";
            return vec![Step::new(Stage::Policies, Finding::Nothing, text).deciding(true, true)];
        }
        let describe = |policy: &&Policy| {
            let text = format!("{} selects the workload: {}", words::named(policy), words::policy(policy));
            Step::new(Stage::Policies, Finding::Match, text).of_policy(policy)
        };
        shortened(Stage::Policies, self.policies.iter().map(describe).collect())
    }

    fn by_rules(&self, stage: Stage, action: Action) -> Vec<Step> {
        let all = || self.policies.iter().flat_map(|p| rules(p, action).iter().map(|rule| (*p, rule)));
        let mut steps = self.unknowns(stage, all().map(|(_, rule)| rule));
        let deciding_of = |policies: &[_]| deciding(policies, action, self.attempt).map(|(_, rule)| rule);
        let (applied, observed) =
            (self.has_a_say(action, &self.enforced), self.has_a_say(action, &self.policies));
        let applied = deciding_of(&self.enforced).filter(|_| applied);
        let observed = deciding_of(&self.policies).filter(|_| observed);
        let is = |rule: &Rule, decides: Option<&Rule>| decides.is_some_and(|other| std::ptr::eq(rule, other));
        let mut spoken: Vec<Step> = all()
            .filter_map(|(policy, rule)| {
                let step = self.by_rule(stage, policy, rule)?;
                Some(step.deciding(is(rule, applied), is(rule, observed)))
            })
            .collect();
        // What decides first, then what matches, then what almost does; the sort is stable.
        spoken.sort_by_key(|step| (!(step.decides_applied || step.decides_observed), step.finding));
        if !spoken.iter().any(|step| matches!(step.finding, Finding::Match | Finding::Cut)) {
            let count = all().count();
            let text = words::nothing(action, count);
            spoken.insert(0, Step::new(stage, Finding::Nothing, text));
        }
        steps.splice(0..0, shortened(stage, spoken));
        steps
    }

    /// Whether rules of `action` have a say: no deny came before them.
    fn has_a_say(&self, action: Action, policies: &[&Policy]) -> bool {
        action == Action::Deny
            || (deciding(policies, Action::Deny, self.attempt).is_none() && !self.upstream_denies())
    }

    fn by_rule(&self, stage: Stage, policy: &Policy, rule: &Rule) -> Option<Step> {
        let says = words::says(policy, rule, stage == Stage::Deny);
        let is_known = covers_destination(rule, self.attempt);
        let (finding, text) = if covers(rule, self.attempt) {
            match cut::by_ceilings(&self.policies, policy, rule, stage, self.attempt) {
                None => (Finding::Match, says),
                Some(cut) => (cut.finding, format!("{says}, but {}", cut.text)),
            }
        } else if is_known {
            let asked = words::port(self.attempt.protocol, self.attempt.port);
            (Finding::NearMiss, format!("{says}, not on {asked}{}", words::ports_at(rule, self.attempt)))
        } else if covers_port(rule, self.attempt) {
            let near = near::miss(rule, self.attempt).or_else(|| words::notes(rule))?;
            (Finding::NearMiss, format!("{says}, but {near}"))
        } else {
            return None;
        };
        Some(Step::new(stage, finding, text).of_policy(policy).of_rule(rule))
    }

    /// Whether each ceiling lets the attempt pass. None decides: where it does not, no allow of a namespace does.
    fn by_ceilings(&self) -> Vec<Step> {
        let step = |(policy, ceiling): (&Policy, &Ceiling)| {
            let ways = ways(self.attempt);
            let entry = ceiling.entries.iter().find(|entry| ways.iter().any(|way| covers(entry, way)));
            match entry {
                Some(entry) => {
                    Step::new(Stage::Ceiling, Finding::Match, words::ceiling_allows(policy, entry))
                        .of_policy(policy)
                        .of_rule(entry)
                }
                None => {
                    let near = ceiling.entries.iter().find_map(|entry| self.almost(entry));
                    let text = words::ceiling_denies(policy, ceiling, near);
                    let step = Step::new(Stage::Ceiling, Finding::Nothing, text).of_policy(policy);
                    Step { origin: Some(ceiling.origin.clone()), ..step }
                }
            }
        };
        shortened(Stage::Ceiling, ceilings(&self.policies).into_iter().map(step).collect())
    }

    /// How an entry of a ceiling that does not cover the attempt almost does.
    fn almost(&self, entry: &Rule) -> Option<String> {
        if covers_destination(entry, self.attempt) {
            let asked = words::port(self.attempt.protocol, self.attempt.port);
            let there = words::ports_at(entry, self.attempt);
            Some(format!("{} covers it, but not on {asked}{there}", entry.name))
        } else if covers_port(entry, self.attempt) {
            near::miss(entry, self.attempt).or_else(|| words::notes(entry))
        } else {
            None
        }
    }

    /// What cannot be told without an address, or without a name.
    fn unknowns<'r>(&self, stage: Stage, rules: impl Iterator<Item = &'r Rule>) -> Vec<Step> {
        let (mut by_address, mut by_name) = (0_usize, 0_usize);
        for rule in rules.filter(|rule| covers_port(rule, self.attempt)) {
            by_address += usize::from(rule.to.iter().any(|target| !matches!(target, Target::Fqdn(_))));
            by_name += usize::from(rule.to.iter().any(|target| matches!(target, Target::Fqdn(_))));
        }
        let mut texts = Vec::new();
        if self.attempt.address.is_none() && by_address > 0 {
            texts.push(words::without_address(stage == Stage::Deny, by_address));
        }
        if self.attempt.names.is_empty() && by_name > 0 {
            texts.push(words::without_name(by_name));
        }
        texts.into_iter().map(|text| Step::new(stage, Finding::Unknown, text)).collect()
    }

    fn by_default(&self) -> Vec<Step> {
        let upstream = self.upstream();
        let open = |policies: &[&Policy]| {
            let rules = [Action::Deny, Action::Allow];
            rules.into_iter().all(|action| deciding(policies, action, self.attempt).is_none())
                && !self.is_told(upstream, policies)
        };
        let (applied_open, observed_open) = (open(&self.enforced), open(&self.policies));
        let denies = |policy: &&&Policy| default_denies(policy, self.kind);
        let first_enforced = self.enforced.iter().find(denies);
        let first = self.policies.iter().find(denies);
        let mut steps = Vec::new();
        for policy in self.policies.iter().filter(|policy| policy.denies_by_default()) {
            let is_first = |first: Option<&&Policy>| first.is_some_and(|other| other.id == policy.id);
            let decides = (applied_open && is_first(first_enforced), observed_open && is_first(first));
            let covered = default_denies(policy, self.kind);
            let finding = if covered { Finding::Match } else { Finding::Nothing };
            let text = words::default(policy, covered, self.kind);
            let step = Step::new(Stage::Default, finding, text).of_policy(policy);
            steps.push(step.deciding(decides.0, decides.1));
        }
        let mut steps = shortened(Stage::Default, steps);
        let (applied, observed) =
            (applied_open && first_enforced.is_none(), observed_open && first.is_none());
        if applied || observed {
            let text = words::no_default(applied, observed);
            steps.push(Step::new(Stage::Default, Finding::Nothing, text).deciding(applied, observed));
        }
        steps
    }
}

impl Step {
    fn new(stage: Stage, finding: Finding, text: impl Into<String>) -> Self {
        Self {
            stage,
            finding,
            decides_applied: false,
            decides_observed: false,
            text: text.into(),
            policy: None,
            rule: None,
            module: None,
            origin: None,
        }
    }

    fn of_policy(self, policy: &Policy) -> Self {
        Self { policy: Some(policy.id.to_string()), origin: Some(policy.origin.clone()), ..self }
    }

    fn of_rule(self, rule: &Rule) -> Self {
        Self { rule: Some(rule.name.clone()), origin: Some(rule.origin.clone()), ..self }
    }

    fn deciding(self, applied: bool, observed: bool) -> Self {
        Self { decides_applied: applied, decides_observed: observed, ..self }
    }
}

/// The first steps, those that decide among them, and a count of the others.
fn shortened(stage: Stage, mut steps: Vec<Step>) -> Vec<Step> {
    let more = steps.len().saturating_sub(MAX_STEPS);
    if more > 0 {
        let mut place = 0..;
        steps.retain(|step| place.next() < Some(MAX_STEPS) || step.decides_applied || step.decides_observed);
        steps.push(Step::new(stage, Finding::Nothing, format!("and about {more} more of this kind")));
    }
    steps
}
