//! Debian's kernels, for a machine of its own: downloaded and unpacked, never installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

/// What the tests need that is a module, and what the host's files are seen through. A whole Debian loads them when they
/// are asked for.
const MODULES: [&str; 17] = [
    "virtio_pci",
    "9pnet_virtio",
    "9p",
    "overlay",
    "veth",
    "tun",
    "cls_bpf",
    "sch_ingress",
    "bridge",
    "cls_u32",
    "act_mirred",
    "macvlan",
    "tcp_diag",
    "udp_diag",
    // What nftables sums with; no module names it as one that it needs.
    "crc32c_generic",
    "nft_chain_nat",
    "nft_masq",
];

/// Debian 12's kernels.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Series {
    /// Its own, the oldest that Egret runs on: without tcx
    #[value(name = "6.1")]
    Own,
    /// That of its backports, of Debian 13: with tcx
    #[value(name = "6.12")]
    Backported,
}

impl Series {
    fn version(self) -> &'static str {
        match self {
            Self::Own => "6.1",
            Self::Backported => "6.12",
        }
    }
}

/// A kernel that can be started.
pub struct Kernel {
    /// Its image.
    pub image: PathBuf,
    /// The modules, each after those that it needs.
    pub modules: Vec<PathBuf>,
}

/// The kernel of `series` below `folder`; fetched where it is not there yet.
pub fn fetch(folder: &Path, series: Series) -> Result<Kernel> {
    let folder = &folder.join(format!("linux-{}", series.version()));
    // A version has a dot, and is no extension.
    let beside = |what: &str| PathBuf::from(format!("{}-{what}", folder.display()));
    if let Ok(kernel) = find(folder) {
        return Ok(kernel);
    }
    let apt = match series {
        Series::Own => Vec::new(),
        Series::Backported => backports(&beside("sources"), &beside("lists"))?,
    };
    let package = newest(series, &apt)?;
    eprintln!("fetching {package} into {}", folder.display());
    let packed = beside("packed");
    // What a fetch left that was interrupted.
    for left in [folder, &packed] {
        let _ = fs::remove_dir_all(left);
        fs::create_dir_all(left)?;
    }
    run(Command::new("apt-get")
        .args(["download", "-o", "APT::Sandbox::User=root"])
        .args(&apt)
        .arg(&package)
        .current_dir(&packed))?;
    let archive = fs::read_dir(&packed)?.next().context("apt-get downloaded nothing")??.path();
    run(Command::new("dpkg-deb").arg("-x").args([&archive, folder]))?;
    let release = release(folder)?;
    run(Command::new("depmod").arg("-b").arg(folder).arg(release))?;
    fs::remove_dir_all(&packed)?;
    find(folder)
}

/// Reads what is in Debian 12's backports into `lists`, from where this machine has Debian 12 from: apt's options to look
/// there and nowhere else.
fn backports(sources: &Path, lists: &Path) -> Result<Vec<String>> {
    let told = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI)", "Codename: bookworm", "Created-By: Packages"])
        .output()?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let from = told.lines().next().context("apt-get knows no Debian 12: this needs it")?;
    fs::create_dir_all(lists)?;
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    fs::write(sources, format!("deb [signed-by={keys}] {from} bookworm-backports main\n"))?;
    let options = [
        format!("Dir::Etc::SourceList={}", sources.display()),
        "Dir::Etc::SourceParts=/dev/null".to_owned(),
        format!("Dir::State::Lists={}", lists.display()),
        // The machine's own are of its own lists.
        "Dir::Cache::pkgcache=".to_owned(),
        "Dir::Cache::srcpkgcache=".to_owned(),
    ];
    let options: Vec<_> = options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect();
    run(Command::new("apt-get").args(["update", "-o", "APT::Sandbox::User=root"]).args(&options))?;
    Ok(options)
}

/// The package that `linux-image-amd64` stands for.
fn newest(series: Series, apt: &[String]) -> Result<String> {
    let told = Command::new("apt-cache").arg("depends").args(apt).arg("linux-image-amd64").output()?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let package = told.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let package = package.context("apt-cache knows no linux-image-amd64: this needs Debian 12 on x86-64")?;
    let version = series.version();
    ensure!(package.contains(&format!("-{version}.")), "{package} is not of {version}: this needs Debian 12");
    Ok(package.to_owned())
}

fn release(folder: &Path) -> Result<String> {
    let entry = fs::read_dir(folder.join("lib/modules"))?.next().context("no modules")??;
    Ok(entry.file_name().to_string_lossy().into_owned())
}

fn find(folder: &Path) -> Result<Kernel> {
    let release = release(folder)?;
    let modules = folder.join("lib/modules").join(&release);
    let needs = fs::read_to_string(modules.join("modules.dep"))?;
    let built_in = fs::read_to_string(modules.join("modules.builtin"))?;
    let modules = in_order(&needs, &built_in)?.into_iter().map(|module| modules.join(module)).collect();
    let image = folder.join(format!("boot/vmlinuz-{release}"));
    ensure!(image.exists(), "{} is not there", image.display());
    Ok(Kernel { image, modules })
}

/// The bytes of a module, which newer kernels have packed.
pub fn read(module: &Path) -> Result<Vec<u8>> {
    if module.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(module).with_context(|| format!("{} cannot be read", module.display()));
    }
    let output = Command::new("xz").args(["--decompress", "--stdout"]).arg(module).output();
    let output = output.context("xz did not start: install xz-utils")?;
    ensure!(output.status.success(), "{}: {}", module.display(), String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// From `modules.dep` (a module, a colon, those it needs: the last of them first) to all in the order of loading,
/// without those that are part of the kernel.
fn in_order<'a>(needs: &'a str, built_in: &str) -> Result<Vec<&'a str>> {
    let mut order: Vec<&str> = Vec::new();
    for module in MODULES {
        let file = format!("/{module}.ko");
        if built_in.lines().any(|path| path.ends_with(&file)) {
            continue;
        }
        let is_it = |path: &str| path.trim_end_matches(".xz").ends_with(&file);
        let line = needs.lines().find_map(|line| line.split_once(':').filter(|(path, _)| is_it(path)));
        let Some((path, needed)) = line else { bail!("the kernel has no module {module}") };
        for module in needed.split_whitespace().rev().chain([path]) {
            if !order.contains(&module) {
                order.push(module);
            }
        }
    }
    Ok(order)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?} did not start"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed ({}):\n{told}", output.status);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_loaded_after_those_it_needs_and_once() {
        let mut needs = String::from("k/9p.ko: k/fscache.ko k/netfs.ko k/9pnet.ko\nk/veth.ko:\n");
        for module in MODULES.iter().filter(|module| !["9p", "veth"].contains(module)) {
            needs += &format!("k/{module}.ko: k/9pnet.ko\n");
        }
        let order = in_order(&needs, "").expect("all are there");
        let at = |module: &str| order.iter().position(|other| *other == module).expect(module);
        assert!(at("k/9pnet.ko") < at("k/netfs.ko") && at("k/netfs.ko") < at("k/fscache.ko"));
        assert!(at("k/fscache.ko") < at("k/9p.ko"));
        assert_eq!(order.len(), MODULES.len() + 3);
        assert!(in_order("k/veth.ko:\n", "").is_err());
        let packed = needs.replace(".ko", ".ko.xz");
        let order = in_order(&packed, "k/veth.ko\n").expect("all are there");
        assert_eq!(order.len(), MODULES.len() + 2);
        assert!(order.contains(&"k/9p.ko.xz") && !order.contains(&"k/veth.ko.xz"));
    }
}
