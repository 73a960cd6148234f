//! The benchmarks can be run: each case yields its figures, whatever their size.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

#[test]
fn every_case_of_the_fast_path_yields_figures_and_a_picture() -> Result<()> {
    let plots = std::env::temp_dir().join(format!("egret-bench-{}", std::process::id()));
    let output = Command::new(env!("CARGO_BIN_EXE_egret-bench"))
        .args(["fastpath", "--brief", "--output", "json", "--plots"])
        .arg(&plots)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let groups = report["groups"].as_array().context("groups")?;
    let cases: Vec<_> = groups.iter().filter_map(|group| group["case"].as_str()).collect();
    assert_eq!(cases, ["packets", "pods", "dns", "updates", "memory"]);
    for row in groups.iter().flat_map(|group| group["rows"].as_array().into_iter().flatten()) {
        ensure!(row["value"].as_f64().is_some_and(f64::is_finite), "{row}");
        ensure!(row["bound"].is_null() || row["ratio"].as_f64().is_some_and(f64::is_finite), "{row}");
    }
    for case in cases {
        ensure!(plots.join(format!("{case}.svg")).is_file(), "no picture of {case}");
    }
    std::fs::remove_dir_all(plots)?;
    Ok(())
}
