//! Debian's kernel, for a machine of its own: downloaded and unpacked, never installed.

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

/// A kernel that can be started.
pub struct Kernel {
    /// Its image.
    pub image: PathBuf,
    /// The modules, each after those that it needs.
    pub modules: Vec<PathBuf>,
}

/// The kernel in `folder`; fetched where it is not there yet.
pub fn fetch(folder: &Path) -> Result<Kernel> {
    if let Ok(kernel) = find(folder) {
        return Ok(kernel);
    }
    let package = newest()?;
    eprintln!("fetching {package} into {}", folder.display());
    let packed = folder.with_extension("deb");
    // What a fetch left that was interrupted.
    for left in [folder, &packed] {
        let _ = fs::remove_dir_all(left);
        fs::create_dir_all(left)?;
    }
    run(Command::new("apt-get")
        .args(["download", "-o", "APT::Sandbox::User=root", &package])
        .current_dir(&packed))?;
    let archive = fs::read_dir(&packed)?.next().context("apt-get downloaded nothing")??.path();
    run(Command::new("dpkg-deb").arg("-x").args([&archive, folder]))?;
    let release = release(folder)?;
    run(Command::new("depmod").arg("-b").arg(folder).arg(release))?;
    fs::remove_dir_all(&packed)?;
    find(folder)
}

/// The package that `linux-image-amd64` stands for.
fn newest() -> Result<String> {
    let told = Command::new("apt-cache").args(["depends", "linux-image-amd64"]).output()?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let package = told.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let package = package.context("apt-cache knows no linux-image-amd64: this needs Debian 12 on x86-64")?;
    ensure!(package.contains("-6.1."), "{package} is no kernel without tcx: this needs Debian 12");
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
    let modules = in_order(&needs)?.into_iter().map(|module| modules.join(module)).collect();
    let image = folder.join(format!("boot/vmlinuz-{release}"));
    ensure!(image.exists(), "{} is not there", image.display());
    Ok(Kernel { image, modules })
}

/// From `modules.dep` (a module, a colon, those it needs: the last of them first) to all in the order of loading.
fn in_order(needs: &str) -> Result<Vec<&str>> {
    let mut order: Vec<&str> = Vec::new();
    for module in MODULES {
        let file = format!("/{module}.ko");
        let line =
            needs.lines().find_map(|line| line.split_once(':').filter(|(path, _)| path.ends_with(&file)));
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
        let order = in_order(&needs).expect("all are there");
        let at = |module: &str| order.iter().position(|other| *other == module).expect(module);
        assert!(at("k/9pnet.ko") < at("k/netfs.ko") && at("k/netfs.ko") < at("k/fscache.ko"));
        assert!(at("k/fscache.ko") < at("k/9p.ko"));
        assert_eq!(order.len(), MODULES.len() + 3);
        assert!(in_order("k/veth.ko:\n").is_err());
    }
}
