//! Compiles the programs of others and leaves them as `OUT_DIR/others.bpf.o`.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for source in ["programs/src", "programs/Cargo.toml", "programs/Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    for object in egret_ebpf_build::build(&root.join("programs"), &out.join("ebpf"))? {
        fs::copy(&object.path, out.join(object.name + ".bpf.o"))?;
    }
    Ok(())
}
