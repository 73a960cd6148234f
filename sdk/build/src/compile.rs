//! Runs the chosen cargo on a module's crate.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::build::{BuildError, Built};
use crate::choose::{Kind, Way, choose};
use crate::component::component;
use crate::probe::{TARGET, probe};

/// What of our environment the inner cargo gets: how crates are fetched, and who we are. What an outer cargo or rustup
/// set about its own build stays out.
const KEPT: [&str; 16] = [
    "CARGO_HOME",
    "CARGO_TERM_COLOR",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "NO_COLOR",
    "NO_PROXY",
    "PATH",
    "RUSTUP_HOME",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TERM",
    "TMPDIR",
    "USER",
    "https_proxy",
];
const KEPT_PREFIXES: [&str; 5] =
    ["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_SOURCE_"];

/// A module is small and quick to start before it is anything else. Names of functions stay in it, for they are the
/// place that an error tells.
const PROFILE: [(&str, &str); 5] = [
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_STRIP", "debuginfo"),
];

/// Builds the module that the crate in `dir` is, in cargo's folder `target`.
pub(crate) fn build(dir: &Path, target: &Path, quiet: bool) -> Result<Built, BuildError> {
    let way = choose(&probe())?;
    let output = command(&way, dir, target, quiet)
        .output()
        .map_err(|source| BuildError::Start { program: way.programs.cargo.clone(), source })?;
    if !output.status.success() {
        return Err(BuildError::Failed { dir: dir.to_owned(), status: output.status });
    }
    let (name, core) = artifact(&output.stdout).ok_or_else(|| BuildError::NoWasm(dir.to_owned()))?;
    let module = fs::read(&core).map_err(|source| BuildError::File { path: core, source })?;
    Ok(Built { name, component: component(&module)? })
}

fn command(way: &Way, dir: &Path, target: &Path, quiet: bool) -> Command {
    let mut command = Command::new(&way.programs.cargo);
    let kept =
        |name: &str| KEPT.contains(&name) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    command
        .env_clear()
        .envs(env::vars_os().filter(|(name, _)| name.to_str().is_some_and(kept)))
        .envs(PROFILE)
        .env("CARGO_TARGET_DIR", target)
        .env("RUSTC", &way.programs.rustc)
        .args(["build", "--release", "--lib", "--target", TARGET])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(dir)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if quiet {
        command.arg("--quiet");
    }
    match way.kind {
        // The rustc of PATH may be rustup's, which chooses by this.
        Kind::Ready => command.envs(env::var_os("RUSTUP_TOOLCHAIN").map(|name| ("RUSTUP_TOOLCHAIN", name))),
        Kind::Debian => command.env("RUSTC_BOOTSTRAP", "1").args(["-Z", "build-std=std,panic_abort"]),
        Kind::Nightly => command.args(["-Z", "build-std=std,panic_abort"]),
    };
    command
}

/// The crate and the file of the last `.wasm` that cargo tells of: that of the crate itself, for its dependencies come
/// before it.
fn artifact(messages: &[u8]) -> Option<(String, PathBuf)> {
    let text = String::from_utf8_lossy(messages);
    let mut artifacts = text.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let name = message.pointer("/target/name")?.as_str()?;
        let files = message.get("filenames")?.as_array()?;
        let wasm = files.iter().filter_map(|file| file.as_str()).find(|file| file.ends_with(".wasm"))?;
        Some((name.to_owned(), PathBuf::from(wasm)))
    });
    artifacts.next_back()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choose::Programs;

    #[test]
    fn the_module_is_the_last_wasm_that_cargo_tells_of() {
        let told = r#"{"reason":"compiler-artifact","target":{"name":"dep"},"filenames":["/t/libdep.rlib"]}
not json
{"reason":"compiler-artifact","target":{"name":"hours"},"filenames":["/t/hours.wasm","/t/libhours.rlib"]}
{"reason":"build-finished","success":true}"#;
        assert_eq!(artifact(told.as_bytes()), Some(("hours".to_owned(), "/t/hours.wasm".into())));
        assert_eq!(artifact(b""), None);
    }

    #[test]
    fn each_way_says_where_the_standard_library_comes_from() {
        let programs = || Programs { cargo: "/c".into(), rustc: "/r".into() };
        for (kind, bootstrap, build_std) in
            [(Kind::Ready, false, false), (Kind::Debian, true, true), (Kind::Nightly, false, true)]
        {
            let way = Way { kind, programs: programs() };
            let command = command(&way, Path::new("/m"), Path::new("/t"), true);
            let set = command.get_envs().any(|(name, value)| name == "RUSTC_BOOTSTRAP" && value.is_some());
            let args = command.get_args().any(|arg| arg == "build-std=std,panic_abort");
            assert_eq!((set, args), (bootstrap, build_std), "{kind}");
        }
    }
}
