//! An explanation once its modules were asked.

use egret_contract::Scope;

use super::super::{Answered, Explanation, Step, consult, explain};
use super::consulting::asked_by;
use super::{attempt, policies};
use crate::model::{Action, Kind, ModuleAnswer, Reason};

const ASKING: &str = "mode: Enforce, scope: all, default: Deny, modules: [{name: first, stage: unmatched}, \
                      {name: second, stage: unmatched}, {name: veto, stage: always}]";

/// What is told where the modules say this of an attempt that no rule speaks of; with a fault where they say nothing.
fn told(answers: &[(&str, Option<ModuleAnswer>)]) -> Explanation {
    let policies = policies(&[ASKING]);
    let policies: Vec<_> = policies.iter().collect();
    let attempt = attempt("@192.0.2.1|TCP|443");
    let mut answered = Vec::new();
    let verdicts = consult(&policies, &asked_by(&policies), &attempt, Kind::Internet, &mut |asked| {
        let answer = answers.iter().find(|(name, _)| *name == &*asked.module.name);
        let said = answer.and_then(|(_, answer)| *answer).ok_or_else(|| "it trapped".to_owned());
        let reason =
            said.clone().ok().filter(|said| *said == ModuleAnswer::Deny).map(|_| "closed".to_owned());
        let one = Answered::new(asked, said.map(|said| (said, reason, Scope::Address, 60)));
        answered.push(one.clone());
        one.answer
    });
    let explanation = explain(&policies, &attempt, Kind::Internet);
    assert!(!explanation.undecided.is_empty() && explanation.asked_now.is_empty());
    explanation.answered(verdicts, answered)
}

fn deciding(explanation: &Explanation) -> Vec<&Step> {
    explanation.steps.iter().filter(|step| step.decides_applied && step.decides_observed).collect()
}

#[test]
fn what_modules_say_decides_and_is_told_at_their_steps() {
    use ModuleAnswer::{Allow, Deny, Next};
    for (first, second, veto, action, decides, words) in [
        (
            Some(Allow),
            Some(Deny),
            Some(Next),
            Action::Allow,
            "first",
            "it says `allow` for this address and port",
        ),
        (
            Some(Next),
            Some(Deny),
            Some(Next),
            Action::Deny,
            "second",
            "it says `deny` (closed) for this address",
        ),
        (Some(Allow), Some(Allow), Some(Deny), Action::Deny, "veto", "it says `deny` (closed)"),
        (
            None,
            Some(Allow),
            Some(Next),
            Action::Deny,
            "first",
            "it fails (it trapped), and its failure policy counts: deny",
        ),
    ] {
        let explanation = told(&[("first", first), ("second", second), ("veto", veto)]);
        assert!(explanation.undecided.is_empty());
        for verdict in [&explanation.verdicts.applied, &explanation.verdicts.observed] {
            assert_eq!((verdict.action, verdict.reason), (action, Reason::Module));
            assert_eq!(verdict.module.as_deref(), Some(decides));
            assert_eq!(verdict.message.is_some(), action == Action::Deny);
        }
        let [step] = deciding(&explanation)[..] else { panic!("one step decides: {:?}", explanation.steps) };
        assert_eq!(step.module.as_deref(), Some(decides));
        assert!(step.text.contains(words), "{}", step.text);
    }
    let explanation = told(&[("first", Some(Allow)), ("second", Some(Deny)), ("veto", Some(Next))]);
    let second = explanation.steps.iter().find(|step| step.module.as_deref() == Some("second"));
    assert!(
        second.is_some_and(|step| step.text.ends_with("not asked now, for what was said before decides"))
    );
    let body = serde_json::to_value(&explanation).expect("JSON");
    assert_eq!(body["askedNow"][1]["answer"], "allow");
    assert_eq!(serde_json::from_value::<Explanation>(body).expect("the same"), explanation);
}

#[test]
fn where_no_module_speaks_the_default_decides_as_before() {
    let next = Some(ModuleAnswer::Next);
    let explanation = told(&[("first", next), ("second", next), ("veto", next)]);
    assert_eq!(explanation.verdicts.applied.reason, Reason::DefaultDeny);
    let [step] = deciding(&explanation)[..] else { panic!("one step decides: {:?}", explanation.steps) };
    assert!(step.module.is_none() && step.text.contains("denies everything by default"), "{}", step.text);
}
