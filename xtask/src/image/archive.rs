//! A container image without a container engine: from a folder to an archive in the OCI layout
//! (<https://github.com/opencontainers/image-spec>, v1.0), which containerd, skopeo and others import. The same folder gives
//! the same bytes: names sorted, everything root's, no times.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// What an image says of itself besides its files.
pub struct About<'a> {
    /// With host and tag: `egret.test/busybox:1`.
    pub name: &'a str,
    /// What runs whatever the arguments; may be empty.
    pub entrypoint: &'a [&'a str],
    /// What runs, or the arguments of the entry point, where a pod says nothing else.
    pub command: &'a [&'a str],
    /// Where programs are found.
    pub search_path: &'a str,
    /// What it is, for people and scanners.
    pub labels: &'a [(&'a str, &'a str)],
}

/// Writes the archive of the files below `root`; the digest of its manifest.
pub fn write(about: &About, root: &Path, archive: &Path) -> Result<String> {
    let layer = layer(root).with_context(|| format!("{} cannot be packed", root.display()))?;
    let Layout { digest, files } = layout(about, &layer)?;
    let part = archive.with_extension("part");
    let file = File::create(&part).with_context(|| format!("{} cannot be written", part.display()))?;
    let mut tar = Builder::new(file);
    for (path, bytes) in files {
        let mut header = header(EntryType::Regular, 0o644);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, path, bytes.as_slice())?;
    }
    tar.into_inner()?.sync_all()?;
    fs::rename(&part, archive).with_context(|| format!("{} cannot be written", archive.display()))?;
    Ok(digest)
}

/// A file of the archive: its path and content.
type Part = (String, Vec<u8>);

/// An image laid out.
struct Layout {
    /// Of its manifest.
    digest: String,
    files: Vec<Part>,
}

fn layout(about: &About, layer: &[u8]) -> Result<Layout> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(layer)?;
    let mut files = Vec::new();
    let packed = blob(&mut files, "layer.v1.tar+gzip", packed.finish()?);
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "Entrypoint": about.entrypoint,
            "Cmd": about.command,
            "Env": [format!("PATH={}", about.search_path)],
            "Labels": about.labels.iter().copied().collect::<BTreeMap<_, _>>(),
        },
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        "history": [{"created_by": "cargo xtask"}],
    });
    let config = blob(&mut files, "config.v1+json", config.to_string().into_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type("manifest.v1+json"),
        "config": config,
        "layers": [packed],
    });
    let mut manifest = blob(&mut files, "manifest.v1+json", manifest.to_string().into_bytes());
    let digest = manifest["digest"].as_str().unwrap_or_default().to_owned();
    let tag = about.name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    manifest["annotations"] =
        json!({"io.containerd.image.name": about.name, "org.opencontainers.image.ref.name": tag});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    files.push(("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
    files.push(("index.json".into(), index.to_string().into_bytes()));
    Ok(Layout { digest, files })
}

/// Adds a file named by its digest; its descriptor.
fn blob(files: &mut Vec<Part>, kind: &str, bytes: Vec<u8>) -> Value {
    let (digest, size) = (digest(&bytes), bytes.len());
    files.push((format!("blobs/{}", digest.replace(':', "/")), bytes));
    json!({"mediaType": media_type(kind), "digest": digest, "size": size})
}

fn media_type(kind: &str) -> String {
    format!("application/vnd.oci.image.{kind}")
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

/// As images call it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The files below `root` as one tar.
fn layer(root: &Path) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    append(&mut tar, root, Path::new("."))?;
    Ok(tar.into_inner()?)
}

fn append(tar: &mut Builder<Vec<u8>>, file: &Path, name: &Path) -> Result<()> {
    let told = fs::symlink_metadata(file)?;
    let mode = std::os::unix::fs::PermissionsExt::mode(&told.permissions()) & 0o7777;
    if told.is_symlink() {
        return Ok(tar.append_link(&mut header(EntryType::Symlink, 0o777), name, fs::read_link(file)?)?);
    }
    if told.is_file() {
        let mut header = header(EntryType::Regular, mode);
        header.set_size(told.len());
        return Ok(tar.append_data(&mut header, name, File::open(file)?)?);
    }
    anyhow::ensure!(told.is_dir(), "{} is no file, folder or link", file.display());
    tar.append_data(&mut header(EntryType::Directory, mode), name, io::empty())?;
    let entries: io::Result<Vec<PathBuf>> = fs::read_dir(file)?.map(|entry| Ok(entry?.path())).collect();
    let mut entries = entries?;
    entries.sort();
    for entry in entries {
        append(tar, &entry, &name.join(entry.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

/// Root's, of no time.
fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const ABOUT: About = About {
        name: "egret.test/a:1",
        entrypoint: &[],
        command: &["/bin/a"],
        search_path: "/bin",
        labels: &[],
    };

    fn file<'a>(files: &'a [Part], path: &str) -> &'a [u8] {
        &files.iter().find(|(other, _)| other == path).unwrap_or_else(|| panic!("no {path}")).1
    }

    fn json(files: &[Part], path: &str) -> Value {
        serde_json::from_slice(file(files, path)).expect("JSON")
    }

    /// Follows a descriptor, and holds the file against it.
    fn follow<'a>(files: &'a [Part], descriptor: &Value) -> &'a [u8] {
        let named = descriptor["digest"].as_str().expect("a digest");
        let bytes = file(files, &format!("blobs/{}", named.replace(':', "/")));
        assert_eq!(digest(bytes), named);
        assert_eq!(descriptor["size"], bytes.len());
        bytes
    }

    #[test]
    fn every_digest_from_the_index_down_is_that_of_the_bytes() {
        let Layout { digest: named, files } = layout(&ABOUT, b"a layer").expect("laid out");
        let index = json(&files, "index.json");
        assert_eq!(index["manifests"][0]["digest"], named);
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "egret.test/a:1");
        let manifest: Value = serde_json::from_slice(follow(&files, &index["manifests"][0])).expect("JSON");
        let config: Value = serde_json::from_slice(follow(&files, &manifest["config"])).expect("JSON");
        assert_eq!(config["config"]["Cmd"], json!(["/bin/a"]));
        let mut unpacked = flate2::read::GzDecoder::new(follow(&files, &manifest["layers"][0]));
        let layer = io::read_to_string(&mut unpacked).expect("unpacked");
        assert_eq!(layer, "a layer");
        let known = "sha256:e28d98ac666afd34f089b971a663264d54d67a60ddc82996d48d8f3c204eb75f";
        assert_eq!(config["rootfs"]["diff_ids"][0], known);
    }

    #[test]
    fn a_folder_becomes_the_same_bytes_each_time_with_links_kept() {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir(root.path().join("bin")).expect("made");
        for name in ["z", "a"] {
            fs::write(root.path().join("bin").join(name), name).expect("written");
        }
        symlink("a", root.path().join("bin/link")).expect("linked");
        let packed = layer(root.path()).expect("packed");
        assert_eq!(packed, layer(root.path()).expect("packed"));
        let mut archive = tar::Archive::new(packed.as_slice());
        let told: Vec<_> = archive
            .entries()
            .expect("entries")
            .map(|entry| entry.expect("an entry"))
            .map(|entry| {
                let link = entry.link_name().expect("readable").map(|link| link.display().to_string());
                (
                    entry.path().expect("a path").display().to_string(),
                    link,
                    entry.header().uid().expect("an owner"),
                )
            })
            .collect();
        let names: Vec<_> = told.iter().map(|(name, ..)| name.trim_start_matches("./")).collect();
        assert_eq!(names[1..], ["bin", "bin/a", "bin/link", "bin/z"]);
        assert_eq!(told[3].1.as_deref(), Some("a"));
        assert!(told.iter().all(|(.., owner)| *owner == 0));
    }
}
