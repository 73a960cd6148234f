//! `cargo xtask image`: the agent as a container image, made without a container engine.
//!
//! [`base`] lays out what the program needs of Debian, this folder puts the programs on it, [`archive`] packs all of it.

pub mod archive;
pub mod base;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};
use egret_ebpf_build::tools_dir;

use crate::{cargo, require_root, setup};

/// What it is called where nothing else is said; the chart's default.
pub const NAME: &str = "egret.dev/egret";
/// Where the programs are in it.
const BIN: &str = "usr/bin";
/// What nodes run as a CNI plugin: linked statically, for nobody knows the C library of a node.
const PLUGIN: &str = "egret-cni";

const EXAMPLES: &str = "\
Examples:
  cargo xtask image
  cargo xtask image --name registry.example/platform/egret:1 --output egret.tar
  skopeo copy oci-archive:egret.tar docker://registry.example/platform/egret:1

It holds the agent, its CNI plugin, and of Debian the C library alone: no shell. It is for the machine's own architecture.";

/// What to make.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// With host and tag [default: egret.dev/egret:VERSION]
    #[arg(long)]
    name: Option<String>,
    /// The archive, in the OCI layout [default: egret-image.tar among what cargo builds]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// As the tests build it, which is quicker and makes a larger image.
    #[arg(long)]
    dev: bool,
}

/// Prints the archive, the image's name and its digest.
pub fn task(options: &Options) -> Result<ExitCode> {
    require_root("image")?;
    let name = options.name.clone().unwrap_or_else(default_name);
    let archive = match &options.output {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("egret-image.tar"),
    };
    let digest = make(&name, &archive, options.dev)?;
    println!("archive  {}\nname     {name}\ndigest   {digest}", archive.display());
    Ok(ExitCode::SUCCESS)
}

/// With the version of this workspace as its tag.
pub fn default_name() -> String {
    format!("{NAME}:{}", env!("CARGO_PKG_VERSION"))
}

/// Builds the programs and makes the image of them; the digest of its manifest.
pub fn make(name: &str, archive: &Path, dev: bool) -> Result<String> {
    setup::prepare(setup::Need::Demo)?;
    let tools = tools_dir().context("neither EGRET_TOOLS nor HOME is set, so there is no place for tools")?;
    let folder = tools.join("image");
    eprintln!("[1/4] the agent");
    let agent = build(dev)?;
    eprintln!("[2/4] its CNI plugin");
    let plugin = build_plugin()?;
    eprintln!("[3/4] the C library, from Debian's packages");
    let root = folder.join("root");
    base::lay_out(&folder, &root)?;
    let bin = root.join(BIN);
    fs::create_dir_all(&bin)?;
    strip(&agent, &bin.join("egret"))?;
    strip(&plugin, &bin.join(PLUGIN))?;
    eprintln!("[4/4] packing");
    let about = archive::About {
        name,
        entrypoint: &["/usr/bin/egret"],
        command: &["--help"],
        search_path: "/usr/bin",
        labels: &[
            ("org.opencontainers.image.title", "Egret"),
            ("org.opencontainers.image.version", env!("CARGO_PKG_VERSION")),
            ("org.opencontainers.image.licenses", "Apache-2.0"),
        ],
    };
    let digest = archive::write(&about, &root, archive)?;
    fs::remove_dir_all(&root)?;
    Ok(digest)
}

/// With the features that it has in the whole workspace, or all that it depends on would be built once more.
fn build(dev: bool) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--quiet", "--workspace", "--bin", "egret"]).args((!dev).then_some("--release"));
    ensure!(build.status()?.success(), "the agent did not build");
    let profile = if dev { "debug" } else { "release" };
    Ok(target()?.join(profile).join("egret"))
}

/// For a named target, or what runs while it is built would be linked statically too, which the compiler cannot load.
fn build_plugin() -> Result<PathBuf> {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut build = cargo();
    build.args(["build", "--quiet", "--release", "--package", PLUGIN, "--target", &triple]);
    build.env("RUSTFLAGS", "-C target-feature=+crt-static");
    ensure!(build.status()?.success(), "the CNI plugin did not build");
    Ok(target()?.join(triple).join("release").join(PLUGIN))
}

/// The folder of what cargo builds: ours is in a folder of it.
fn target() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.parent().and_then(Path::parent).map(Path::to_owned).context("xtask is not where cargo puts it")
}

/// Without what debuggers read, and with the names of functions: a panic still says where.
fn strip(from: &Path, to: &Path) -> Result<()> {
    let mut strip = Command::new("strip");
    let ended = strip.arg("--strip-debug").arg("-o").arg(to).arg(from).status();
    let ended = ended.context("strip did not start: install binutils")?;
    ensure!(ended.success(), "{} could not be stripped", from.display());
    Ok(())
}
