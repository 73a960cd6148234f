//! The settings of a module: any mapping, kept as canonical JSON, so that equal settings are equal texts.

use std::sync::Arc;

use super::super::yaml::{Entry, MAX_FILE_BYTES, Node, Value};
use super::reader::Reader;

/// No settings.
pub(super) const NONE: &str = "{}";

/// The settings of `entry`: keys sorted, no white space, a key at most once as the parser saw to.
pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry) -> Option<Arc<str>> {
    if !matches!(entry.node.value, Value::Map(_)) {
        let reason = format!("`settings` must be a mapping, but this is {}", entry.node.value.kind());
        reader.refuse(entry.node.at, reason, "write `settings: {KEY: VALUE}`, or leave it out");
        return None;
    }
    let mut json = String::new();
    if write(&entry.node, &mut json).is_err() {
        // Aliases can say more than the file is long.
        let reason = format!("the settings come to more than {MAX_FILE_BYTES} bytes");
        reader.refuse(entry.at, reason, "write less, and aliases out");
        return None;
    }
    Some(json.into())
}

struct TooLong;

fn write(node: &Node, json: &mut String) -> Result<(), TooLong> {
    match &node.value {
        Value::Null => json.push_str("null"),
        Value::Bool(value) => json.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => json.push_str(&number.to_string()),
        // The parser lets none through that is not finite.
        Value::Fraction(number) => json.push_str(&serde_json::Value::from(*number).to_string()),
        Value::Text(text) => write_text(text, json),
        Value::List(items) => {
            json.push('[');
            separated(items, json, write)?;
            json.push(']');
        }
        Value::Map(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by_key(|entry| &entry.key);
            json.push('{');
            separated(sorted, json, |entry, json| {
                write_text(&entry.key, json);
                json.push(':');
                write(&entry.node, json)
            })?;
            json.push('}');
        }
    }
    if json.len() > MAX_FILE_BYTES { Err(TooLong) } else { Ok(()) }
}

fn separated<T>(
    items: impl IntoIterator<Item = T>,
    json: &mut String,
    write: impl Fn(T, &mut String) -> Result<(), TooLong>,
) -> Result<(), TooLong> {
    for (place, item) in items.into_iter().enumerate() {
        if place > 0 {
            json.push(',');
        }
        write(item, json)?;
    }
    Ok(())
}

fn write_text(text: &str, json: &mut String) {
    json.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::super::super::yaml::documents;
    use super::*;

    fn settings(text: &str) -> Result<String, Vec<String>> {
        let (file, text) = ("a".into(), format!("settings: {text}\n").into());
        let documents = documents(&file, &text).expect("YAML");
        let Value::Map(entries) = &documents[0].value else { panic!("a mapping") };
        let mut reader = Reader::new(&file, &text);
        let read = read(&mut reader, &entries[0]);
        read.map(|json| json.to_string())
            .ok_or_else(|| reader.problems.iter().map(|problem| problem.reason.clone()).collect())
    }

    #[test]
    fn equal_settings_are_one_text_however_they_are_written() {
        for (text, expected) in [
            ("{}", "{}"),
            ("{b: 1, a: [x, 2, -3, true, null, 1.5]}", r#"{"a":["x",2,-3,true,null,1.5],"b":1}"#),
            (
                "\n  b: 1\n  a:\n  - x\n  - 2\n  - -3\n  - true\n  - ~\n  - 1.50",
                r#"{"a":["x",2,-3,true,null,1.5],"b":1}"#,
            ),
            ("{from: \"08:00\", zone: Europe/Paris}", r#"{"from":"08:00","zone":"Europe/Paris"}"#),
            ("{a: {z: 1, y: {}}, A: []}", r#"{"A":[],"a":{"y":{},"z":1}}"#),
            ("{a: \"say \\\"é\\\"\\n\\u0001\"}", r#"{"a":"say \"é\"\n\u0001"}"#),
            ("{a: 18446744073709551615, b: 0x10, c: 1e3}", r#"{"a":18446744073709551615,"b":16,"c":1000.0}"#),
            ("{a: &x [1, 2], b: *x}", r#"{"a":[1,2],"b":[1,2]}"#),
        ] {
            let json = settings(text).expect(text);
            assert_eq!(json, expected);
            let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            assert_eq!(read.to_string(), json, "what is read back is the same");
        }
    }

    #[test]
    fn settings_that_json_cannot_say_are_not_read() {
        for text in ["{a: .nan}", "{a: -.inf}", "{a: 1e999}", "{a: !t x}", "{a: 1, a: 2}"] {
            let text = format!("settings: {text}\n").into();
            assert!(documents(&"a".into(), &text).is_err(), "{text}");
        }
    }

    #[test]
    fn settings_of_another_kind_or_that_aliases_make_huge_are_refused() {
        let long = "x".repeat(1 << 16);
        let grown = format!("{{a: &x {long}, b: [{}]}}", ["*x"; 20].join(", "));
        for (text, expected) in [
            ("[a]", "`settings` must be a mapping, but this is a list"),
            ("", "`settings` must be a mapping, but this is nothing"),
            (&grown, "the settings come to more than 1048576 bytes"),
        ] {
            assert_eq!(settings(text), Err(vec![expected.to_owned()]));
        }
    }
}
