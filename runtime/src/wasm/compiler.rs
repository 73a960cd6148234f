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
/// The most time of processors, in seconds.
pub(super) const MAX_SECONDS: u64 = 30;

/// The module itself is at fault.
pub(super) const BAD_MODULE: u8 = 1;
/// The compiler is.
pub(super) const BAD_COMPILER: u8 = 2;

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
        // At the first the system sends XCPU, at the second it kills.
        (Resource::Cpu, Rlimit { current: Some(MAX_SECONDS), maximum: Some(MAX_SECONDS + 1) }),
        (Resource::Core, hard(0)),
        (Resource::Fsize, hard(0)),
        (Resource::Nofile, hard(32)),
    ];
    let set = limits.into_iter().try_for_each(|(resource, limit)| setrlimit(resource, limit));
    set.map_err(|error| (BAD_COMPILER, format!("its limits cannot be set: {error}")))
}

fn compile(counts_work: bool) -> Told<()> {
    let own = |error: String| (BAD_COMPILER, error);
    let mut module = Vec::new();
    let most = MAX_BYTES as u64 + 1;
    io::stdin().lock().take(most).read_to_end(&mut module).map_err(|error| own(error.to_string()))?;
    let engine = compiling_engine(counts_work).map_err(own)?;
    let compiled =
        engine.precompile_component(&module).map_err(|error| (BAD_MODULE, format!("{error:#}")))?;
    io::stdout().lock().write_all(&compiled).map_err(|error| own(error.to_string()))
}
