//! Images that every cluster has: what holds a pod's namespaces, a shell with the usual tools, and clients that resolve names
//! as containers do, by either C library. No registry is asked: pods name them with `imagePullPolicy: Never`, or with a tag
//! but `latest`.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{place::Programs, process::told};
use crate::image::{archive, base};

/// What holds a pod's namespaces.
pub const PAUSE: &str = "egret.test/pause:1";

/// An image.
struct Image {
    /// Its file.
    file: &'static str,
    name: &'static str,
    command: &'static [&'static str],
    lay_out: fn(&Programs, &Path) -> Result<()>,
}

const IMAGES: [Image; 4] = [
    // Nobody waits for a pause to end: it is killed.
    Image { file: "pause", name: PAUSE, command: &["/bin/sleep", "2147483647"], lay_out: busybox },
    // (Of Debian 12's busybox, `wget -T` crashes: a limit is set by `timeout`.)
    Image { file: "busybox", name: "egret.test/busybox:1", command: &["/bin/sh"], lay_out: busybox },
    Image { file: "glibc", name: "egret.test/glibc:1", command: &["/bin/connect", "wait"], lay_out: glibc },
    Image { file: "musl", name: "egret.test/musl:1", command: &["/bin/connect", "wait"], lay_out: musl },
];

/// Makes the archives that are not there; all of them.
pub fn make(programs: &Programs) -> Result<Vec<PathBuf>> {
    let folder = programs.images();
    fs::create_dir_all(&folder)?;
    let mut archives = Vec::new();
    for Image { file, name, command, lay_out } in IMAGES {
        let path = folder.join(file).with_extension("tar");
        if !is_newer(&path, &client()) {
            let root = folder.join("root");
            let _ = fs::remove_dir_all(&root);
            lay_out(programs, &root).with_context(|| format!("the image {name} cannot be made"))?;
            let about = archive::About { name, entrypoint: &[], command, search_path: "/bin", labels: &[] };
            archive::write(&about, &root, &path)?;
            fs::remove_dir_all(&root)?;
        }
        archives.push(path);
    }
    Ok(archives)
}

fn client() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cluster/client/connect.c")
}

fn is_newer(file: &Path, than: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    modified(file).is_some_and(|file| modified(than).is_none_or(|than| file > than))
}

fn busybox(programs: &Programs, root: &Path) -> Result<()> {
    for folder in ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "var/www"] {
        fs::create_dir_all(root.join(folder))?;
    }
    let program = programs.busybox().into_iter().find(|program| program.is_file());
    let program = program.context("busybox is not among the programs: remove `ctr` there, and try again")?;
    fs::copy(&program, root.join("bin/busybox"))?;
    for applet in told(Command::new(&program).arg("--list"), None)?.lines().filter(|name| *name != "busybox")
    {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    Ok(())
}

fn glibc(programs: &Programs, root: &Path) -> Result<()> {
    base::lay_out(&programs.images(), root)?;
    compile("gcc", &[], root)
}

fn musl(_: &Programs, root: &Path) -> Result<()> {
    fs::create_dir_all(root.join("etc"))?;
    compile("musl-gcc", &["-static"], root)
}

fn compile(compiler: &str, options: &[&str], root: &Path) -> Result<()> {
    fs::create_dir_all(root.join("bin"))?;
    let mut command = Command::new(compiler);
    command.args(["-O2", "-Wall"]).args(options).arg("-o").arg(root.join("bin/connect")).arg(client());
    told(&mut command, None).map(drop)
}
