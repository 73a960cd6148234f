//! Taking worlds away: one that ends, those of this process when it is interrupted, those that dead processes left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Once, OnceLock, RwLock, RwLockReadGuard};
use std::thread;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

/// Everything of a world has a name that starts with its prefix, in one of these.
const PLACES: [&str; 4] = ["/run/netns", "/etc/netns", "/run", "/sys/fs/bpf"];

/// Held for reading while a world is made or removed; taken for writing, and kept, by the end of the process.
static BUSY: RwLock<()> = RwLock::new(());
/// The exit code, where an interrupt is how this process is meant to end.
static PLANNED: OnceLock<i32> = OnceLock::new();

/// The process of a world's thing by its name: `eg` process `-` number, and perhaps `-` more.
fn owner(name: &str) -> Option<i32> {
    let (pid, rest) = name.strip_prefix("eg")?.split_once('-')?;
    let number = rest.split('-').next()?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| pid.parse().ok())?
}

/// No world of this process may come or go while the guard lives, but by its holder.
pub(super) fn busy() -> RwLockReadGuard<'static, ()> {
    BUSY.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Removes everything whose name is `prefix` or starts with `prefix-`: kills what runs in its namespaces first.
pub(super) fn remove_world(prefix: &str) {
    let mine =
        |name: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    remove(&mine);
}

/// Removes what processes left that are no more.
pub(super) fn remove_leftovers() {
    remove(&|name| owner(name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
}

fn remove(mine: &dyn Fn(&str) -> bool) {
    for (name, _) in entries(PLACES[0], mine) {
        kill_all_in(&name);
        run_quietly(Command::new("ip").args(["netns", "del", &name]));
    }
    for path in PLACES[1..].iter().flat_map(|place| entries(place, mine)).map(|(_, path)| path) {
        // Another process may sweep the same leftovers: what is gone is gone.
        let _ = fs::remove_dir_all(path);
    }
    // Only where it is empty: `ip netns` makes it, and nobody takes it away.
    let _ = fs::remove_dir(PLACES[1]);
}

fn entries(place: &str, mine: &dyn Fn(&str) -> bool) -> Vec<(String, PathBuf)> {
    let Ok(found) = fs::read_dir(place) else { return Vec::new() };
    found
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| mine(name))
        .collect()
}

fn kill_all_in(namespace: &str) {
    let Ok(output) = Command::new("ip").args(["netns", "pids", namespace]).output() else { return };
    for pid in String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| line.trim().parse().ok()) {
        if let Some(pid) = Pid::from_raw(pid) {
            // It may have ended by itself meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn run_quietly(command: &mut Command) {
    // A world is taken away as far as it goes; what is left over is swept by the next process.
    let _ = command.output();
}

/// From now on SIGINT and SIGTERM take this process's worlds away before it ends.
///
/// # Errors
/// No thread, or no signal handler, can be had.
pub(super) fn clean_up_on_signals() -> Result<()> {
    static ONCE: Once = Once::new();
    let mut outcome = Ok(());
    ONCE.call_once(|| outcome = watch_signals());
    outcome
}

fn watch_signals() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch SIGTERM")?;
    drop(guard);
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let code = runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => 130, _ = terminate.recv() => 143 }
        });
        remove_all_and_exit(code);
    })?;
    Ok(())
}

fn remove_all_and_exit(code: i32) -> ! {
    let _forever = BUSY.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    let me = std::process::id() as i32;
    remove(&|name| owner(name) == Some(me));
    std::process::exit(PLANNED.get().copied().unwrap_or(code))
}

/// Waits for SIGINT or SIGTERM as the planned end: everything is removed, and the process exits with `code`.
pub fn wait_for_interrupt(code: i32) -> ! {
    PLANNED.get_or_init(|| code);
    loop {
        thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn only_names_of_worlds_have_an_owner() {
        for (name, expected) in [
            ("eg12-0", Some(12)),
            ("eg12-0-node", Some(12)),
            ("eg12-0-pod3-web", Some(12)),
            ("egret", None),
            ("eg12", None),
            ("eg12-", None),
            ("eg12-node", None),
            ("egx-0", None),
            ("cni-1234-0", None),
        ] {
            assert_eq!(owner(name), expected, "{name}");
        }
    }
}
