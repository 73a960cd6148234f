//! The report as a person reads it: aligned, and coloured where it is read on a terminal.

use std::fmt::Write;

use owo_colors::{OwoColorize, Style};
use serde::Serialize;

use super::play::{Row, Sight};
use crate::agent::Verdict;
use crate::dial::Seen;

/// One part of the story.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Act {
    /// What it shows.
    pub title: String,
    /// What was tried.
    pub rows: Vec<Row>,
    /// What else is to be said, a line each.
    pub notes: Vec<String>,
}

const COLUMNS: [&str; 7] = ["WHO", "WHERE", "EXPECTED", "OVER IPv4", "OVER IPv6", "APPLIED", "OBSERVED"];

/// The title and the table of an act.
#[must_use]
pub fn table(act: &Act) -> String {
    let cells: Vec<[(String, Style); 7]> = act.rows.iter().map(cells).collect();
    let widths: Vec<usize> = COLUMNS
        .iter()
        .enumerate()
        .map(|(at, title)| {
            cells.iter().map(|row| row[at].0.len()).chain([title.len()]).max().unwrap_or_default()
        })
        .collect();
    let mut text = format!("\n{}\n\n", act.title.bold());
    let titles =
        COLUMNS.iter().zip(&widths).map(|(title, width)| format!("{title:width$}")).collect::<Vec<_>>();
    let _ = writeln!(text, "{}", titles.join("  ").trim_end().dimmed());
    for (row, cells) in act.rows.iter().zip(&cells) {
        let padded = cells.iter().zip(&widths).map(|((cell, style), width)| {
            format!("{}{}", cell.style(*style), " ".repeat(width - cell.len()))
        });
        let _ = writeln!(text, "{}", padded.collect::<Vec<_>>().join("  ").trim_end());
        for difference in &row.differs {
            let _ = writeln!(text, "  {} {difference}", "differs:".red().bold());
        }
    }
    if !act.notes.is_empty() {
        let _ = writeln!(text, "\n{}", act.notes.join("\n"));
    }
    text
}

fn cells(row: &Row) -> [(String, Style); 7] {
    let seen = |sight: &Sight| {
        (format!("{} {}", sight.seen, time(sight.median_micros)), style(sight.seen == Seen::Connected))
    };
    [
        (row.who.clone(), Style::new()),
        (place(row), Style::new()),
        (row.expected.to_string(), Style::new()),
        seen(&row.ipv4),
        seen(&row.ipv6),
        (verdict(&row.applied), style(row.applied.action == "allow")),
        (verdict(&row.observed), style(row.observed.action == "allow")),
    ]
}

fn place(row: &Row) -> String {
    let when = row.when.map_or_else(String::new, |when| format!(", {when}"));
    format!("{}:{}{when}", row.to, row.port)
}

/// A verdict; that of a module with its name.
fn verdict(verdict: &Verdict) -> String {
    match &verdict.module {
        Some(module) => format!("{} (module {module})", verdict.action),
        None => verdict.to_string(),
    }
}

fn style(good: bool) -> Style {
    if good { Style::new().green() } else { Style::new().red() }
}

fn time(micros: u64) -> String {
    match micros {
        0..1000 => format!("{micros} us"),
        _ => format!("{:.1} ms", micros as f64 / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_what_differs_is_said_below_its_row() {
        let verdict = |action: &str, rule: Option<&str>, module: Option<&str>| Verdict {
            action: action.to_owned(),
            reason: "rule".to_owned(),
            rule: rule.map(str::to_owned),
            policy: None,
            module: module.map(str::to_owned),
            message: None,
        };
        let row = |who: &str, differs: Vec<String>| Row {
            who: who.to_owned(),
            to: "github.com".to_owned(),
            port: 22,
            when: Some("again"),
            expected: Seen::Connected,
            ipv4: Sight { seen: Seen::Connected, median_micros: 41 },
            ipv6: Sight { seen: Seen::Connected, median_micros: 1240 },
            applied: verdict("allow", Some("git"), None),
            observed: verdict("deny", None, Some("hours")),
            differs,
        };
        let rows = vec![row("a/b", Vec::new()), row("alerts/alert", vec!["something".to_owned()])];
        let act = Act { title: "T".to_owned(), rows, notes: vec!["A note.".to_owned()] };
        let text = anstream::adapter::strip_str(&table(&act)).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[4],
            "a/b           github.com:22, again  connected  connected 41 us  connected 1.2 ms  allow (rule git)  deny (module hours)"
        );
        assert_eq!(lines[3].find("OVER IPv6"), lines[4].find("connected 1.2"));
        assert_eq!(lines[6..], ["  differs: something", "", "A note."]);
    }
}
