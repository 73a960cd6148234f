//! The yardstick programs, loaded.

use anyhow::{Context, Result};
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{MapData, ProgramArray};
use aya::programs::{ProgramFd, SchedClassifier, TestRun, TestRunOptions};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};

use crate::node::{DESTINATIONS, RANGED, destination};

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/yardsticks.bpf.o"));

/// The least that could do the same.
pub struct Yardsticks {
    ebpf: Ebpf,
    sprayed: ProgramArray<MapData>,
}

impl Yardsticks {
    /// Loads them, with the ranges of [`crate::node`] as what `new_flow` finds.
    pub fn load() -> Result<Self> {
        let mut ebpf = EbpfLoader::new().load(OBJECT)?;
        for name in ["spray", "empty", "flow_cache", "insert", "new_flow"] {
            let program: &mut SchedClassifier = ebpf.program_mut(name).context("a yardstick")?.try_into()?;
            program.load()?;
        }
        let mut map: LpmTrie<_, [u8; 4], u32> = ebpf.take_map("RANGES").context("RANGES")?.try_into()?;
        for number in 0..DESTINATIONS {
            map.insert(&Key::new(24, destination(RANGED, number).octets()), 1, 0)?;
        }
        // Put back by keeping it alive: the program holds the map.
        drop(map);
        let sprayed = ebpf.take_map("SPRAYED").context("SPRAYED")?.try_into()?;
        Ok(Self { ebpf, sprayed })
    }

    /// Runs one `repeat` times on `frame`: what it returned last, and nanoseconds per run.
    pub fn run(&self, name: &str, frame: &[u8], repeat: u32) -> Result<(i32, f64)> {
        let program: &SchedClassifier = self.ebpf.program(name).context("a yardstick")?.try_into()?;
        let result =
            program.test_run(TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::default() })?;
        Ok((result.return_value.cast_signed(), result.duration.as_nanos() as f64))
    }

    /// Runs one of ours on as many flows as runs; see the program `spray`.
    pub fn spray(&mut self, name: &str, frame: &[u8], repeat: u32) -> Result<(i32, f64)> {
        let program: &SchedClassifier = self.ebpf.program(name).context("a yardstick")?.try_into()?;
        let fd = program.fd()?.try_clone()?;
        self.spray_into(&fd, frame, repeat)
    }

    /// Runs another's program on as many flows as runs.
    pub fn spray_into(&mut self, program: &ProgramFd, frame: &[u8], repeat: u32) -> Result<(i32, f64)> {
        self.sprayed.set(0, program, 0)?;
        self.run("spray", frame, repeat)
    }
}
