//! Runs the chosen cargo on `ebpf/programs`.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use crate::{
    choose::{Kind, Missing, Way, choose},
    probe::{TARGET, probe},
};

/// `--btf`: maps are declared by their BTF, which the linker makes of the debug information. Without the other, every
/// array that is cleared is a call of a function that clears byte by byte, which costs packets time, and costs the
/// verifiers of Linux before 6.2 all they know: across a call they take every number for one that matters.
const RUSTFLAGS: &str = "-C link-arg=--btf -C link-arg=--disable-expand-memcpy-in-order -C debuginfo=2";

/// One compiled program file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Of the binary target, such as `egret`.
    pub name: String,
    /// Where the ELF object is.
    pub path: PathBuf,
}

/// Why there are no objects.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No toolchain.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The toolchain's cargo did not start.
    #[error("{cargo} did not start: {source}. Run `cargo xtask setup`")]
    Start {
        /// Its path.
        cargo: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The compiler refused; its own words went to stderr.
    #[error(
        "the eBPF programs in {programs} did not compile ({status}, by {kind}): see the compiler's words above"
    )]
    Failed {
        /// The crate.
        programs: PathBuf,
        /// How cargo ended.
        status: ExitStatus,
        /// By which way.
        kind: Kind,
    },
    /// Cargo ended well and left nothing to load.
    #[error("no BPF object in {0}: does the crate have a binary target?")]
    NoObject(PathBuf),
    /// A file of the output could not be read.
    #[error("{path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Compiles every binary of the crate in `programs`, in release, with `out` as its target directory, and returns them
/// by name. The compiler's words go to stderr. Safe to call from a build script: nothing that the outer cargo or
/// rustup put in the environment reaches the inner one.
///
/// # Errors
/// See [`BuildError`]; each says what to do.
pub fn build(programs: &Path, out: &Path) -> Result<Vec<Object>, BuildError> {
    let way = choose(&probe())?;
    let status = command(&way, programs, out)
        .status()
        .map_err(|source| BuildError::Start { cargo: way.cargo.clone(), source })?;
    if !status.success() {
        return Err(BuildError::Failed { programs: programs.to_owned(), status, kind: way.kind });
    }
    objects(&out.join(TARGET).join("release"))
}

fn command(way: &Way, programs: &Path, out: &Path) -> Command {
    let mut command = Command::new(&way.cargo);
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_outer_build)) {
        command.env_remove(name);
    }
    command
        .args(["build", "--release", "--bins", "--target", TARGET])
        .current_dir(programs)
        .env("CARGO_TARGET_DIR", out)
        .env("RUSTC", &way.rustc)
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &way.linker)
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS", RUSTFLAGS)
        .stdin(Stdio::null())
        // A build script's stdout is read by cargo as instructions.
        .stdout(Stdio::null());
    match way.kind {
        // A stable compiler; aya-ebpf needs unstable features, which this allows.
        Kind::Debian => command.env("RUSTC_BOOTSTRAP", "1"),
        Kind::Rustup => command.args(["-Z", "build-std=core"]),
    };
    command
}

/// Is this variable about the build around us? Kept are those that say how crates are fetched (`CARGO_HOME`,
/// `CARGO_NET_*`, `CARGO_REGISTRIES_*`, ...) and the job server's.
fn of_outer_build(name: &str) -> bool {
    const PREFIXES: [&str; 12] = [
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "CARGO_BUILD_",
        "CARGO_CFG_",
        "CARGO_ENCODED_",
        "CARGO_FEATURE_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
        "CARGO_UNSTABLE_",
    ];
    const NAMES: [&str; 11] = [
        "CARGO",
        "CARGO_INCREMENTAL",
        "DEBUG",
        "HOST",
        "LD_LIBRARY_PATH",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "RUSTUP_TOOLCHAIN",
        "RUST_RECURSION_COUNT",
        "TARGET",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn objects(release: &Path) -> Result<Vec<Object>, BuildError> {
    let read = |path: &Path, source| BuildError::Read { path: path.to_owned(), source };
    let mut objects = Vec::new();
    for entry in release.read_dir().map_err(|source| read(release, source))? {
        let path = entry.map_err(|source| read(release, source))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.contains('.'))
        else {
            continue;
        };
        if path.is_file() && fs::read(&path).map_err(|source| read(&path, source))?.starts_with(b"\x7fELF") {
            objects.push(Object { name: name.to_owned(), path });
        }
    }
    objects.sort_by(|a, b| a.name.cmp(&b.name));
    if objects.is_empty() { Err(BuildError::NoObject(release.to_owned())) } else { Ok(objects) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_build_does_not_reach_the_inner_one_but_the_registry_settings_do() {
        let cases = [
            ("RUSTC", true),
            ("RUSTC_WORKSPACE_WRAPPER", true),
            ("RUSTFLAGS", true),
            ("CARGO_ENCODED_RUSTFLAGS", true),
            ("CARGO_TARGET_DIR", true),
            ("CARGO_BUILD_TARGET", true),
            ("RUSTUP_TOOLCHAIN", true),
            ("TARGET", true),
            ("CARGO", true),
            ("CARGO_HOME", false),
            ("CARGO_NET_OFFLINE", false),
            ("CARGO_REGISTRIES_INTERNAL_INDEX", false),
            ("CARGO_MAKEFLAGS", false),
            ("PATH", false),
            ("HOME", false),
        ];
        for (name, removed) in cases {
            assert_eq!(of_outer_build(name), removed, "{name}");
        }
    }

    #[test]
    fn a_debian_compiler_is_let_use_unstable_features_and_a_nightly_builds_core() {
        let way = |kind| Way { kind, cargo: "/c".into(), rustc: "/r".into(), linker: "/l".into() };
        for (kind, bootstrap, build_std) in [(Kind::Debian, true, false), (Kind::Rustup, false, true)] {
            let command = command(&way(kind), Path::new("/p"), Path::new("/o"));
            let set = command.get_envs().any(|(name, value)| name == "RUSTC_BOOTSTRAP" && value.is_some());
            let args = command.get_args().any(|arg| arg == "build-std=core");
            assert_eq!((set, args), (bootstrap, build_std), "{kind}");
        }
    }
}
