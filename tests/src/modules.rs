//! Policy modules, built once for all tests.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use egret_module_build::{Options, build};

/// Names the folder where modules lie ready-made, for a machine that has no compiler.
const READY: &str = "EGRET_MODULES";

/// The component of the module in `folder`, counted from the repository, in whichever language: built where no other test
/// did yet. What is new, cargo itself finds out, and for other languages what builds them.
///
/// # Errors
/// It does not build.
pub fn component(folder: &str) -> Result<Vec<u8>> {
    if let Some(ready) = std::env::var_os(READY) {
        let name = Path::new(folder).file_name().context("a module has a name")?;
        let path = Path::new(&ready).join(name).with_extension("wasm");
        return fs::read(&path).with_context(|| format!("{} is not there", path.display()));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no repository around the tests")?;
    let options = Options { quiet: true, ..Options::default() };
    Ok(build(&root.join(folder), &options)?.component)
}

/// A folder of modules that an agent may be given: each with its name there and what the operator says about it.
///
/// # Errors
/// One does not build, or the folder cannot be written.
pub fn folder(at: &Path, modules: &[(&str, &str, &str)]) -> Result<PathBuf> {
    fs::create_dir_all(at)?;
    for (name, source, manifest) in modules {
        put(at, name, &component(source)?, manifest)?;
    }
    Ok(at.to_owned())
}

/// Puts a module into a folder, the manifest first: whoever watches the folder sees both.
///
/// # Errors
/// The files cannot be written.
pub fn put(folder: &Path, name: &str, component: &[u8], manifest: &str) -> Result<()> {
    let at = |file: &str| folder.join(file);
    if manifest.is_empty() {
        let _ = fs::remove_file(at(&format!("{name}.yaml")));
    } else {
        fs::write(at(&format!("{name}.yaml")), manifest)?;
    }
    // As a deployment does: never half a module under its name.
    fs::write(at(&format!("{name}.part")), component)?;
    File::open(at(&format!("{name}.part")))?.sync_all()?;
    Ok(fs::rename(at(&format!("{name}.part")), at(&format!("{name}.wasm")))?)
}
