//! The compiler: a process of its own, for compiling is where a module could hurt. It reads a module, writes compiled
//! code, and lives within limits that it sets itself before it reads a byte.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::engine::compiling_engine;
use super::refused::MAX_BYTES;

/// The hidden subcommand that is the compiler.
pub(super) const COMMAND: &str = "compile-module";
/// Its argument where the code is to count its work.
pub(super) const COUNTS: &str = "--counts-work";

/// The most address space, in bytes. A module of 18 MB, Python's interpreter in it, was compiled within it, in 16 s of
/// processors.
const MAX_SPACE: u64 = 3 << 30;
/// The most time of processors, in seconds, of any module, and more for each MiB of one.
const SECONDS: u64 = 30;
/// The interpreters of Python (18 MB) and JavaScript (12 MB) take 0.8 and 1.4 of them here, 1.0 and 1.9 where the code
/// counts its work. Without optimising it would be a fifth less, and every decision would pay for it.
const SECONDS_PER_MIB: u64 = 3;

/// The module itself is at fault.
pub(super) const BAD_MODULE: u8 = 1;
/// The compiler is.
pub(super) const BAD_COMPILER: u8 = 2;

/// The most time of processors that a module of this size may be compiled, in seconds.
pub(super) fn seconds(bytes: usize) -> u64 {
    SECONDS + SECONDS_PER_MIB * (bytes as u64 >> 20)
}

/// Compiles the module on standard input to standard output. What is wrong with it goes to standard error, in one line.
pub fn main(counts_work: bool) -> ExitCode {
    match limit().and_then(|()| compile(counts_work)) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, text)) => {
            // There is nobody else to tell.
            let _ = io::stderr().write_all(text.as_bytes());
            code.into()
        }
    }
}

type Told<T> = Result<T, (u8, String)>;

fn limit() -> Told<()> {
    let hard = |most| Rlimit { current: Some(most), maximum: Some(most) };
    let limits = [
        (Resource::As, hard(MAX_SPACE)),
        // Until the size is known. It may be raised to the time of the largest module, and no further.
        (Resource::Cpu, Rlimit { current: Some(SECONDS), maximum: Some(seconds(MAX_BYTES) + 1) }),
        (Resource::Core, hard(0)),
        (Resource::Fsize, hard(0)),
        (Resource::Nofile, hard(32)),
    ];
    limits.into_iter().try_for_each(set)
}

/// The time for a module of this size: at the first the system sends XCPU, at the second it kills.
fn limit_time(bytes: usize) -> Told<()> {
    let most = seconds(bytes);
    set((Resource::Cpu, Rlimit { current: Some(most), maximum: Some(most + 1) }))
}

fn set((resource, limit): (Resource, Rlimit)) -> Told<()> {
    setrlimit(resource, limit).map_err(|error| (BAD_COMPILER, format!("its limits cannot be set: {error}")))
}

fn compile(counts_work: bool) -> Told<()> {
    let own = |error: String| (BAD_COMPILER, error);
    let mut module = Vec::new();
    let most = MAX_BYTES as u64 + 1;
    io::stdin().lock().take(most).read_to_end(&mut module).map_err(|error| own(error.to_string()))?;
    limit_time(module.len().min(MAX_BYTES))?;
    let engine = compiling_engine(counts_work).map_err(own)?;
    let compiled =
        engine.precompile_component(&module).map_err(|error| (BAD_MODULE, format!("{error:#}")))?;
    io::stdout().lock().write_all(&compiled).map_err(|error| own(error.to_string()))
}
