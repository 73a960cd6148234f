//! What is wrong in a policy file: the place, the reason, and what to write instead.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode};
use serde::Serialize;

use crate::model::Origin;

/// A stretch of a file. Lines and columns start at 1 and count characters; offsets and lengths count bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Span {
    pub line: u32,
    pub column: u32,
    pub offset: u32,
    pub length: u32,
}

impl Span {
    /// The place of the byte at `offset` of `text`.
    pub fn at(text: &[u8], offset: usize) -> Self {
        let before = &text[..offset.min(text.len())];
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
        let small = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Self { line: small(line), column: small(column), offset: small(before.len()), length: 0 }
    }

    /// The place at `line` and `column` of `text`, to the end of its line.
    pub fn of(line: u32, column: u32, text: &str) -> Self {
        let mut lines = text.split_inclusive('\n');
        let skipped: usize = lines.by_ref().take(line.saturating_sub(1) as usize).map(str::len).sum();
        let written = lines.next().unwrap_or_default().trim_end();
        let skipped_in_line = column.saturating_sub(1) as usize;
        let inside = written.char_indices().nth(skipped_in_line).map_or(written.len(), |(at, _)| at);
        let small = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Self { line, column, offset: small(skipped + inside), length: small(written.len() - inside) }
    }

    /// What of it lies on its first line: a renderer underlines no more, and refuses what lies beyond the text.
    pub(super) fn within_a_line_of(self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let start = (self.offset as usize).min(bytes.len());
        let end = start.saturating_add(self.length as usize).min(bytes.len());
        let length = bytes[start..end].iter().position(|byte| *byte == b'\n').unwrap_or(end - start);
        // Neither exceeds its former value.
        Self { offset: start as u32, length: length as u32, ..self }
    }
}

/// The most characters of a sentence, the words of the file in it included.
const LONGEST: usize = 1000;

/// A sentence may quote the file: what moves a cursor or turns the direction of text must not reach a terminal or a log,
/// nor a megabyte of it a status.
fn in_one_line(text: &str) -> String {
    // Of what a person can see, Rust escapes these three alone.
    let unseen = |c: &char| !matches!(c, '\'' | '"' | '\\') && c.escape_debug().len() > 1;
    let escaped = |c: char| if unseen(&c) { c.escape_default().to_string() } else { c.to_string() };
    let mut line: String = text.chars().take(LONGEST).map(escaped).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

/// One mistake in a policy file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{reason}")]
pub struct Problem {
    /// The file, as it was given.
    pub file: Arc<str>,
    /// The line, from 1; 0 where the whole file (or directory) is meant.
    pub line: u32,
    /// The column in characters, from 1; 0 with line 0.
    pub column: u32,
    /// Where in the object, where the file shows one: `spec.allow[0].to[0].fqdn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub fix: String,
    #[serde(skip)]
    excerpt: Option<Box<Excerpt>>,
    #[serde(skip)]
    warning: bool,
}

#[derive(Clone, PartialEq, Eq)]
struct Excerpt {
    source: NamedSource<Arc<str>>,
    span: Span,
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.span.fmt(f)
    }
}

impl Problem {
    /// A problem of a whole file or directory.
    #[must_use]
    pub fn whole(file: &str, reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
            path: None,
            reason: in_one_line(&reason.into()),
            fix: in_one_line(&fix.into()),
            excerpt: None,
            warning: false,
        }
    }

    /// A problem at `path` in the object `file`.
    pub(super) fn in_object(
        file: &str,
        path: String,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { path: Some(in_one_line(&path)), ..Self::whole(file, reason, fix) }
    }

    /// A problem at `span` of `text`, the content of `file`.
    pub(super) fn at(
        file: &Arc<str>,
        text: &Arc<str>,
        span: Span,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let span = span.within_a_line_of(text);
        Self {
            file: file.clone(),
            line: span.line,
            column: span.column,
            excerpt: Some(Box::new(Excerpt { source: NamedSource::new(file, text.clone()), span })),
            ..Self::whole("", reason, fix)
        }
    }

    /// A problem where `origin` points to in `text`, the content of its file.
    pub(super) fn at_origin(
        origin: &Origin,
        text: &Arc<str>,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::at(&origin.file, text, Span::of(origin.line, origin.column, text), reason, fix)
    }

    /// The same as a warning: the policy works, but most likely not as meant.
    pub(super) fn into_warning(self) -> Self {
        Self { warning: true, ..self }
    }

    /// `file:line:column`, or the file alone; of an object `kind/namespace/name: path`.
    #[must_use]
    pub fn place(&self) -> String {
        match (&self.path, self.line) {
            (Some(path), _) => format!("{}: {path}", self.file),
            (None, 0) => self.file.to_string(),
            (None, line) => format!("{}:{line}:{}", self.file, self.column),
        }
    }

    /// Where in the text it is, if in no place of its own.
    pub(super) fn span(&self) -> Option<Span> {
        self.excerpt.as_ref().map(|excerpt| excerpt.span)
    }
}

impl Diagnostic for Problem {
    fn severity(&self) -> Option<Severity> {
        Some(if self.warning { Severity::Warning } else { Severity::Error })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.fix))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.excerpt.as_ref().map(|excerpt| &excerpt.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.excerpt.as_ref()?.span;
        let label = LabeledSpan::new(None, span.offset as usize, span.length as usize);
        Some(Box::new(std::iter::once(label)))
    }
}
