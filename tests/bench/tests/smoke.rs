//! The benchmarks can be run: each case yields its figures, whatever their size; and where they are counts that must be
//! nothing, they are.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

#[test]
fn every_case_of_the_fast_path_yields_figures_and_a_picture() -> Result<()> {
    yields_figures_and_pictures("fastpath", &["packets", "pods", "dns", "updates", "memory"])
}

#[test]
fn every_case_of_modules_yields_figures_and_a_picture() -> Result<()> {
    yields_figures_and_pictures("modules", &["connect", "rate", "decide", "neighbour"])
}

fn yields_figures_and_pictures(bench: &str, expected: &[&str]) -> Result<()> {
    let plots = std::env::temp_dir().join(format!("egret-bench-{bench}-{}", std::process::id()));
    let groups = brief(bench, &["--plots", &plots.display().to_string()])?;
    let cases: Vec<_> = groups.iter().filter_map(|group| group["case"].as_str()).collect();
    assert_eq!(cases, expected);
    for row in rows(&groups) {
        ensure!(row["value"].as_f64().is_some_and(f64::is_finite), "{row}");
        ensure!(row["bound"].is_null() || row["ratio"].as_f64().is_some_and(f64::is_finite), "{row}");
    }
    for case in cases {
        ensure!(plots.join(format!("{case}.svg")).is_file(), "no picture of {case}");
    }
    std::fs::remove_dir_all(plots)?;
    Ok(())
}

#[test]
fn applications_notice_nothing_while_the_agent_is_away() -> Result<()> {
    let groups = brief("away", &[])?;
    assert_eq!(
        groups.iter().map(|group| &group["case"]).collect::<Vec<_>>(),
        ["killed", "stopped", "restarted", "replaced", "upgraded", "crowded"]
    );
    let none = |row: &&Value| row["target"] == json!({"atMost": 0.0});
    assert_eq!(rows(&groups).filter(none).count(), 4 * groups.len());
    for row in rows(&groups).filter(none) {
        ensure!(row["value"] == 0.0, "{row}");
    }
    Ok(())
}

/// The groups of a benchmark's report.
fn brief(bench: &str, options: &[&str]) -> Result<Vec<Value>> {
    let output = Command::new(env!("CARGO_BIN_EXE_egret-bench"))
        .args([bench, "--brief", "--output", "json"])
        .args(options)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    report["groups"].as_array().cloned().context("groups")
}

fn rows(groups: &[Value]) -> impl Iterator<Item = &Value> {
    groups.iter().flat_map(|group| group["rows"].as_array().into_iter().flatten())
}
