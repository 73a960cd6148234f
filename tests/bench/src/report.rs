//! Figures as a table and as JSON.

use std::fmt::Write as _;

use owo_colors::OwoColorize as _;
use serde::Serialize;

use crate::machine::Machine;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

/// One figure, and what it is held against.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// Its median.
    pub value: f64,
    /// The unit of `value` and `bound`.
    pub unit: &'static str,
    /// What it is held against.
    pub against: String,
    /// The median of that.
    pub bound: Option<f64>,
    /// The one over the other; in the kernel's test runs, the cost of an empty program taken off both.
    pub ratio: Option<f64>,
    /// What the ratio should be; where there is none, the value.
    pub target: Option<Target>,
}

impl Row {
    /// A figure and the bound that it is held against.
    pub fn ratio(what: &str, value: f64, unit: &'static str, against: &str, bound: f64) -> Self {
        Self {
            what: what.to_owned(),
            value,
            unit,
            against: against.to_owned(),
            bound: Some(bound),
            ratio: Some(value / bound),
            target: None,
        }
    }

    /// A figure that stands alone.
    pub fn alone(what: &str, value: f64, unit: &'static str) -> Self {
        Self {
            what: what.to_owned(),
            value,
            unit,
            against: String::new(),
            bound: None,
            ratio: None,
            target: None,
        }
    }

    /// With what it should be.
    pub fn wanted(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }

    /// Whether it is what it should be; `None` where nothing was asked of it.
    pub fn met(&self) -> Option<bool> {
        let figure = self.ratio.unwrap_or(self.value);
        self.target.map(|target| match target {
            Target::AtMost(limit) => figure <= limit,
            Target::AtLeast(limit) => figure >= limit,
        })
    }
}

/// The rows of one case.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// The case.
    pub case: &'static str,
    /// What its figures are, in a few words.
    pub title: &'static str,
    /// They.
    pub rows: Vec<Row>,
}

/// Everything that was measured, and where.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The machine.
    pub machine: Machine,
    /// The cases.
    pub groups: Vec<Group>,
}

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A number with as many decimals as tell something.
pub fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.1 => format!("{value:.2}"),
        tiny if tiny > 0.0 => format!("{value:.4}"),
        _ => "0".to_owned(),
    }
}

/// A target in a few letters.
pub fn target(target: Target) -> String {
    match target {
        Target::AtMost(limit) => format!("<= {}", number(limit)),
        Target::AtLeast(limit) => format!(">= {}", number(limit)),
    }
}

/// Tables for a person; colour is stripped where nobody sees it.
pub fn table(report: &Report) -> String {
    let mut out = format!("{}\n", report.machine);
    for group in &report.groups {
        let _ = writeln!(out, "\n{}", group.title.bold());
        let _ = writeln!(
            out,
            "{:<42}{:>10} {:<6}{:<30}{:>10}{:>8}{:>10}",
            "WHAT", "VALUE", "UNIT", "AGAINST", "VALUE", "RATIO", "TARGET"
        );
        for row in &group.rows {
            let or_empty = |value: Option<f64>| value.map_or_else(String::new, number);
            let _ = write!(
                out,
                "{:<42}{:>10} {:<6}{:<30}{:>10}{:>8}{:>10}",
                row.what,
                number(row.value),
                row.unit,
                row.against,
                or_empty(row.bound),
                or_empty(row.ratio),
                row.target.map_or_else(String::new, target)
            );
            let _ = match row.met() {
                Some(true) => writeln!(out, "  {}", "met".green()),
                Some(false) => writeln!(out, "  {}", "not met".red()),
                None => writeln!(out),
            };
        }
    }
    out
}
