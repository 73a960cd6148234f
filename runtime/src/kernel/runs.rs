//! Runs of the programs without packets, for benchmarks.

use aya::programs::{ProgramFd, SchedClassifier, TestRun, TestRunOptions};

use super::object::classifier;
use super::{Doing, KernelError, Object};

impl Object {
    /// A program that is loaded, for a program array of somebody else's.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn program(&mut self, name: &str) -> Result<&ProgramFd, KernelError> {
        classifier(&mut self.ebpf, name)?.fd().doing(|| format!("open the program {name}"))
    }

    /// Runs a program `repeat` times on `frame`, as if it had come in at the loopback device: what it returned last,
    /// and nanoseconds per run.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn test_run(&mut self, program: &str, frame: &[u8], repeat: u32) -> Result<(i32, f64), KernelError> {
        let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::default() };
        let program: &SchedClassifier = classifier(&mut self.ebpf, program)?;
        let result = program.test_run(options).doing(|| "run a program".to_owned())?;
        Ok((result.return_value.cast_signed(), result.duration.as_nanos() as f64))
    }
}
