use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::state::Snapshot;
use crate::state::snapshot::tests::example;

#[test]
fn a_snapshot_is_read_back_and_only_its_owner_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("maps.state");
    assert_eq!(read::<Snapshot>(&path).unwrap(), None);
    write(&path, &Snapshot::default()).unwrap();
    write(&path, &example()).unwrap();
    assert_eq!(read(&path).unwrap(), Some(example()));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_a_crash_left_beside_it_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("maps.state");
    write(&path, &example()).unwrap();
    let left = folder.path().join("maps.state.new");
    std::fs::write(&left, &example().encode().unwrap()[..30]).unwrap();
    std::fs::set_permissions(&left, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(read(&path).unwrap(), Some(example()));
    write(&path, &Snapshot::default()).unwrap();
    assert_eq!(read(&path).unwrap(), Some(Snapshot::default()));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_link_in_the_place_of_the_new_file_is_not_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let (path, victim) = (folder.path().join("maps.state"), folder.path().join("victim"));
    std::fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, folder.path().join("maps.state.new")).unwrap();
    write(&path, &example()).unwrap();
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(read(&path).unwrap(), Some(example()));
}

#[test]
fn what_is_wrong_is_told_with_the_file_and_a_failed_write_leaves_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("maps.state");
    std::fs::write(&path, "not a snapshot, but long enough").unwrap();
    let told = read::<Snapshot>(&path).unwrap_err().to_string();
    assert_eq!(
        told,
        format!("the state file `{}` is of no use: it is not a snapshot of Egret", path.display())
    );

    write(&path, &example()).unwrap();
    std::fs::create_dir(folder.path().join("maps.state.new")).unwrap();
    let told = write(&path, &Snapshot::default()).unwrap_err().to_string();
    assert!(told.contains("maps.state` cannot be written: "), "{told}");
    assert_eq!(read(&path).unwrap(), Some(example()));
    assert!(matches!(read::<Snapshot>(folder.path()).unwrap_err(), StateError::Io { verb: "read", .. }));
}
