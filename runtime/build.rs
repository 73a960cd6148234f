//! Compiles `ebpf/programs` and leaves each of its binaries as `OUT_DIR/NAME.bpf.o`, for `kernel` to embed.

use std::{env, error::Error, fs, path::PathBuf, process::ExitCode};

/// What the objects are made of, from the repository's root.
const SOURCES: [&str; 8] = [
    "ebpf/programs/src",
    "ebpf/programs/Cargo.toml",
    "ebpf/programs/Cargo.lock",
    "ebpf/abi/src",
    "ebpf/abi/Cargo.toml",
    "ebpf/decide/src",
    "ebpf/decide/Cargo.toml",
    "Cargo.toml",
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // Not returned from `main`, which would print the error's fields and not its sentence.
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("..");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    println!("cargo::rerun-if-env-changed=EGRET_TOOLS");
    for object in egret_ebpf_build::build(&root.join("ebpf/programs"), &out.join("ebpf"))? {
        fs::copy(&object.path, out.join(object.name + ".bpf.o"))?;
    }
    Ok(())
}
