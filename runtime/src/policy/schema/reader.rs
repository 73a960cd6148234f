//! Reading mappings, lists and texts of a tree while collecting what is wrong.

use std::sync::Arc;

use crate::model::Origin;

use super::super::problem::{Problem, Span};
use super::super::yaml::{Entry, Node, Value};
use super::words;

/// More problems than anyone reads at once are not collected.
const MAX_PROBLEMS: usize = 50;

/// The file being read and its problems so far.
pub(super) struct Reader<'a> {
    file: &'a Arc<str>,
    text: &'a Arc<str>,
    pub problems: Vec<Problem>,
}

/// The keys of one kind of mapping.
pub(super) struct Shape {
    /// What the mapping is, for a sentence.
    pub what: &'static str,
    /// What it may hold.
    pub keys: &'static [&'static str],
    /// Keys of the design that this version does not have.
    pub later: &'static [&'static str],
    /// Keys that belong elsewhere: why they are none here, and what to do.
    pub misplaced: &'static [(&'static str, &'static str, &'static str)],
    /// What people coming from elsewhere write, and what it is called here.
    pub synonyms: &'static [(&'static str, &'static str)],
}

/// A mapping whose keys are all known.
pub(super) struct Fields<'n> {
    entries: &'n [Entry],
    what: &'static str,
    at: Span,
}

impl<'a> Reader<'a> {
    pub fn new(file: &'a Arc<str>, text: &'a Arc<str>) -> Self {
        Self { file, text, problems: Vec::new() }
    }

    /// Notes a mistake.
    pub fn refuse(&mut self, at: Span, reason: impl Into<String>, fix: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem::at(self.file, self.text, at, reason, fix));
        }
    }

    /// Where `at` is, for verdicts to name.
    pub fn origin(&self, at: Span) -> Origin {
        Origin { file: self.file.clone(), line: at.line, column: at.column }
    }

    /// The text of `entry`; a number or the like is refused rather than guessed at.
    pub fn text<'n>(&mut self, entry: &'n Entry, fix: &str) -> Option<&'n str> {
        if let Value::Text(text) = &entry.node.value {
            return Some(text);
        }
        let reason = format!("`{}` must be a text, but this is {}", entry.key, entry.node.value.kind());
        let fix = match entry.node.value {
            Value::Number(_) | Value::Fraction(_) | Value::Bool(_) => format!("put it in quotes, or {fix}"),
            _ => fix.to_owned(),
        };
        self.refuse(entry.node.at, reason, fix);
        None
    }

    /// The items of `entry`.
    pub fn list<'n>(&mut self, entry: &'n Entry, fix: &str) -> Option<&'n [Node]> {
        if let Value::List(items) = &entry.node.value {
            return Some(items);
        }
        let reason = format!("`{}` must be a list, but this is {}", entry.key, entry.node.value.kind());
        self.refuse(entry.node.at, reason, fix);
        None
    }

    /// The word of `entry`, one of `words`.
    pub fn word<T: Copy>(&mut self, entry: &Entry, words: &[(&str, T)]) -> Option<T> {
        let all: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let fix = format!("write `{}: {}`", entry.key, all.join("` or `"));
        let word = self.text(entry, &fix)?;
        if let Some((_, meaning)) = words.iter().find(|(known, _)| *known == word) {
            return Some(*meaning);
        }
        let fix = words::closest(word, &all).map_or(fix, |close| format!("did you mean `{close}`?"));
        self.refuse(entry.node.at, format!("`{}` cannot be `{word}`", entry.key), fix);
        None
    }

    /// `node` as a mapping of `shape`; `at` is the place to show where a key is missing.
    pub fn fields<'n>(&mut self, node: &'n Node, at: Span, shape: &Shape) -> Option<Fields<'n>> {
        let Value::Map(entries) = &node.value else {
            let reason = format!("{} must be a mapping, but this is {}", shape.what, node.value.kind());
            self.refuse(node.at, reason, format!("write it with the keys {}", words::listed(shape.keys)));
            return None;
        };
        for entry in entries.iter().filter(|entry| !shape.keys.contains(&entry.key.as_str())) {
            self.refuse_key(entry, shape);
        }
        Some(Fields { entries, what: shape.what, at })
    }

    fn refuse_key(&mut self, entry: &Entry, shape: &Shape) {
        let key = entry.key.as_str();
        if shape.later.contains(&key) {
            let fix = format!("take it out; {} has {}", shape.what, words::listed(shape.keys));
            return self.refuse(entry.at, format!("`{key}` is not in this version of Egret"), fix);
        }
        if let Some((_, reason, fix)) = shape.misplaced.iter().find(|(other, ..)| *other == key) {
            return self.refuse(entry.at, *reason, *fix);
        }
        let synonym = shape.synonyms.iter().find(|(other, _)| *other == key).map(|(_, ours)| *ours);
        let fix = match synonym.or_else(|| words::closest(key, shape.keys)) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("take it out; {} has {}", shape.what, words::listed(shape.keys)),
        };
        self.refuse(entry.at, format!("{} has no key `{key}`", shape.what), fix);
    }
}

impl<'n> Fields<'n> {
    /// The entry of `key`, if written.
    pub fn get(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The entry of `key`; its absence is a mistake.
    pub fn require(&self, reader: &mut Reader<'_>, key: &str, fix: &str) -> Option<&'n Entry> {
        let entry = self.get(key);
        if entry.is_none() {
            reader.refuse(self.at, format!("{} has no `{key}`", self.what), fix);
        }
        entry
    }
}
