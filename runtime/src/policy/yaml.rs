//! YAML or JSON text to a tree in which every node knows its place.
//!
//! A tree rather than derived structs: all mistakes of a file are told at once and in our own words, and no key is
//! read by one level and ignored by the next. Everything that could grow without bound is limited.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Error, Location, MergeKeyPolicy, MessageFormatter, Options, Spanned};

use super::problem::{Problem, Span};

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;
const MAX_DEPTH: usize = 24;
const MAX_NODES: usize = 500_000;
const MAX_DOCUMENTS: usize = 10_000;
const MAX_ALIASES: usize = 1_000;
/// What aliases may add in all: less than a file could say without them.
const MAX_REPLAYED: usize = 100_000;

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node {
    pub value: Value,
    pub at: Span,
}

/// What stands at a place.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(i128),
    Fraction(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a mapping, its place, and what it holds.
#[derive(Debug)]
pub(super) struct Entry {
    pub key: String,
    pub at: Span,
    pub node: Node,
}

impl Value {
    /// What this is, for a sentence.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Number(_) | Self::Fraction(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// The documents of `text`, without those that hold nothing.
pub(super) fn documents(file: &Arc<str>, text: &Arc<str>) -> Result<Vec<Node>, Problem> {
    if text.len() > MAX_FILE_BYTES {
        let reason = format!("the file has {} bytes; the most that is read is {MAX_FILE_BYTES}", text.len());
        return Err(Problem::whole(file, reason, "split it into several files"));
    }
    let read = serde_saphyr::from_multiple_with_options::<Spanned<Value>>(text, options());
    Ok(read.map_err(|error| unreadable(file, text, &error))?.into_iter().map(Node::from).collect())
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES,
            max_documents: MAX_DOCUMENTS,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_recorded_anchor_events: MAX_REPLAYED,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_REPLAYED },
        merge_keys: MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    }
}

fn unreadable(file: &Arc<str>, text: &Arc<str>, error: &Error) -> Problem {
    let (reason, fix) = told(original(error));
    let Some(location) = error.location() else { return Problem::whole(file, reason, fix) };
    let at = match (place(location), location.span().byte_offset()) {
        (at, Some(_)) => at,
        // Of some errors the parser tells line and column only.
        (at, None) => Span::of(at.line, at.column, text),
    };
    Problem::at(file, text, at, reason, fix)
}

fn original(mut error: &Error) -> &Error {
    while let Error::AliasError { error: inner, .. } | Error::WithSnippet { error: inner, .. } = error {
        error = inner;
    }
    error
}

/// The parser's words, or ours where its are about itself; and the fix.
fn told(error: &Error) -> (String, String) {
    let words = serde_saphyr::UserMessageFormatter.format_message(error);
    let words: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let (reason, fix) = match error {
        Error::DuplicateMappingKey { .. } => (words.as_str(), "write the key once"),
        Error::MergeKeyNotAllowed { .. } => ("`<<` is not read", "write the keys out"),
        Error::UnsupportedTag { .. } => ("tags are not read", "take the `!` and the word after it out"),
        Error::UnknownAnchor { .. } => (
            "a text that starts with `*` is an alias in YAML, and there is no anchor of this name",
            "put it in quotes, as in `fqdn: \"*.example.com\"`",
        ),
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            ("this nests deeper than any policy does", "take brackets or indentation away")
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            ("the file holds more than is read of one", "split it into several files, and write aliases out")
        }
        _ if words.starts_with("tabs ") => (words.as_str(), "indent with spaces"),
        _ => (words.as_str(), "correct the YAML here: indentation, colons, brackets and quotes"),
    };
    (reason.to_owned(), fix.to_owned())
}

fn place(location: Location) -> Span {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Span {
        line: small(location.line()),
        column: small(location.column()),
        offset: small(location.span().byte_offset().unwrap_or(0)),
        length: small(location.span().byte_len().unwrap_or(0)),
    }
}

impl From<Spanned<Value>> for Node {
    fn from(read: Spanned<Value>) -> Self {
        Self { value: read.value, at: place(read.referenced) }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Fraction(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Value>>()? {
            list.push(item.into());
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = entries.next_entry::<Spanned<String>, Spanned<Value>>()? {
            map.push(Entry { key: key.value, at: place(key.referenced), node: value.into() });
        }
        Ok(Value::Map(map))
    }
}
