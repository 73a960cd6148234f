//! How many tests passed and failed, as the summaries of cargo's test runners say it. No I/O.

use std::{
    fmt,
    ops::{Add, AddAssign},
};

/// Tests that ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ended well.
    pub passed: u32,
    /// Failed, timed out or did not start.
    pub failed: u32,
}

/// Whose summary is read. Never both: nextest shows what a failed test printed, libtest's summary of that one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    /// `Summary [   0.016s] 5 tests run: 4 passed (1 slow), 1 failed, 0 skipped`, once.
    Nextest,
    /// `test result: ok. 4 passed; 0 failed; 0 ignored; ...`, once per test binary.
    Libtest,
}

impl Counts {
    /// What a summary line of this runner counts; `None` for every other line.
    pub fn in_line(line: &str, runner: Runner) -> Option<Self> {
        let line = without_colours(line);
        let items = match runner {
            Runner::Nextest => line.trim().strip_prefix("Summary [")?.split_once(" run: ")?.1,
            Runner::Libtest => line.strip_prefix("test result: ")?.split_once(". ")?.1,
        };
        let mut counts = Self::default();
        for item in without_brackets(items).split([',', ';']) {
            let Some((number, what)) = item.trim().split_once(' ') else { continue };
            let number = number.parse().unwrap_or(0);
            match what.trim() {
                "passed" => counts.passed += number,
                "failed" | "exec failed" | "timed out" => counts.failed += number,
                _ => {}
            }
        }
        Some(counts)
    }
}

/// `4 passed (1 slow, 1 leaky), 1 failed` without what is in brackets: those are counted before them.
fn without_brackets(text: &str) -> String {
    let mut depth = 0_u32;
    let mut outside = |c: char| match c {
        '(' => {
            depth += 1;
            false
        }
        ')' => {
            depth = depth.saturating_sub(1);
            false
        }
        _ => depth == 0,
    };
    text.chars().filter(|c| outside(*c)).collect()
}

/// Without terminal colours: `ESC [ ... m`.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or("", |(_, rest)| rest))
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_summary_lines_count_and_every_way_to_fail_is_a_failure() {
        let nextest = [
            ("     Summary [   0.016s] 4 tests run: 4 passed, 0 skipped", Some((4, 0))),
            ("     Summary [   0.016s] 1 test run: 0 passed, 1 failed, 7 skipped", Some((0, 1))),
            (
                "Summary [ 62.1s] 8/9 tests run: 4 passed (1 slow, 2 leaky), 1 failed, 2 timed out, 1 exec failed",
                Some((4, 4)),
            ),
            (
                "\x1b[32;1m     Summary\x1b[0m [ 0.1s] \x1b[1m4\x1b[0m tests run: \x1b[1m4\x1b[0m passed",
                Some((4, 0)),
            ),
            ("        PASS [   0.004s] xtask counts::tests::it", None),
            ("test result: FAILED. 3 passed; 2 failed; 0 ignored", None),
            ("4 passed, 0 failed", None),
        ];
        let libtest = [
            ("test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; finished in 0.00s", Some((4, 0))),
            ("test result: \x1b[31mFAILED\x1b[0m. 3 passed; 2 failed; 0 ignored", Some((3, 2))),
            ("test counts::tests::it ... ok", None),
            ("", None),
        ];
        let with = |runner| move |(line, expected)| (runner, line, expected);
        let cases = nextest.map(with(Runner::Nextest)).into_iter().chain(libtest.map(with(Runner::Libtest)));
        for (runner, line, expected) in cases {
            let counts = Counts::in_line(line, runner).map(|counts| (counts.passed, counts.failed));
            assert_eq!(counts, expected, "{line}");
        }
    }

    #[test]
    fn the_last_line_is_the_sum_in_plain_words() {
        let mut total = Counts { passed: 1, failed: 0 };
        total += Counts { passed: 40, failed: 2 };
        assert_eq!(total.to_string(), "41 passed, 2 failed");
    }
}
