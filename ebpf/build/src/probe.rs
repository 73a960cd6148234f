//! Looks at the machine: files and `rustc -vV`, never a network.

use std::{
    env, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::Command,
};

use crate::choose::{Debian, Found, Linker, Llvm, Nightly};

/// The target that eBPF is compiled for: little endian, like every host that Egret supports.
pub const TARGET: &str = "bpfel-unknown-none";

/// Where `cargo xtask setup` puts what it builds: `$EGRET_TOOLS`, else `~/.cache/egret/tools`. `None` without a home.
#[must_use]
pub fn tools_dir() -> Option<PathBuf> {
    let chosen = env::var_os("EGRET_TOOLS").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    chosen.or_else(|| Some(home()?.join(".cache/egret/tools")))
}

/// What of both ways is here. Takes some 100 ms: it asks `rustup` and both compilers.
#[must_use]
pub fn probe() -> Found {
    Found { debian: debian(), nightly: nightly(), linkers: linkers() }
}

fn debian() -> Debian {
    let compiler = Path::new("/usr/bin/rustc");
    let Some(about) = Path::new("/usr/bin/cargo").exists().then(|| about(compiler)).flatten() else {
        return Debian::Absent;
    };
    match llvm_of_compiler(&about) {
        Some(llvm) if has_core(Path::new("/usr/lib/rustlib")) => Debian::Ready(llvm),
        _ => Debian::NoBpfStd,
    }
}

fn has_core(rustlib: &Path) -> bool {
    let Ok(files) = rustlib.join(TARGET).join("lib").read_dir() else { return false };
    files.flatten().any(|file| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libcore-") && name.ends_with(".rlib")
    })
}

fn nightly() -> Nightly {
    let Some(toolchain) = nightly_dir() else { return Nightly::Absent };
    let Some(about) = about(&toolchain.join("bin/rustc")) else { return Nightly::Absent };
    if !about.lines().any(|line| line.starts_with("release: ") && line.ends_with("-nightly")) {
        return Nightly::OtherChannel;
    }
    let source = toolchain.join("lib/rustlib/src/rust/library/core/src/lib.rs");
    match llvm_of_compiler(&about) {
        Some(llvm) if source.exists() => Nightly::Ready(toolchain, llvm),
        _ => Nightly::NoSource,
    }
}

/// What a compiler says of itself, some ten lines of `key: value`.
fn about(rustc: &Path) -> Option<String> {
    output(Command::new(rustc).arg("-vV"))
}

fn llvm_of_compiler(about: &str) -> Option<Llvm> {
    let version = about.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()?.parse().ok().map(Llvm)
}

/// The directory of the toolchain `nightly`; asked of rustup, which knows about links and its own home.
fn nightly_dir() -> Option<PathBuf> {
    let rustup = search("rustup").next()?;
    // Never let the question install the answer.
    let which = output(
        Command::new(rustup)
            .args(["which", "--toolchain", "nightly", "rustc"])
            .env("RUSTUP_AUTO_INSTALL", "0")
            .env_remove("RUSTUP_TOOLCHAIN"),
    )?;
    Some(Path::new(which.trim()).parent()?.parent()?.to_owned())
}

/// The tools directory goes first: what setup put there fits the compiler it chose.
fn linkers() -> Vec<Linker> {
    let own = tools_dir().map(|dir| dir.join("bin/bpf-linker"));
    let paths = own.into_iter().filter(|path| path.is_file()).chain(search("bpf-linker"));
    paths.filter_map(|path| Some(Linker { llvm: shared_llvm(&head(&path).ok()?), path })).collect()
}

/// A program names its libraries near its start; one that carries its own LLVM has 100 MB more, not worth a look.
fn head(program: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(program)?.take(1 << 18).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The LLVM of the `libLLVM.so.22.1` (or, before LLVM 18, `libLLVM-17.so`) that a program names as a library.
fn shared_llvm(program: &[u8]) -> Option<Llvm> {
    const NAME: &[u8] = b"libLLVM";
    program.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME).find_map(|(at, _)| {
        let rest = &program[at + NAME.len()..];
        let rest = rest.strip_prefix(b".so.").or_else(|| rest.strip_prefix(b"-"))?;
        let digits: Vec<u8> = rest.iter().copied().take_while(u8::is_ascii_digit).take(4).collect();
        String::from_utf8(digits).ok()?.parse().ok().map(Llvm)
    })
}

/// Every `name` on PATH, then the one in cargo's home, where a build started outside a login shell may need it.
fn search(name: &str) -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(home()?.join(".cargo")));
    let mut dirs: Vec<PathBuf> = env::split_paths(&path).collect();
    dirs.extend(cargo_home.map(|dir| dir.join("bin")));
    let name = name.to_owned();
    dirs.into_iter().map(move |dir| dir.join(&name)).filter(|path| path.is_absolute() && path.is_file())
}

fn home() -> Option<PathBuf> {
    env::var_os("HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_of_a_compiler_and_of_a_linker_are_read_from_what_they_say() {
        let about = "rustc 1.96.0\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(llvm_of_compiler(about), Some(Llvm(22)));
        assert_eq!(llvm_of_compiler("rustc 1.96.0"), None);
        let cases: [(&[u8], _); 5] = [
            (b"\0libc.so.6\0libLLVM.so.22.1\0", Some(Llvm(22))),
            (b"\0libLLVM-17.so.1\0", Some(Llvm(17))),
            (b"cannot find libLLVM here\0libLLVM.so.23.1\0", Some(Llvm(23))),
            (b"\0libLLVM", None),
            (b"static", None),
        ];
        for (program, expected) in cases {
            assert_eq!(shared_llvm(program), expected, "{}", String::from_utf8_lossy(program));
        }
    }
}
