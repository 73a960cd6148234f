//! What a program that is linked against the C library needs of Debian, and no more.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// The C library, and what unwinds the stack.
const PACKAGES: [&str; 2] = ["libc6", "libgcc-s1"];
/// Of no use here: conversions between character sets, and documents but for licences.
const LEFT_OUT: [&str; 3] = ["usr/share/lintian", "usr/share/man", "usr/lib/@-linux-gnu/gconv"];
/// Where scanners look for what an image without a package manager is made of.
const KNOWN: &str = "var/lib/dpkg/status.d";

/// Makes `root` anew; packages are kept in `folder`, and newer ones fetched. They are of the Debian that this machine runs:
/// the program was linked against its C library.
pub fn lay_out(folder: &Path, root: &Path) -> Result<()> {
    let packages = folder.join("debs");
    fs::create_dir_all(&packages).with_context(|| format!("{} cannot be made", packages.display()))?;
    let _ = fs::remove_dir_all(root);
    for path in ["dev", "etc", "proc", "run", "sys", "tmp", "var/lib/egret", KNOWN] {
        fs::create_dir_all(root.join(path))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/usr/bin/egret\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    // Names by files, then DNS.
    fs::write(root.join("etc/nsswitch.conf"), "hosts: files dns\n")?;
    fs::copy("/etc/os-release", root.join("etc/os-release")).context("this is no Debian")?;
    for package in PACKAGES {
        let file = fetch(&packages, package)?;
        told(Command::new("dpkg-deb").arg("-x").arg(&file).arg(root))?;
        let about = told(Command::new("dpkg-deb").arg("-f").arg(&file))?;
        fs::write(root.join(KNOWN).join(package), about)?;
    }
    for path in LEFT_OUT {
        let _ = fs::remove_dir_all(root.join(path.replace('@', std::env::consts::ARCH)));
    }
    Ok(())
}

/// The newest one that apt knows. It holds what it downloads against Debian's signature.
fn fetch(folder: &Path, package: &str) -> Result<PathBuf> {
    let mut apt = Command::new("apt-get");
    apt.args(["download", "--quiet=2", "-o", "APT::Sandbox::User=root", package]).current_dir(folder);
    // No list of packages is there yet on a machine that was just made.
    if told(&mut apt).is_err() {
        told(Command::new("apt-get").args(["update", "--quiet=2"]))?;
        told(&mut apt)?;
    }
    let version = told(Command::new("apt-cache").args(["show", "--no-all-versions", package]))?;
    let version = version.lines().find_map(|line| line.strip_prefix("Version: "));
    let version = version.with_context(|| format!("apt knows no {package}"))?.replace(':', "%3a");
    let prefix = format!("{package}_{version}_");
    let names = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let is_it =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix));
    names.into_iter().find(is_it).with_context(|| format!("apt did not download {package} {version}"))
}

fn told(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?} did not start"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
