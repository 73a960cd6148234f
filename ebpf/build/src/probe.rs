//! Looks at the machine: files and `rustc -vV`, never a network.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::choose::{Debian, Found, Nightly};

/// The target that eBPF is compiled for: little endian, like every host that Egret supports.
pub const TARGET: &str = "bpfel-unknown-none";

/// Where `cargo xtask setup` puts what it builds: `$EGRET_TOOLS`, else `~/.cache/egret/tools`. `None` without a home.
#[must_use]
pub fn tools_dir() -> Option<PathBuf> {
    let chosen = env::var_os("EGRET_TOOLS").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    chosen.or_else(|| Some(home()?.join(".cache/egret/tools")))
}

/// What of both ways is here. Takes some 50 ms: it runs `rustup` and `rustc` once.
#[must_use]
pub fn probe() -> Found {
    Found { debian: debian(), nightly: nightly(), linker: linker() }
}

fn debian() -> Debian {
    if !["/usr/bin/rustc", "/usr/bin/cargo"].iter().all(|path| Path::new(path).exists()) {
        return Debian::Absent;
    }
    if has_core(Path::new("/usr/lib/rustlib")) { Debian::Ready } else { Debian::NoBpfStd }
}

fn has_core(rustlib: &Path) -> bool {
    let Ok(files) = rustlib.join(TARGET).join("lib").read_dir() else { return false };
    files.flatten().any(|file| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libcore-") && name.ends_with(".rlib")
    })
}

fn nightly() -> Nightly {
    let Some(toolchain) = nightly_dir() else { return Nightly::Absent };
    let Some(version) = output(Command::new(toolchain.join("bin/rustc")).arg("-vV")) else {
        return Nightly::Absent;
    };
    let of_channel = version.lines().any(|line| line.starts_with("release: ") && line.ends_with("-nightly"));
    let source = toolchain.join("lib/rustlib/src/rust/library/core/src/lib.rs");
    match (of_channel, source.exists()) {
        (false, _) => Nightly::OtherChannel,
        (true, false) => Nightly::NoSource,
        (true, true) => Nightly::Ready(toolchain),
    }
}

/// The directory of the toolchain `nightly`; asked of rustup, which knows about links and its own home.
fn nightly_dir() -> Option<PathBuf> {
    let rustup = search("rustup").next()?;
    // Never let the question install the answer.
    let which = output(
        Command::new(rustup)
            .args(["which", "--toolchain", "nightly", "rustc"])
            .env("RUSTUP_AUTO_INSTALL", "0")
            .env_remove("RUSTUP_TOOLCHAIN"),
    )?;
    Some(Path::new(which.trim()).parent()?.parent()?.to_owned())
}

/// The tools directory goes first: what setup built there fits the compiler it installed.
fn linker() -> Option<PathBuf> {
    let own = tools_dir().map(|dir| dir.join("bin/bpf-linker"));
    own.into_iter().filter(|path| path.is_file()).chain(search("bpf-linker")).next()
}

/// Every `name` on PATH, then the one in cargo's home, where a build started outside a login shell may need it.
fn search(name: &str) -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(home()?.join(".cargo")));
    let mut dirs: Vec<PathBuf> = env::split_paths(&path).collect();
    dirs.extend(cargo_home.map(|dir| dir.join("bin")));
    let name = name.to_owned();
    dirs.into_iter().map(move |dir| dir.join(&name)).filter(|path| path.is_absolute() && path.is_file())
}

fn home() -> Option<PathBuf> {
    env::var_os("HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}
