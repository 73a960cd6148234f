//! The architecture, proven by reading the source: which folder may use which, who may name what, how big a file may
//! be, and that the paths which documents name exist.

#![allow(missing_docs, reason = "a test file has no reader of its documentation")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A word of code, and the only folders of `runtime/src` that may say it.
const ONLY: [(&str, &[&str]); 6] = [
    ("aya", &["kernel"]),
    ("aya_obj", &["kernel"]),
    ("Writer", &["kernel", "enforce"]),
    ("kube", &["cluster"]),
    ("wasmtime", &["wasm"]),
    ("wasmtime_wasi", &["wasm"]),
];

/// Lines of a source file, its tests included.
const LONGEST: usize = 400;

/// Files that may be longer: how long, and why.
const LONGER: [(&str, usize, &str); 0] = [];

/// Directories at the root whose paths a document may name.
const ROOMS: [&str; 11] = [
    ".cargo",
    ".ci",
    ".config",
    "deploy",
    "docs",
    "ebpf",
    "policies-wasm",
    "runtime",
    "sdk",
    "tests",
    "xtask",
];

#[test]
fn a_folder_uses_only_those_before_it() {
    let order = order();
    let mut wrong = Vec::new();
    for (at, folder) in order.iter().enumerate() {
        for path in rust_files(&root().join("runtime/src").join(folder)) {
            let used = used_folders(&code(&read(&path)), module_depth(&path), &order);
            wrong.extend(
                used.iter()
                    .filter(|used| order.iter().position(|each| each == *used) > Some(at))
                    .map(|used| format!("{} uses {used}, which comes after {folder}", name(&path))),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_order_that_lib_rs_tells_is_the_one_it_declares() {
    let source = read(&root().join("runtime/src/lib.rs"));
    let head: String = source.lines().take_while(|line| line.starts_with("//!")).collect();
    let told: Vec<&str> = head.split('`').skip(1).step_by(2).collect();
    assert_eq!(told, order(), "the folders as the head comment names them, and as `pub mod` lines do");
}

#[test]
fn a_dependency_with_a_home_is_named_only_there() {
    let src = root().join("runtime/src");
    let mut wrong = Vec::new();
    for path in rust_files(&src) {
        let code = code(&read(&path));
        let words = words(&code);
        let inside = path.strip_prefix(&src).expect("under src");
        let folder = inside.iter().next().and_then(|first| first.to_str()).expect("a plain name");
        for (word, homes) in ONLY {
            if words.contains(word) && !homes.contains(&folder) {
                wrong.push(format!("{} names {word}, which only {} may", name(&path), homes.join(", ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_crate_and_folder_opens_with_what_it_is() {
    let mut heads: BTreeSet<PathBuf> = BTreeSet::new();
    for path in sources().into_iter().filter(|path| path.iter().any(|part| part == "src")) {
        let dir = path.parent().expect("in a directory");
        if dir.ends_with("src/bin") || path.ends_with("src/lib.rs") || path.ends_with("src/main.rs") {
            heads.insert(path);
        } else if !dir.ends_with("src") {
            heads.insert(dir.join("mod.rs"));
        }
    }
    let mute = |path: &&PathBuf| !fs::read_to_string(path).is_ok_and(|text| text.starts_with("//!"));
    let wrong: Vec<_> = heads.iter().filter(mute).map(|path| name(path)).collect();
    assert!(wrong.is_empty(), "missing, or not opening with `//!`:\n{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long_to_read_at_once() {
    let mut wrong = Vec::new();
    for path in sources() {
        let (name, lines) = (name(&path), read(&path).lines().count());
        let allowed = LONGER.iter().find(|(file, ..)| *file == name).map_or(LONGEST, |(_, lines, _)| *lines);
        if lines > allowed {
            wrong.push(format!("{name}: {lines} lines, {allowed} allowed"));
        } else if lines <= LONGEST && allowed > LONGEST {
            wrong.push(format!("{name}: {lines} lines, so it needs no exception"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_paths_that_documents_name_exist() {
    let mut wrong = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let Ok(text) = fs::read_to_string(root().join(document)) else { continue };
        let missing = named_paths(&text).into_iter().filter(|path| !root().join(path).exists());
        wrong.extend(missing.map(|path| format!("{document} names {path}, which is not there")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_readers_of_this_test_see_what_they_must() {
    let order = ["model", "kernel", "dns"].map(str::to_owned);
    let cases: [(&str, usize, &[&str]); 8] = [
        ("use crate::kernel::Map;", 1, &["kernel"]),
        ("use crate::{dns::{Answer, kernel}, model::Name};", 1, &["dns", "model"]),
        ("let x = crate :: dns::f();", 2, &["dns"]),
        ("use super::super::dns::Answer;", 2, &["dns"]),
        ("use super::dns;", 2, &[]),
        ("// crate::dns\n/* crate::dns */ let a = \"crate::dns\";", 1, &[]),
        ("let quote = '\"'; use crate::dns; let other = '\"';", 1, &["dns"]),
        ("use mycrate::dns; use crate::other;", 1, &[]),
    ];
    for (source, depth, expected) in cases {
        let expected: BTreeSet<String> = expected.iter().map(|&each| each.to_owned()).collect();
        assert_eq!(used_folders(&code(source), depth, &order), expected, "{source}");
    }
    assert!(words("use aya::Ebpf;").contains("aya"));
    assert!(!words("use maya::aya_obj;").contains("aya"));
    let text = "See `runtime/src/lib.rs`, [why](docs/decisions/0001-x.md#top), `ebpf/*/src`, `/run/x`, `egret flows`.";
    assert_eq!(named_paths(text), ["docs/decisions/0001-x.md", "runtime/src/lib.rs"]);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The folders of `runtime/src`, in the order `lib.rs` declares them.
fn order() -> Vec<String> {
    let source = read(&root().join("runtime/src/lib.rs"));
    let declared = source.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let order: Vec<_> = declared.map(str::to_owned).collect();
    assert!(order.len() > 5, "lib.rs declares its folders: {order:?}");
    order
}

fn sources() -> Vec<PathBuf> {
    let files: Vec<_> = ["ebpf", "policies-wasm", "runtime", "sdk", "tests", "xtask"]
        .iter()
        .flat_map(|dir| rust_files(&root().join(dir)))
        .collect();
    assert!(files.len() > 20, "the sources were found: {files:?}");
    files
}

/// Every `.rs` below, without what cargo builds.
fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.expect("readable").path()) {
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// How many `super::` lead from a file of `runtime/src` to the crate's root: 1 for `dns/mod.rs`, 2 for `dns/answer.rs`.
fn module_depth(path: &Path) -> usize {
    let parts = path.strip_prefix(root().join("runtime/src")).expect("under src").iter().count();
    if path.ends_with("mod.rs") { parts - 1 } else { parts }
}

/// The source without comments and without what its strings say.
fn code(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skipped = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '\'' if rest.starts_with("'\"'") => 3,
            '\'' if rest.starts_with("'\\\"'") => 4,
            '"' => string_length(rest),
            _ => 0,
        };
        if skipped == 0 {
            code.push(first);
        }
        rest = &rest[skipped.max(first.len_utf8())..];
    }
    code
}

/// From an opening quote to behind the closing one.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

fn words(code: &str) -> BTreeSet<&str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect()
}

/// The folders that a file reaches by `crate::` or by climbing to the root with `super::`.
fn used_folders(code: &str, depth: usize, order: &[String]) -> BTreeSet<String> {
    let code: String =
        code.split_whitespace().collect::<Vec<_>>().join(" ").replace(" ::", "::").replace(":: ", "::");
    let up = "super::".repeat(depth);
    let mut used = BTreeSet::new();
    for start in ["crate::", up.as_str()] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                used.extend(first_names(&code[at + start.len()..]));
            }
        }
    }
    used.retain(|name| order.contains(name));
    used
}

/// `dns::Answer` names dns; `{dns::{A, B}, model}` names dns and model.
fn first_names(path: &str) -> Vec<String> {
    let identifier = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![identifier(path)] };
    let mut names = vec![identifier(group)];
    let mut depth = 1;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => names.push(identifier(&group[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

/// Paths from the root that a document names, in backticks or as the target of a link.
fn named_paths(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let linked = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let plain = |path: &str| path.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
    let paths = quoted.chain(linked).map(|path| path.split('#').next().unwrap_or(path));
    let inside = paths.filter(|path| {
        let first = path.split_once('/').map(|(first, _)| first);
        plain(path) && first.is_some_and(|first| ROOMS.contains(&first))
    });
    let unique: BTreeSet<String> = inside.map(str::to_owned).collect();
    unique.into_iter().collect()
}
