//! The hash of a question.

use super::frame::{Frame, dns};
use crate::question::hash;

/// The hash of `message`, behind `before` bytes and in front of `after`.
fn hash_of(message: &[u8], before: usize, after: usize) -> Option<u64> {
    hash(&Frame::new([&vec![0xee; before][..], message, &vec![0xee; after]].concat()), before)
}

/// A name of `length` bytes in all, its last zero included; at least 3.
fn name_of(length: usize) -> String {
    let mut left = length - 1;
    let mut labels = Vec::new();
    while left > 0 {
        let label = (left - 1).min(if left == 65 { 62 } else { 63 });
        labels.push("a".repeat(label));
        left -= label + 1;
    }
    labels.join(".")
}

#[test]
fn the_case_of_a_name_makes_no_difference_and_all_else_does() {
    let asked = hash_of(&dns(1, false, "www.example.com", 1), 0, 0);
    assert!(asked.is_some());
    for (name, kind, same) in [
        ("www.example.com", 1, true),
        ("WWW.EXAMPLE.COM", 1, true),
        ("wWw.ExAmPlE.cOm", 1, true),
        ("www.example.com", 28, false),
        ("www.example.com", 256, false),
        ("www.example.co", 1, false),
        ("ww.example.com", 1, false),
        ("www.example.con", 1, false),
        ("wwwexample.com", 1, false),
        ("www-example.com", 1, false),
        ("example.com", 1, false),
    ] {
        assert_eq!(hash_of(&dns(9, true, name, kind), 0, 0) == asked, same, "{name} {kind}");
    }
    let mut chaos = dns(1, false, "www.example.com", 1);
    *chaos.last_mut().unwrap() = 3;
    assert_ne!(hash_of(&chaos, 0, 0), asked);
}

#[test]
fn every_type_is_another_question() {
    // 65 (HTTPS) and 97 are the codes of `A` and `a`.
    let hashes: std::collections::HashSet<_> =
        (0..=512).map(|kind| hash_of(&dns(1, false, "a.example", kind), 0, 0)).collect();
    assert_eq!(hashes.len(), 513);
}

#[test]
fn it_does_not_matter_where_in_the_packet_a_question_ends() {
    for length in 3..=255 {
        let message = dns(1, false, &name_of(length), 1);
        assert_eq!(message.len(), 12 + length + 4);
        let alone = hash_of(&message, 0, 0);
        assert!(alone.is_some(), "{length}");
        for (before, after) in [(42, 0), (42, 1), (42, 11), (62, 16), (7, 500)] {
            assert_eq!(hash_of(&message, before, after), alone, "{length} {before} {after}");
        }
        for missing in 1..=5 {
            assert_eq!(hash_of(&message[..message.len() - missing], 42, 0), None, "{length} {missing}");
        }
    }
}

#[test]
fn only_a_message_with_one_question_has_a_hash() {
    let message = dns(1, false, "a.example", 1);
    for count in [0, 2, 255, 256, 257, 65535] {
        let mut other = message.clone();
        other[4..6].copy_from_slice(&u16::to_be_bytes(count));
        assert_eq!(hash_of(&other, 0, 0), None, "{count}");
    }
    for length in 0..message.len() {
        assert_eq!(hash_of(&message[..length], 42, 0), None, "{length}");
    }
}

#[test]
fn a_name_that_is_too_long_or_not_plain_has_no_hash() {
    let message = |name: &[u8]| [&dns(1, false, "a", 1)[..12], name, &[0, 1, 0, 1]].concat();
    let labels = |count: usize| message(&[[1, b'a'].repeat(count), vec![0]].concat());
    for (what, message, has) in [
        ("the root", message(&[0]), true),
        ("255 bytes", dns(1, false, &name_of(255), 1), true),
        ("256 bytes", dns(1, false, &name_of(256), 1), false),
        ("39 labels", labels(39), true),
        ("40 labels", labels(40), false),
        ("a label of 64 bytes", message(&[&[64][..], &[b'a'; 64], &[0]].concat()), false),
        ("a pointer", message(&[0xc0, 12]), false),
        ("a pointer behind a label", message(&[1, b'a', 0xc0, 12]), false),
        ("no end", message(&[1; 2000]), false),
    ] {
        for after in [0, 1000] {
            assert_eq!(hash_of(&message, 42, after).is_some(), has, "{what}, {after} behind");
        }
    }
}

#[test]
fn what_lay_in_memory_behind_the_packet_is_not_part_of_it() {
    // Cut at each place, the zeros behind would end the name and give it a type.
    let message = dns(1, false, "www.example.com", 0);
    let whole = hash_of(&message, 42, 0);
    for length in 12..message.len() {
        let cut = hash(&Frame::new(vec![0; 42]).and(&message[..length]), 42);
        assert!(whole.is_some() && cut.is_none(), "{length}");
    }
}
