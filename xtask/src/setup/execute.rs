//! Runs the steps; what they print goes to a log, of which a failure shows the end.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

use super::step::{Run, Step};
use crate::log::end_of;

/// Stops at the first step that fails.
pub fn run(steps: &[Step], tools: &Path) -> Result<()> {
    let logs = tools.join("log");
    for dir in [&logs, &tools.join("bin")] {
        fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    }
    for (at, step) in steps.iter().enumerate() {
        let log = logs.join(step.name()).with_extension("log");
        let start = Instant::now();
        let (name, takes) = (step.name(), step.takes());
        eprintln!("[{}/{}] installing {name}{takes} (log: {})", at + 1, steps.len(), log.display());
        let file = File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
        for command in step.commands(tools) {
            logged(&command, &file, &log)?;
        }
        eprintln!("      done in {} s", start.elapsed().as_secs());
    }
    Ok(())
}

fn logged(run: &Run, file: &File, log: &Path) -> Result<()> {
    let mut command = Command::new(&run.program);
    command.args(&run.arguments).envs(run.environment.iter().copied()).stdin(Stdio::null());
    command.stdout(file.try_clone()?).stderr(file.try_clone()?);
    let ended = command.status().with_context(|| format!("`{run}` did not start"))?;
    if ended.success() {
        return Ok(());
    }
    bail!("`{run}` failed ({ended}). {}", end_of(log))
}
