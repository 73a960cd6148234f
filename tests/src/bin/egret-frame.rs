//! Puts one frame, given as JSON, on a device of the namespace that it is started in.

use anyhow::{Context, Result};
use egret_tests::wire::Frame;

fn main() -> Result<()> {
    let argument = std::env::args().nth(1).context("usage: egret-frame FRAME, a JSON object")?;
    serde_json::from_str::<Frame>(&argument).context("this is not a frame")?.put()
}
