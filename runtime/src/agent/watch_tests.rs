use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use notify::event::{CreateKind, DataChange, Flag, RenameMode};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;

#[test]
fn what_an_event_is_about_is_told_by_its_path() {
    let places = Places {
        policies: "/etc/egret/policies".into(),
        workloads: "/etc/egret/workloads.yaml".into(),
        modules: Some("/etc/egret/modules".into()),
    };
    let event = |kind, path: &str| Ok(Event::new(kind).add_path(path.into()));
    let changed = |path| event(EventKind::Modify(ModifyKind::Name(RenameMode::To)), path);
    let (written, read) =
        (EventKind::Access(AccessKind::Close(AccessMode::Write)), EventKind::Access(AccessKind::Read));
    let half_written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    for (event, expected) in [
        (changed("/etc/egret/policies/a.yaml"), Touched::Policies),
        (changed("/etc/egret/policies/..data"), Touched::Policies),
        (changed("/etc/egret/policies"), Touched::Folder),
        (event(EventKind::Create(CreateKind::Folder), "/etc/egret/policies"), Touched::Folder),
        (event(read, "/etc/egret/policies"), Touched::Nothing),
        (changed("/etc/egret/policies-2"), Touched::Nothing),
        (changed("/etc/egret/modules/brake.wasm"), Touched::Modules),
        (event(half_written, "/etc/egret/modules/brake.wasm"), Touched::Nothing),
        (changed("/etc/egret/workloads.yaml"), Touched::Everything),
        (changed("/etc/egret/..data"), Touched::Everything),
        (changed("/etc/egret/.workloads.yaml.swp"), Touched::Nothing),
        (changed("/etc/egret/egret.yaml"), Touched::Nothing),
        (event(written, "/etc/egret/workloads.yaml"), Touched::Everything),
        (event(written, "/etc/egret/policies/a.yaml"), Touched::Policies),
        (event(half_written, "/etc/egret/workloads.yaml"), Touched::Nothing),
        (event(read, "/etc/egret/workloads.yaml"), Touched::Nothing),
        (Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)), Touched::Everything),
        (Err(notify::Error::generic("lost")), Touched::Everything),
    ] {
        let told = format!("{event:?}");
        assert_eq!(places.touched(event), expected, "{told}");
    }
    let among = Places { policies: "/p".into(), workloads: "/p/w.yaml".into(), modules: None };
    assert_eq!(among.touched(changed("/p/w.yaml")), Touched::Everything);
    assert_eq!(among.touched(changed("/p/a.yaml")), Touched::Policies);
}

#[tokio::test]
async fn a_file_is_not_read_while_it_is_being_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("workloads.yaml");
    fs::write(&path, "workloads: []").expect("written");
    let (sender, mut receiver) = mpsc::channel(8);
    let _watcher = files(&dir.path().join("."), &path, None, &sender).expect("watched");
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("opened");
    for _ in 0..3 {
        file.write_all(b"# more\n").expect("written");
        assert!(timeout(2 * GATHER, receiver.recv()).await.is_err(), "its writer is not done");
    }
    drop(file);
    let change = timeout(Duration::from_secs(5), receiver.recv()).await.expect("noticed");
    assert!(matches!(change, Some(Change::Everything)), "{change:?}");
}

/// Each step is one way to change a file, and what is then to be read again.
#[tokio::test]
async fn every_way_to_change_a_file_is_noticed() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("policies")).expect("made");
    fs::write(at("workloads.yaml"), "workloads: []").expect("written");
    let (sender, mut receiver) = mpsc::channel(8);
    let _watcher = files(&at("policies"), &at("workloads.yaml"), None, &sender).expect("watched");
    type Step<'a> = (&'a str, Box<dyn Fn() + 'a>, bool);
    let steps: [Step<'_>; 6] = [
        ("a policy is written", Box::new(|| fs::write(at("policies/a.yaml"), "a").expect("written")), false),
        ("a policy is removed", Box::new(|| fs::remove_file(at("policies/a.yaml")).expect("removed")), false),
        ("written in place", Box::new(|| fs::write(at("workloads.yaml"), "a").expect("written")), true),
        (
            "replaced, as editors do",
            Box::new(|| {
                fs::write(at("new"), "b").expect("written");
                fs::rename(at("new"), at("workloads.yaml")).expect("renamed");
            }),
            true,
        ),
        ("removed", Box::new(|| fs::remove_file(at("workloads.yaml")).expect("removed")), true),
        (
            "swapped, as a ConfigMap is",
            Box::new(|| {
                symlink("..1", at("..data_tmp")).expect("linked");
                fs::rename(at("..data_tmp"), at("..data")).expect("renamed");
            }),
            true,
        ),
    ];
    for (what, step, everything) in steps {
        step();
        let change = timeout(Duration::from_secs(5), receiver.recv()).await.expect(what).expect("open");
        assert_eq!(matches!(change, Change::Everything), everything, "{what}: {change:?}");
        // What else the same step caused.
        while timeout(5 * GATHER, receiver.recv()).await.is_ok() {}
    }
    fs::write(at("notes.txt"), "nothing to do with it").expect("written");
    assert!(timeout(5 * GATHER, receiver.recv()).await.is_err(), "other files are left alone");
}

#[tokio::test]
async fn a_thousand_events_at_once_are_few_changes() {
    let dir = tempfile::tempdir().expect("a directory");
    let (sender, mut receiver) = mpsc::channel(256);
    let _watcher = files(dir.path(), &dir.path().join("workloads.yaml"), None, &sender).expect("watched");
    for number in 0..1000 {
        fs::write(dir.path().join(format!("{number}.yaml")), "a").expect("written");
    }
    let mut changes = 0;
    while timeout(5 * GATHER, receiver.recv()).await.is_ok() {
        changes += 1;
    }
    assert!((1..100).contains(&changes), "{changes}");
}

/// Each step puts another folder in the place of the policies, and the files of that one are watched from then on.
#[tokio::test]
async fn a_folder_that_takes_the_place_of_the_policies_is_watched_in_its_stead() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("policies")).expect("made");
    let (sender, mut receiver) = mpsc::channel(8);
    let _watching = files(&at("policies"), &at("elsewhere.yaml"), None, &sender).expect("watched");
    type Step<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let steps: [Step<'_>; 3] = [
        (
            "moved away, and another moved there",
            Box::new(|| {
                fs::create_dir(at("fresh")).expect("made");
                fs::rename(at("policies"), at("stale")).expect("moved");
                fs::rename(at("fresh"), at("policies")).expect("moved");
            }),
        ),
        (
            "removed and made again",
            Box::new(|| {
                fs::remove_dir_all(at("policies")).expect("removed");
                fs::create_dir(at("policies")).expect("made");
            }),
        ),
        (
            "a link to another",
            Box::new(|| {
                fs::remove_dir_all(at("policies")).expect("removed");
                fs::create_dir(at("release-2")).expect("made");
                symlink("release-2", at("link")).expect("linked");
                fs::rename(at("link"), at("policies")).expect("moved");
            }),
        ),
    ];
    for (what, step) in steps {
        step();
        for (what, act) in [(what, false), ("a file in it", true)] {
            if act {
                fs::write(at("policies/a.yaml"), what).expect("written");
            }
            let change = timeout(Duration::from_secs(5), receiver.recv()).await.expect(what).expect("open");
            assert!(matches!(change, Change::Policies), "{what}: {change:?}");
            while timeout(5 * GATHER, receiver.recv()).await.is_ok() {}
        }
    }
    fs::write(at("stale/a.yaml"), "of no more use").expect("written");
    assert!(timeout(5 * GATHER, receiver.recv()).await.is_err(), "what was moved away is left alone");
}
