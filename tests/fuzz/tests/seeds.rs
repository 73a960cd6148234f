//! Every target over its seeds: those to start from, and those that once broke something.

use std::fs;
use std::path::{Path, PathBuf};

use egret_fuzz::TARGETS;

fn seeds(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = files.map(|file| file.expect("readable").path()).collect();
    files.sort();
    files
}

#[test]
fn every_target_holds_over_its_seeds_and_over_each_of_them_cut() {
    for (target, run) in TARGETS {
        let seeds = seeds(target);
        assert!(seeds.len() > 2, "{target} has seeds to start from");
        for seed in seeds {
            let bytes = fs::read(&seed).expect("readable");
            println!("{}", seed.display());
            run(&bytes);
            // Long ones at about a hundred places, for the time that takes.
            for end in (0..bytes.len()).step_by(bytes.len() / 100 + 1) {
                run(&bytes[..end]);
            }
        }
    }
}

#[test]
fn every_target_has_a_program_and_every_folder_of_seeds_a_target() {
    let names = |folder: &str| -> Vec<String> {
        let folder = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("readable");
        let name = |entry: fs::DirEntry| {
            let path = entry.path();
            path.file_stem().expect("a name").to_str().expect("a plain name").to_owned()
        };
        let mut names: Vec<_> = folder.map(|entry| name(entry.expect("readable"))).collect();
        names.sort();
        names
    };
    let targets = TARGETS.map(|(name, _)| name);
    assert_eq!(names("src/bin"), targets);
    assert_eq!(names("seeds"), targets);
}
