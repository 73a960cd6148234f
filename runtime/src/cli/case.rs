//! Flows as cases of a policy module: what `egret flows --as-case` prints, in the form that `egret module test` reads.

use egret_contract::Scope;
use egret_contract::cases::{Expect, More, Sketch, Word, WorkloadSketch};
use egret_contract::shown;
use serde::Serialize;
use serde_saphyr::{FlowMap, FlowSeq};

use super::Exit;
use super::exit::Failure;
use super::flows::{destination, why};
use crate::model::{Action, FlowRecord, Reason, Verdict};

/// What stands over the cases.
pub(super) const HEAD: &str = "\
# Cases of flows that an agent saw, for `egret module test`. Put the settings of the module over them: settings: {...}
cases:
";
/// The most bytes of a line that tells what became of a flow.
const MAX_COMMENT: usize = 500;

/// Who tried to go where, for a person.
pub(super) fn title(record: &FlowRecord) -> String {
    format!("{} to {}", record.workload.id(), destination(&record.destination))
}

/// What a module is asked about the flow.
pub(super) fn sketch(record: &FlowRecord) -> Sketch {
    let (who, to) = (&record.workload, &record.destination);
    Sketch {
        workload: WorkloadSketch {
            namespace: Some(who.namespace.clone()),
            name: Some(who.name.clone()),
            labels: Some(who.labels.clone()),
            service_account: who.service_account.clone(),
            node: Some(who.node.clone()).filter(|node| !node.is_empty()),
        },
        address: Some(to.address),
        port: Some(to.port),
        protocol: Some(to.protocol.0.into()),
        names: Some(to.names.iter().map(ToString::to_string).collect()),
        time: Some(record.time),
    }
}

/// The flow as one entry of `cases`.
pub(super) fn case(record: &FlowRecord) -> Result<String, Failure> {
    let strange = |error: serde_saphyr::SerializeError| Failure::new(Exit::Failed, error);
    let sketch = sketch(record);
    let attempt = Block {
        workload: FlowMap(&sketch.workload),
        address: record.destination.address.to_string(),
        port: record.destination.port,
        protocol: record.destination.protocol.to_string(),
        names: FlowSeq(sketch.names.unwrap_or_default()),
        time: record.time.to_string(),
    };
    let head = serde_saphyr::to_string(&vec![Head { name: title(record), attempt }]).map_err(strange)?;
    let (expect, comment) = expected(record);
    let expect = match &expect {
        Expect::Word(word) => serde_saphyr::to_string(word),
        Expect::More(more) => serde_saphyr::to_string(&FlowMap(more)),
    };
    Ok(format!("{head}{comment}  expect: {}\n", expect.map_err(strange)?.trim_end()))
}

#[derive(Serialize)]
struct Head<'a> {
    name: String,
    attempt: Block<'a>,
}

/// A [`Sketch`], a line for each of its parts.
#[derive(Serialize)]
struct Block<'a> {
    workload: FlowMap<&'a WorkloadSketch>,
    address: String,
    port: u16,
    protocol: String,
    names: FlowSeq<Vec<String>>,
    time: String,
}

/// What modules said of the flow; and in lines of comment what became of it, and what to change.
fn expected(record: &FlowRecord) -> (Expect, String) {
    let (applied, observed) = (&record.applied, &record.observed);
    let by_module = [applied, observed].into_iter().find(|verdict| verdict.reason == Reason::Module);
    let (said, advice) = match by_module {
        Some(verdict) => {
            (of_module(verdict), "Another answer, where yours must say otherwise: allow, deny or next.")
        }
        None => (
            Expect::Word(Word::Next),
            "No module decided, which is `next`. Write allow or deny where yours must say so.",
        ),
    };
    let became = format!("{}: {}", applied.action, why(applied, observed));
    (said, format!("  # {}\n  # {advice}\n", shown(&became, MAX_COMMENT)))
}

fn of_module(verdict: &Verdict) -> Expect {
    let bare = |answer| More { answer, reason: None, scope: None::<Scope>, ttl: None, domain: None };
    match (verdict.action, &verdict.message) {
        (Action::Allow, _) => Expect::Word(Word::Allow),
        (Action::Deny, None) => Expect::Word(Word::Deny),
        (Action::Deny, Some(reason)) => {
            Expect::More(More { reason: Some(reason.clone()), ..bare(Word::Deny) })
        }
    }
}

#[cfg(test)]
mod tests {
    use egret_contract::cases::Cases;
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Destination, Name, Protocol, WorkloadRef};

    fn record(applied: Verdict, observed: Verdict) -> FlowRecord {
        FlowRecord {
            time: "2026-11-23T09:00:00.25Z".parse().expect("a time"),
            workload: WorkloadRef {
                namespace: "shop".into(),
                name: "web".into(),
                labels: [("app".to_owned(), "true".to_owned())].into(),
                service_account: Some("0123".into()),
                node: "node-1".into(),
            },
            destination: Destination {
                name: Name::parse("a.example.com").ok(),
                names: ["a.example.com", "b.example.com"]
                    .map(|name| Name::parse(name).expect("a name"))
                    .into(),
                address: "2001:db8::1".parse().expect("an address"),
                port: 22,
                protocol: Protocol::TCP,
            },
            applied,
            observed,
            packets: 1,
            bytes: 60,
            count: 1,
        }
    }

    fn module(action: Action, message: Option<&str>) -> Verdict {
        Verdict {
            module: Some("m".into()),
            policy: Some("shop/web".into()),
            rule: Some("module/m".into()),
            message: message.map(Into::into),
            ..Verdict::of(action, Reason::Module)
        }
    }

    fn read(record: &FlowRecord) -> Cases {
        let text = format!("{HEAD}{}", case(record).expect("written"));
        Cases::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    #[test]
    fn a_case_asks_what_the_agent_asked_and_expects_what_modules_said() {
        let default = Verdict::of(Action::Deny, Reason::DefaultDeny);
        let trial = Verdict::of(Action::Allow, Reason::NotEnforced);
        let denied = |reason: &str| {
            let reason = Some(reason.to_owned());
            Expect::More(More { answer: Word::Deny, reason, scope: None, ttl: None, domain: None })
        };
        for (applied, observed, expected, told) in [
            (default.clone(), default.clone(), Expect::Word(Word::Next), "# deny: default-deny\n"),
            (
                module(Action::Allow, None),
                default,
                Expect::Word(Word::Allow),
                "# allow: module shop/web module/m",
            ),
            (module(Action::Deny, None), trial.clone(), Expect::Word(Word::Deny), "# deny: module"),
            (module(Action::Deny, Some("22: #closed")), trial.clone(), denied("22: #closed"), "# deny"),
            (trial, module(Action::Deny, Some("x")), denied("x"), "not-enforced (if enforced: module"),
        ] {
            let record = record(applied, observed);
            let cases = read(&record);
            assert_eq!(cases.cases[0].expect.as_ref(), Some(&expected));
            assert_eq!(cases.cases[0].attempt.as_ref(), Some(&sketch(&record)));
            assert!(case(&record).expect("written").contains(told), "{told}");
        }
    }

    #[test]
    fn a_case_is_written_for_people() {
        let record = record(module(Action::Deny, Some("closed")), module(Action::Deny, Some("closed")));
        let expected = "\
- name: shop/web to a.example.com (2001:db8::1):22/TCP
  attempt:
    workload: {namespace: shop, name: web, labels: {app: \"true\"}, serviceAccount: \"0123\", node: node-1}
    address: 2001:db8::1
    port: 22
    protocol: TCP
    names: [a.example.com, b.example.com]
    time: \"2026-11-23T09:00:00.25Z\"
  # deny: module shop/web module/m: closed
  # Another answer, where yours must say otherwise: allow, deny or next.
  expect: {answer: deny, reason: closed}
";
        assert_eq!(case(&record).expect("written"), expected);
    }

    proptest! {
        #[test]
        fn whatever_labels_and_reasons_say_it_is_read_as_it_was(text in "\\PC{0,40}|[ -~\\n\\t:#{}\\[\\]'\"]{0,200}") {
            let mut record = record(module(Action::Deny, Some(&text)), module(Action::Deny, Some(&text)));
            record.workload.labels.insert("key".to_owned(), text.clone());
            record.workload.node = text;
            let cases = read(&record);
            prop_assert_eq!(cases.cases[0].attempt.as_ref(), Some(&sketch(&record)));
            let Some(Expect::More(more)) = &cases.cases[0].expect else { panic!("no reason") };
            prop_assert_eq!(&more.reason, &record.applied.message);
        }
    }
}
