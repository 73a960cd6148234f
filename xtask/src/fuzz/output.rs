//! What libFuzzer prints. No I/O.

use std::{fmt, path::PathBuf};

/// How far it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Inputs tried.
    pub executions: u64,
    /// Branches seen.
    pub coverage: u64,
}

/// A line, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// `#65536 (tab) pulse  cov: 30 ft: 31 corp: 5/12b ...`, or one of the last numbers, `stat::...`.
    Progress(Progress),
    /// `artifact_prefix='...'; Test unit written to PATH`.
    Crash(PathBuf),
    /// The rest: its own words, and those of a panic.
    Other,
}

impl Progress {
    /// Numbers only grow; a line may tell one of them alone.
    pub fn and(self, now: Self) -> Self {
        Self { executions: self.executions.max(now.executions), coverage: self.coverage.max(now.coverage) }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} executions, coverage {}", self.executions, self.coverage)
    }
}

impl Line {
    /// Reads one.
    pub fn read(line: &str) -> Self {
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            return Self::Crash(path.into());
        }
        if let Some(number) = line.strip_prefix("stat::number_of_executed_units:") {
            return Self::Progress(Progress { executions: number.trim().parse().unwrap_or(0), coverage: 0 });
        }
        let Some((number, rest)) = line.strip_prefix('#').and_then(|line| line.split_once('\t')) else {
            return Self::Other;
        };
        let Ok(executions) = number.parse() else { return Self::Other };
        let mut words = rest.split_whitespace().skip_while(|word| *word != "cov:");
        let coverage = words.nth(1).and_then(|number| number.parse().ok()).unwrap_or(0);
        Self::Progress(Progress { executions, coverage })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_how_far_it_came_and_where_a_crash_lies() {
        let progress = |executions, coverage| Line::Progress(Progress { executions, coverage });
        for (line, expected) in [
            ("#2\tINITED cov: 23 ft: 24 corp: 1/1b exec/s: 0 rss: 42Mb", progress(2, 23)),
            (
                "#65536\tpulse  cov: 30 ft: 31 corp: 5/12b lim: 652 exec/s: 32768 rss: 50Mb",
                progress(65_536, 30),
            ),
            ("#9\tREAD units: 4 exec/s: 0 rss: 33Mb", progress(9, 0)),
            ("stat::number_of_executed_units: 123456", progress(123_456, 0)),
            ("stat::peak_rss_mb:              50", Line::Other),
            ("artifact_prefix='/x/'; Test unit written to /x/crash-1f", Line::Crash("/x/crash-1f".into())),
            ("thread '<unnamed>' panicked at src/lib.rs:1:", Line::Other),
            ("#1: 0x5581 in main", Line::Other),
        ] {
            assert_eq!(Line::read(line), expected, "{line}");
        }
        let both = Progress { executions: 9, coverage: 3 }.and(Progress { executions: 12, coverage: 0 });
        assert_eq!(both, Progress { executions: 12, coverage: 3 });
    }
}
