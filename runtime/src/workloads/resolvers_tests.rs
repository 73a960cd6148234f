use std::fs::{Permissions, create_dir_all, set_permissions, write};
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::model::{Labels, WorkloadId};

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn the_nameserver_lines_of_a_file_are_its_resolvers() {
    for (text, expected) in [
        ("nameserver 10.0.0.1\nnameserver\tfd00::1\n", &["10.0.0.1", "fd00::1"][..]),
        ("search example.com\noptions ndots:5\n  nameserver 10.0.0.1  # ours\n", &["10.0.0.1"]),
        ("# nameserver 10.0.0.1\n;nameserver 10.0.0.2\nnameservers 10.0.0.3\nnameserver\n", &[]),
        ("nameserver fe80::1%eth0\nnameserver 10.0.0.1\r\n", &["fe80::1", "10.0.0.1"]),
        ("nameserver 127.0.0.53\nnameserver ::1\nnameserver 0.0.0.0\nnameserver 224.0.0.251", &[]),
        ("nameserver ::ffff:10.0.0.1\nnameserver 10.0.0.1\n", &["10.0.0.1"]),
        ("nameserver dns.example.com\nnameserver 10.0.0.256\n", &[]),
    ] {
        assert_eq!(parse_resolv_conf(text), addresses(expected), "{text:?}");
    }
    let many: String = (1..100).map(|n| format!("nameserver 10.0.0.{n}\n")).collect();
    assert_eq!(parse_resolv_conf(&many).len(), MAX_RESOLVERS);
}

#[test]
fn what_is_nearest_to_the_workload_decides() {
    let workload = |place: Place, resolvers| Workload {
        id: WorkloadId { namespace: "a".into(), name: "b".into() },
        labels: Labels::new(),
        service_account: None,
        place,
        addresses: vec![],
        resolvers,
    };
    let node = addresses(&["10.0.0.1"]);
    let own = addresses(&["10.0.0.2"]);
    let unknown = Place::Netns("no-such-namespace-has-files".into());
    assert_eq!(resolvers_of(&workload(unknown.clone(), Some(own.clone())), &node).unwrap(), own);
    assert_eq!(resolvers_of(&workload(unknown, None), &node).unwrap(), node);
    assert_eq!(resolvers_of(&workload(Place::Interface("veth0".into()), None), &node).unwrap(), node);
}

#[test]
fn a_file_is_read_only_if_nobody_but_its_owner_can_say_what_is_in_it() {
    let me = rustix::process::geteuid().as_raw();
    type Change = fn(&Path);
    type Expected = Result<Option<&'static str>, &'static str>;
    let cases: [(&str, u32, Change, Expected); 8] = [
        ("as it should be", me, |_| {}, Ok(Some("nameserver 10.0.0.1\n"))),
        ("another owner", me + 1, |_| {}, Err("it is not root's")),
        (
            "group can write",
            me,
            |etc| chmod(&etc.join("x/resolv.conf"), 0o664),
            Err("others than its owner can write it"),
        ),
        (
            "all can write its folder",
            me,
            |etc| chmod(&etc.join("x"), 0o777),
            Err("others than its owner can write it"),
        ),
        (
            "all can write the outer folder",
            me,
            |etc| chmod(etc, 0o757),
            Err("others than its owner can write it"),
        ),
        ("a link", me, relink, Err("it is a symbolic link")),
        ("a folder", me, refolder, Err("it is not a plain file")),
        ("not there", me, remove, Ok(None)),
    ];
    for (what, owner, change, expected) in cases {
        let scratch = tempfile::tempdir().unwrap();
        let etc = scratch.path().join("netns");
        create_dir_all(etc.join("x")).unwrap();
        write(etc.join("x/resolv.conf"), "nameserver 10.0.0.1\n").unwrap();
        for (path, mode) in [("", 0o755), ("x", 0o755), ("x/resolv.conf", 0o644)] {
            chmod(&etc.join(path), mode);
        }
        change(&etc);
        match (read_trusted(&etc, "x", owner), expected) {
            (Ok(read), Ok(expected)) => assert_eq!(read.as_deref(), expected, "{what}"),
            (Err(ResolversError::Untrusted { why, .. }), Err(expected)) => {
                assert_eq!(why, expected, "{what}")
            }
            (outcome, expected) => panic!("{what}: {outcome:?} and not {expected:?}"),
        }
    }
    assert_eq!(read_trusted(Path::new("/no/such/folder"), "x", me).unwrap(), None);
}

fn chmod(path: &Path, mode: u32) {
    set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn remove(etc: &Path) {
    std::fs::remove_file(etc.join("x/resolv.conf")).unwrap();
}

fn refolder(etc: &Path) {
    remove(etc);
    create_dir_all(etc.join("x/resolv.conf")).unwrap();
}

fn relink(etc: &Path) {
    std::fs::rename(etc.join("x/resolv.conf"), etc.join("x/real")).unwrap();
    symlink("real", etc.join("x/resolv.conf")).unwrap();
}
