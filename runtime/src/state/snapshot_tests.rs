use proptest::prelude::*;

use super::*;
use crate::state::Damage;
use crate::state::sealed::{format, sealed};

pub(in crate::state) fn example() -> Snapshot {
    Snapshot {
        boot_id: "0b1d2f6e-0000-4000-8000-000000000000".into(),
        classes: vec![
            ClassNumber { names: "github.com".into(), class: 1 },
            ClassNumber { names: "**.example.com".into(), class: 300 },
        ],
        rules: vec![RuleNumber {
            policy: PolicyId::of_namespace("updates", "updates"),
            rule: "allow[0]".into(),
            number: 7,
        }],
        workloads: vec![WorkloadNumber {
            id: WorkloadId { namespace: "updates".into(), name: "update-0".into() },
            index: 2,
            ifindex: u32::MAX,
            epoch: 9,
            fingerprint: u64::MAX,
        }],
        next: NextNumbers { class: 301, rule: 8, ruleset: 2, workload: 3 },
        policies: vec![PolicyText { file: "updates.yaml".into(), text: "kind: EgressPolicy\n".into() }],
    }
}

#[test]
fn what_was_written_is_read() {
    for snapshot in [example(), Snapshot::default()] {
        assert_eq!(Snapshot::decode(&snapshot.encode().unwrap()).unwrap(), snapshot);
    }
}

#[test]
fn a_cut_at_any_byte_is_found() {
    let bytes = example().encode().unwrap();
    for end in 0..bytes.len() {
        assert_eq!(Snapshot::decode(&bytes[..end]), Err(Damage::Length), "cut at {end}");
    }
}

#[test]
fn a_change_of_any_byte_is_found() {
    let bytes = example().encode().unwrap();
    for at in 0..bytes.len() {
        for change in (0..8).map(|bit| 1 << bit).chain([0xff, 0x55]) {
            let mut bytes = bytes.clone();
            bytes[at] ^= change;
            let damage = Snapshot::decode(&bytes).unwrap_err();
            let expected = match at {
                0..8 => matches!(damage, Damage::Magic(_)),
                8..12 => matches!(damage, Damage::Version { .. }),
                16..24 => damage == Damage::Length,
                _ => damage == Damage::Checksum,
            };
            assert!(expected, "byte {at} changed by {change:#x}: {damage:?}");
        }
    }
}

#[test]
fn bytes_after_the_end_are_found() {
    let mut bytes = example().encode().unwrap();
    bytes.push(0);
    assert_eq!(Snapshot::decode(&bytes), Err(Damage::Length));
}

#[test]
fn a_right_checksum_around_other_content_is_refused_without_claiming_memory() {
    let whole = bincode::serde::encode_to_vec(example(), format()).unwrap();
    let longer = [&whole[..], &[0]].concat();
    assert_eq!(Snapshot::decode(&sealed::<Snapshot>(&longer)), Err(Damage::Length));
    // A text, then a list, of 2^60 entries.
    let empty_text = 0u64.to_le_bytes();
    let huge = (1u64 << 60).to_le_bytes();
    for content in [&huge[..], &[empty_text, huge].concat(), &whole[..whole.len() - 1], &[0xff; 100]] {
        let damage = Snapshot::decode(&sealed::<Snapshot>(content)).unwrap_err();
        assert!(matches!(damage, Damage::Content(_)), "{damage:?}");
    }
}

proptest! {
    #[test]
    fn no_content_makes_the_decoder_panic(content in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Snapshot::decode(&sealed::<Snapshot>(&content));
        let _ = Snapshot::decode(&content);
    }
}
