//! What a module may be asked about, from a file: flows as an agent told them, cases, or one attempt. Which of them it is,
//! the file itself says.

use std::path::Path;

use egret_contract::cases::{Asked, Cases, Sketch};
use serde_json::Value;

use super::super::Exit;
use super::super::case;
use super::super::exit::Failure;
use super::super::table::clean;
use super::load;
use crate::model::FlowRecord;

/// The most bytes of a file of flows: what an agent's log comes to, and some.
const MAX_FLOWS: u64 = 64 << 20;

/// Something that was tried, or might be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Captured {
    /// A sentence for people.
    pub name: String,
    /// The settings that go with it, where the file says any.
    pub settings: Option<Value>,
    pub attempt: Sketch,
}

/// All that `path` holds, in its order: JSON lines of `egret flows -o json`, cases, or one attempt.
pub(super) fn read(path: &Path) -> Result<Vec<Captured>, Failure> {
    let text = load::text_of(path, MAX_FLOWS)?;
    let found = parse(&text).map_err(|error| wrong(path, &error))?;
    if found.is_empty() { Err(wrong(path, "it has no flows")) } else { Ok(found) }
}

/// The one attempt, flow or case of `path`.
pub(super) fn read_one(path: &Path) -> Result<Captured, Failure> {
    let mut found = read(path)?;
    match (found.len(), found.pop()) {
        (1, Some(one)) => Ok(one),
        (count, last) => Err(Failure::with_fix(
            Exit::Usage,
            format!(
                "{}: it holds {count} attempts, and one is asked about; the last is `{}`",
                path.display(),
                clean(&last.map(|last| last.name).unwrap_or_default())
            ),
            "give one of them; `egret module test` asks about all cases, `egret module diff` about all flows",
        )),
    }
}

fn wrong(path: &Path, error: &str) -> Failure {
    let fix = "give lines of `egret flows -o json`, cases of `egret flows --as-case`, or an attempt";
    Failure::with_fix(Exit::Usage, format!("{}: {error}", path.display()), fix)
}

fn parse(text: &str) -> Result<Vec<Captured>, String> {
    if is_flows(text) {
        return flows(text);
    }
    let yaml = |error: serde_saphyr::Error| error.without_snippet().to_string();
    match serde_saphyr::from_str::<Value>(text).map_err(yaml)? {
        Value::Array(_) => Ok(cases(&Cases::parse(&format!("cases:\n{text}"))?)),
        Value::Object(keys) if keys.contains_key("cases") => Ok(cases(&Cases::parse(text)?)),
        Value::Null => Ok(Vec::new()),
        _ => {
            let attempt = serde_saphyr::from_str(text).map_err(yaml)?;
            Ok(vec![Captured { name: "the attempt".to_owned(), settings: None, attempt }])
        }
    }
}

/// Whether it begins with a flow record. An attempt in JSON has another shape.
fn is_flows(text: &str) -> bool {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    matches!(values.next(), Some(Ok(Value::Object(keys))) if keys.contains_key("destination"))
}

fn flows(text: &str) -> Result<Vec<Captured>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = lines.map(|(at, line)| {
        let record: FlowRecord =
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", at + 1))?;
        Ok(Captured { name: case::title(&record), settings: None, attempt: case::sketch(&record) })
    });
    read.collect()
}

/// Each attempt of each case that asks any.
fn cases(cases: &Cases) -> Vec<Captured> {
    let all = cases.cases.iter().flat_map(|case| {
        let own = cases.settings_of(case);
        let settings = (!own.is_null() || case.settings.is_some()).then(|| own.clone());
        let steps = cases.steps_of(case);
        let count = steps.len();
        steps.into_iter().enumerate().filter_map(move |(at, (asked, _))| {
            let Asked::Attempt(attempt) = asked else { return None };
            let step = if count > 1 { format!(", step {}", at + 1) } else { String::new() };
            let name = format!("{}{step}", case.name);
            Some(Captured { name, settings: settings.clone(), attempt: attempt.into() })
        })
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FLOW: &str = r#"{"time":"2026-11-23T09:00:00Z","workload":{"namespace":"shop","name":"web","labels":{"app":"web"},"serviceAccount":"web","node":"node-1"},"destination":{"name":"a.example","names":["a.example"],"address":"192.0.2.7","port":22,"protocol":"TCP"},"applied":{"action":"deny","reason":"default-deny","rule":null,"policy":null,"module":null},"observed":{"action":"deny","reason":"default-deny","rule":null,"policy":null,"module":null},"packets":1,"bytes":60,"count":1}"#;

    #[test]
    fn a_flow_as_the_agent_tells_it_and_its_case_are_the_same_attempt() {
        let record: FlowRecord = serde_json::from_str(FLOW).expect("a record");
        let case = case::case(&record).expect("written");
        let whole = format!("{}{case}", case::HEAD);
        let flow = parse(FLOW).expect("a flow");
        assert_eq!(flow[0].name, "shop/web to a.example (192.0.2.7):22/TCP");
        assert_eq!(parse(&case), Ok(flow.clone()), "entries alone");
        assert_eq!(parse(&whole), Ok(flow.clone()));
        assert_eq!(parse(&format!("{FLOW}\n\n{FLOW}\n")).map(|all| all.len()), Ok(2));
    }

    #[test]
    fn cases_bring_their_settings_and_each_of_their_steps() {
        let text = "settings: {a: 1}\ncases:\n- {name: one, expect: next}\n- {name: no, settings: {}, refused: b}\n\
                    - name: two\n  settings: null\n  steps:\n  - {expect: next, times: 2}\n";
        let told: Vec<_> = parse(text).expect("cases").into_iter().map(|c| (c.name, c.settings)).collect();
        let expected = [
            ("one".to_owned(), Some(json!({"a": 1}))),
            ("two, step 1".to_owned(), Some(Value::Null)),
            ("two, step 2".to_owned(), Some(Value::Null)),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn an_attempt_is_read_from_yaml_and_from_json() {
        for text in ["{names: [a.example], port: 22}", r#"{"names": ["a.example"], "port": 22}"#] {
            let read = parse(text).expect("an attempt");
            assert_eq!((read[0].attempt.port, read.len()), (Some(22), 1), "{text}");
        }
    }

    #[test]
    fn what_is_none_of_them_is_told_with_its_place() {
        for (text, words) in [
            (format!("{FLOW}\n{{\"time\": 7}}\n"), "line 2: "),
            ("cases: []".to_owned(), "no cases"),
            ("{prot: 22}".to_owned(), "prot"),
            ("- {expect: next}".to_owned(), "name"),
        ] {
            let error = parse(&text).expect_err("wrong");
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(parse("# No flow was denied.\n"), Ok(Vec::new()));
    }
}
