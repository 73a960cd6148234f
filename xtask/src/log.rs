//! The end of a log, which explains why what wrote it failed.

use std::{fs, path::Path};

/// Lines that explain a failure.
const TAIL: usize = 20;

/// "The end of PATH", and its last lines.
pub fn end_of(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<_> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n  ");
    format!("The end of {}:\n  {tail}", log.display())
}
