//! The agent's side of compiling: starts the compiler's process, waits for it, and tells what ended it.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use egret_contract::shown;

use super::compiler::{BAD_MODULE, COMMAND, COUNTS, seconds};
use super::engine::compiling_engine;
use super::refused::Refused;

/// Where modules are compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// In a process of this program, within limits.
    Program(PathBuf),
    /// In this very process, without limits: for tests, whose program has no compiler in it.
    Here,
}

/// How much longer a compiler is waited for than it may use processors: one that waits itself uses none.
const MORE: Duration = Duration::from_secs(30);
/// The most bytes of compiled code.
const MAX_CODE: u64 = 512 << 20;
/// What is kept of what the compiler says, in bytes.
const MAX_WORDS: u64 = 4 << 10;
/// Whom a compiler runs as where it was started by root: nobody.
const NOBODY: u32 = 65_534;

impl Compiler {
    /// Processes of the program that is running, whatever became of its file.
    #[must_use]
    pub fn this_program() -> Self {
        Self::Program("/proc/self/exe".into())
    }

    /// Compiles a component.
    pub(super) fn compile(&self, module: &[u8], counts_work: bool) -> Result<Vec<u8>, Refused> {
        match self {
            Self::Program(program) => in_child(program, module, counts_work),
            Self::Here => {
                let engine = compiling_engine(counts_work).map_err(Refused::Compiler)?;
                engine.precompile_component(module).map_err(|error| invalid(&format!("{error:#}")))
            }
        }
    }
}

fn invalid(words: &str) -> Refused {
    Refused::Invalid(shown(words.trim(), 500))
}

fn in_child(program: &PathBuf, module: &[u8], counts_work: bool) -> Result<Vec<u8>, Refused> {
    let failed = |error: std::io::Error| Refused::Compiler(error.to_string());
    let mut command = Command::new(program);
    command
        .arg0("egret")
        .arg(COMMAND)
        .args(counts_work.then_some(COUNTS))
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => Refused::Compiler(format!(
            "{error}: it runs as nobody, who must be allowed to run this program (chmod a+rx)"
        )),
        _ => failed(error),
    })?;
    let most = seconds(module.len());
    let wait = Duration::from_secs(most) + MORE;
    let (code, words) = converse(&mut child, module, wait);
    let status = child.wait().map_err(failed)?;
    let Some((code, words)) = code.zip(words) else {
        return Err(Refused::CompileLimit(format!("{} s", wait.as_secs())));
    };
    if status.success() { Ok(code) } else { Err(reason(status, &String::from_utf8_lossy(&words), most)) }
}

/// Gives the child the module and takes what it says; kills it where that takes too long. A writer and two readers, so
/// that none of the pipes fills while another waits.
fn converse(child: &mut Child, module: &[u8], wait: Duration) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (code_sender, code) = mpsc::channel();
    let (words_sender, words) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            // A compiler that ends early says why; that its pipe is closed then is no news.
            let _ = stdin.map(|mut stdin| stdin.write_all(module));
        });
        scope.spawn(move || code_sender.send(read(stdout, MAX_CODE)));
        scope.spawn(move || words_sender.send(read(stderr, MAX_WORDS)));
        let code = code.recv_timeout(wait).ok();
        // Whatever is still open now is closed by its end.
        if code.is_none() {
            let _ = child.kill();
        }
        (code, words.recv_timeout(wait).ok())
    })
}

fn read(from: Option<impl Read>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What was read before an error is all there is.
        let _ = from.take(most).read_to_end(&mut bytes);
    }
    bytes
}

/// Why a compiler ended without success that had so many seconds.
fn reason(status: ExitStatus, words: &str, seconds: u64) -> Refused {
    const XCPU: i32 = 24;
    const KILL: i32 = 9;
    const ABORT: i32 = 6;
    const SEGV: i32 = 11;
    match (status.code(), status.signal()) {
        (Some(code), _) if code == i32::from(BAD_MODULE) => invalid(words),
        (_, Some(XCPU | KILL)) => Refused::CompileLimit(format!("{seconds} s of a processor")),
        (_, Some(ABORT)) if words.contains("memory allocation") => {
            Refused::CompileLimit("3 GiB of memory".to_owned())
        }
        (_, Some(SEGV)) => Refused::CompileLimit("the compiler's stack".to_owned()),
        _ => Refused::Compiler(format!("{status}: {}", shown(words.trim(), 500))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_module_has_more_time() {
        assert_eq!((seconds(0), seconds((1 << 20) - 1), seconds(18 << 20)), (30, 30, 84));
    }

    #[test]
    fn what_ended_a_compiler_is_told_by_its_cause() {
        let exit = |code: i32| ExitStatus::from_raw(code << 8);
        for (status, words, told) in [
            (exit(1), "unexpected end\n", "the module does not compile: unexpected end"),
            (exit(2), "no limits", "the compiler failed: exit status: 2: no limits"),
            (ExitStatus::from_raw(24), "", "compiling the module takes more than 30 s of a processor"),
            (
                ExitStatus::from_raw(6),
                "memory allocation of 7 bytes failed",
                "compiling the module takes more than 3 GiB of memory",
            ),
            (ExitStatus::from_raw(6), "panicked", "the compiler failed"),
        ] {
            let refused = reason(status, words, 30).to_string();
            assert!(refused.starts_with(told), "{refused}");
        }
    }
}
