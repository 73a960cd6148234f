//! The yardstick programs, loaded.

use anyhow::{Context, Result};
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::programs::{SchedClassifier, TestRun, TestRunOptions};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/yardsticks.bpf.o"));

/// The least that could do the same.
pub struct Yardsticks(Ebpf);

impl Yardsticks {
    /// Loads them, with `ranges` as what `new_flow` finds.
    pub fn load(ranges: &[[u8; 4]]) -> Result<Self> {
        let mut ebpf = EbpfLoader::new().load(OBJECT)?;
        for name in ["empty", "flow_cache", "new_flow"] {
            let program: &mut SchedClassifier = ebpf.program_mut(name).context("a yardstick")?.try_into()?;
            program.load()?;
        }
        let mut map: LpmTrie<_, [u8; 4], u32> = ebpf.take_map("RANGES").context("RANGES")?.try_into()?;
        for range in ranges {
            map.insert(&Key::new(24, *range), 1, 0)?;
        }
        // Put back by keeping it alive: the program holds the map.
        drop(map);
        Ok(Self(ebpf))
    }

    /// Runs one `repeat` times on `frame`: what it returned last, and nanoseconds per run.
    pub fn run(&self, name: &str, frame: &[u8], repeat: u32) -> Result<(i32, f64)> {
        let program: &SchedClassifier = self.0.program(name).context("a yardstick")?.try_into()?;
        let result =
            program.test_run(TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::default() })?;
        Ok((result.return_value.cast_signed(), result.duration.as_nanos() as f64))
    }
}
