//! `cargo xtask chart`: lints the Helm chart, and renders of it what is applied without Helm.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};

use crate::{helm, setup};

/// The release and its namespace in the plain manifest.
const NAME: &str = "egret";

const HEAD: &str = "\
# Egret on every node, for `kubectl apply`; the definitions of deploy/crds come first. Rendered from deploy/helm/egret by
# `cargo xtask chart`: change it there.
apiVersion: v1
kind: Namespace
metadata:
  name: egret
  labels:
    # The agent is in the node's network, and loads programs into its kernel.
    pod-security.kubernetes.io/enforce: privileged
---
";

/// Whether to write.
#[derive(clap::Args)]
pub struct Options {
    /// Write nothing; exit 1 if deploy/egret.yaml is not what the chart says.
    #[arg(long)]
    check: bool,
}

pub fn task(options: &Options) -> Result<ExitCode> {
    setup::prepare(setup::Need::Test)?;
    let (chart, manifest) = (path(), root().join("deploy/egret.yaml"));
    let shown = chart.display().to_string();
    helm::run(&[], &["lint", &shown])?;
    let rendered = format!("{HEAD}{}", helm::run(&[], &["render", &shown, NAME, NAME])?);
    // What Helm says of itself is of no use without it.
    let rendered: String = rendered
        .lines()
        .filter(|line| !line.contains("managed-by: Helm"))
        .map(|line| format!("{line}\n"))
        .collect();
    if fs::read_to_string(&manifest).is_ok_and(|text| text == rendered) {
        println!("The chart is fine, and deploy/egret.yaml is what it says.");
        return Ok(ExitCode::SUCCESS);
    }
    if options.check {
        eprintln!("error: deploy/egret.yaml is not what the chart says: run `cargo xtask chart`");
        return Ok(ExitCode::FAILURE);
    }
    fs::write(&manifest, rendered).with_context(|| format!("{} cannot be written", manifest.display()))?;
    println!("The chart is fine, and deploy/egret.yaml is written.");
    Ok(ExitCode::SUCCESS)
}

/// The chart.
pub fn path() -> PathBuf {
    root().join("deploy/helm/egret")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}
