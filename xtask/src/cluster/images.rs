//! Two images that every cluster has, made of Debian's static busybox: what holds a pod's namespaces, and a shell with the
//! usual tools for tests. No registry is asked: pods name them with `imagePullPolicy: Never`, or with a tag but `latest`.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{place::Programs, process::told};
use crate::image::archive;

/// What holds a pod's namespaces.
pub const PAUSE: &str = "egret.test/pause:1";
/// A shell and the usual tools. (Of Debian 12's busybox, `wget -T` crashes: a limit is set by `timeout`.)
pub const BUSYBOX: &str = "egret.test/busybox:1";

/// Makes the archives that are not there; all of them.
pub fn make(programs: &Programs) -> Result<Vec<PathBuf>> {
    let folder = programs.images();
    let archives = [("pause", PAUSE), ("busybox", BUSYBOX)];
    let path = |name: &str| folder.join(format!("{name}.tar"));
    if !archives.iter().all(|(name, _)| path(name).exists()) {
        let root = folder.join("root");
        let _ = fs::remove_dir_all(&root);
        lay_out(programs, &root)?;
        for (name, tag) in archives {
            // Nobody waits for a pause to end: it is killed.
            let command = if tag == PAUSE { &["/bin/sleep", "2147483647"][..] } else { &["/bin/sh"] };
            let about =
                archive::About { name: tag, entrypoint: &[], command, search_path: "/bin", labels: &[] };
            archive::write(&about, &root, &path(name))?;
        }
        fs::remove_dir_all(&root)?;
    }
    Ok(archives.map(|(name, _)| path(name)).to_vec())
}

fn lay_out(programs: &Programs, root: &Path) -> Result<()> {
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
