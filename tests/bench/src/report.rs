//! Figures as a table.

use std::fmt::Write as _;

use serde::Serialize;

/// One figure: a cost, what it is held against, and the ratio of the two, each less the cost of an empty program.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// Its median, in nanoseconds.
    pub nanoseconds: f64,
    /// What it is held against.
    pub against: String,
    /// The median of that, in nanoseconds.
    pub bound: f64,
    /// The one over the other, the empty program taken off both.
    pub ratio: f64,
    /// What the ratio should be at most.
    pub target: f64,
}

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A table for a person.
pub fn table(rows: &[Row]) -> String {
    let mut out =
        format!("{:<26}{:>9}  {:<28}{:>9}{:>8}{:>8}\n", "WHAT", "NS", "AGAINST", "NS", "RATIO", "TARGET");
    for row in rows {
        let met = if row.ratio <= row.target { "met" } else { "not met" };
        let _ = writeln!(
            out,
            "{:<26}{:>9.1}  {:<28}{:>9.1}{:>8.2}{:>8.2}  {met}",
            row.what, row.nanoseconds, row.against, row.bound, row.ratio, row.target
        );
    }
    out
}
