//! Looks at the machine: files, `rustc` and `rustup`, never a network.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::choose::{Found, Programs};

/// The target that modules are compiled for.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Where modules are built unless told otherwise: `$EGRET_MODULE_TARGET`, else `~/.cache/egret/modules`. One folder for
/// all, so that the standard library is built once. `None` without a home.
#[must_use]
pub fn target_dir() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    set("EGRET_MODULE_TARGET").or_else(|| Some(set("HOME")?.join(".cache/egret/modules")))
}

/// What is here of all ways. Takes some 100 ms: it asks compilers.
#[must_use]
pub fn probe() -> Found {
    Found { ready: ready(), debian: debian(), nightly: nightly() }
}

fn ready() -> Option<Programs> {
    let library = output(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]))?;
    let has_core = Path::new(library.trim()).read_dir().ok()?.flatten().any(|file| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libcore-") && name.ends_with(".rlib")
    });
    has_core.then(|| Programs { cargo: "cargo".into(), rustc: "rustc".into() })
}

fn debian() -> Option<Programs> {
    let programs = Programs { cargo: "/usr/bin/cargo".into(), rustc: "/usr/bin/rustc".into() };
    (programs.cargo.exists() && has_source(&programs.rustc)).then_some(programs)
}

fn nightly() -> Option<Programs> {
    let which = output(
        Command::new("rustup")
            .args(["which", "--toolchain", "nightly", "rustc"])
            // Never let the question install the answer.
            .env("RUSTUP_AUTO_INSTALL", "0")
            .env_remove("RUSTUP_TOOLCHAIN"),
    )?;
    let rustc = PathBuf::from(which.trim());
    let is_nightly = output(Command::new(&rustc).arg("-vV"))?
        .lines()
        .any(|line| line.starts_with("release: ") && line.ends_with("-nightly"));
    let cargo = rustc.with_file_name("cargo");
    (is_nightly && has_source(&rustc)).then_some(Programs { cargo, rustc })
}

fn has_source(rustc: &Path) -> bool {
    let Some(root) = output(Command::new(rustc).args(["--print", "sysroot"])) else { return false };
    Path::new(root.trim()).join("lib/rustlib/src/rust/library/std/src/lib.rs").exists()
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}
