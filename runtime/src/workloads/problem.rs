//! What is wrong in a workloads file: the place, the reason, and what to write instead.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use serde_saphyr::Location;

/// More mistakes than these are not told: by then the file is another kind of file.
pub(super) const MAX_PROBLEMS: usize = 32;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Problem {
    /// The line, from 1; 0 where the whole file is meant.
    pub line: u32,
    /// The column in characters, from 1; 0 with line 0.
    pub column: u32,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub fix: String,
    /// First byte and length in the file.
    span: Option<(usize, usize)>,
}

impl Problem {
    /// A mistake at `at`.
    pub(super) fn at(at: Location, reason: impl Into<String>, fix: impl Into<String>) -> Self {
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let bytes = at.span().byte_offset().zip(at.span().byte_len());
        Self {
            line: small(at.line()),
            column: small(at.column()),
            span: bytes.map(|(offset, length)| (offset as usize, length as usize)),
            ..Self::whole(reason, fix)
        }
    }

    /// A mistake of the whole file.
    pub(super) fn whole(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { line: 0, column: 0, reason: reason.into(), fix: fix.into(), span: None }
    }
}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.fix))
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (offset, length) = self.span?;
        Some(Box::new(std::iter::once(LabeledSpan::new(Some("here".into()), offset, length))))
    }
}

/// A workloads file that was refused as a whole, with all its mistakes. Its text is one line for each,
/// `FILE:LINE:COLUMN: REASON; FIX`; as a diagnostic it shows the lines of the file.
#[derive(Clone, Debug)]
pub struct WorkloadsError {
    /// The file, as it was given.
    pub file: Arc<str>,
    /// Never empty; at most 32, in the order of the file.
    pub problems: Vec<Problem>,
    source: NamedSource<Arc<str>>,
}

impl WorkloadsError {
    /// `text` is what the file holds, as far as it could be read.
    pub(super) fn new(file: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        for problem in &mut problems {
            // The renderer refuses a span that reaches beyond the text.
            problem.span = problem.span.map(|(offset, length)| {
                let offset = offset.min(text.len());
                (offset, length.min(text.len() - offset))
            });
        }
        Self { file: file.into(), problems, source: NamedSource::new(file, text.into()) }
    }
}

impl fmt::Display for WorkloadsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Problem { line, column, reason, fix, .. }) in self.problems.iter().enumerate() {
            let end = if at == 0 { "" } else { "\n" };
            match line {
                0 => write!(f, "{end}{}: {reason}; {fix}", self.file)?,
                line => write!(f, "{end}{}:{line}:{column}: {reason}; {fix}", self.file)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for WorkloadsError {}

impl Diagnostic for WorkloadsError {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.problems.iter().map(|problem| problem as &dyn Diagnostic)))
    }
}
