//! `egret module new NAME`: a crate that works, to begin from.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::Exit;
use super::super::exit::Failure;
use super::super::output::print;
use crate::wasm::folder;

const EXAMPLE: &str = "\
Exit codes: 0 made, 1 it cannot be written, 2 the name is no name of a module, or the folder is there already.

Example:
  egret module new lunch-break
  cd lunch-break && cargo test && egret module build && egret module test";

/// Make a crate of a policy module that works: one function, its settings, its cases
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// What policies are to call it: lower-case letters, digits and `-`
    name: String,
    /// Use the SDK in this folder instead of the published one
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

/// The files, each as a path and its text; `__NAME__` and `__SDK__` are filled in.
const FILES: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.txt")),
    ("src/lib.rs", include_str!("template/lib.rs.txt")),
    ("cases.yaml", include_str!("template/cases.yaml")),
    ("README.md", include_str!("template/README.md.txt")),
    (".gitignore", "/target\n/*.wasm\n"),
];

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    folder::check_name(&args.name).map_err(|reason| Failure::new(Exit::Usage, reason))?;
    let dir = Path::new(&args.name);
    if dir.exists() {
        return Err(Failure::with_fix(
            Exit::Usage,
            format!("{} is there already", args.name),
            "choose another name",
        ));
    }
    let sdk = match &args.sdk {
        None => format!("version = \"{}\"", env!("CARGO_PKG_VERSION")),
        Some(given) => {
            let path = given.canonicalize().ok().filter(|path| path.join("Cargo.toml").is_file());
            let path = path.ok_or_else(|| {
                Failure::new(Exit::Usage, format!("{} is no folder of the SDK", given.display()))
            })?;
            // A path in TOML is a text in quotes, as Rust writes one.
            format!("path = {:?}", path.display().to_string())
        }
    };
    for (path, text) in FILES {
        let path = dir.join(path);
        let text = text.replace("__NAME__", &args.name).replace("__SDK__", &sdk);
        write(&path, &text)
            .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", path.display())))?;
    }
    print(&format!(
        "{name} is made. Next:\n  cd {name}\n  cargo test           # the function, natively\n  egret module build   # \
         {name}.wasm\n  egret module test    # the same cases on it\n",
        name = args.name
    ))?;
    Ok(Exit::Done)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(path, text)
}
