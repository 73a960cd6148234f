//! Makes one attempt, given as JSON, from wherever it is started, and prints each outcome as a line of JSON.

use std::io::Write;

use anyhow::{Context, Result};
use egret_tests::dial::{Attempt, run};

fn main() -> Result<()> {
    let argument = std::env::args().nth(1).context("usage: egret-dial ATTEMPT, a JSON object")?;
    let attempt: Attempt = serde_json::from_str(&argument).context("this is not an attempt")?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for _ in 0..attempt.times {
        serde_json::to_writer(&mut out, &run(&attempt))?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}
